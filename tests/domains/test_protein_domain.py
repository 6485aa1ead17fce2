"""Protein: tokens, stops, labels and baseline features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from exapt.domains import ProteinSpec, Source, from_arrays, load_domain

PROTEIN = ProteinSpec(length=10).build()


def test_golden_ids() -> None:
    """Fixed for ever: a change here makes every saved checkpoint wrong."""
    assert PROTEIN.encode("ACDEFGHIKLMNPQRSTVWY").tolist() == list(range(5, 25))
    assert PROTEIN.encode("mkXBZJUO").tolist() == [15, 13, 1, 1, 1, 1, 1, 1]
    assert PROTEIN.inputs.vocabulary == 25
    assert PROTEIN.decode(torch.tensor([2, 15, 13, 1, 3])) == "MKX"


def test_a_stop_at_the_end_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">a\nMKV*\n>b\nAC\n>c\n*\n>d\nGG*\n")
    dataset = PROTEIN.read(Source(path=str(tmp_path / "a.fa")))
    assert [PROTEIN.decode(e.inputs) for e in dataset] == ["MKV", "AC", "GG"]
    assert dataset.skipped == {"empty": 1}
    assert PROTEIN.encode("MKV*").tolist() == PROTEIN.encode("MKV").tolist()


def test_ends_and_cutting() -> None:
    dataset = PROTEIN.read(from_arrays(["MKVACDEFGHIK", "MK"]))
    batch = PROTEIN.collate(list(dataset))
    assert batch.lengths.tolist() == [10, 4]
    assert batch.inputs[[0, 9, 10, 13]].tolist() == [2, 3, 2, 3]
    assert PROTEIN.truncated(dataset) == 1
    assert PROTEIN.windows(dataset).lengths.tolist() == [8, 2]


def test_composition_and_pairs() -> None:
    features, other = PROTEIN.classical(PROTEIN.read(from_arrays(["AACX", "GG"])), [PROTEIN.read(from_arrays(["CA"]))])
    assert features.shape == (2, 420)
    row = features[0].toarray()[0]
    assert row[0] == pytest.approx((2 / 3) ** 0.5)
    assert row[20 + 0] == pytest.approx(0.5**0.5)
    assert row[20 + 1] == pytest.approx(0.5**0.5)
    assert other.shape == (1, 420)
    assert other[0, 20 + 20] == 1
    aligned = PROTEIN.classical(PROTEIN.read(from_arrays(["ACD", "ACE"])))[0]
    assert aligned.shape == (2, 420 + 60)
    assert np.flatnonzero(aligned[1, 420:].toarray()[0]).tolist() == [0, 21, 43]


def test_windows_around_residues() -> None:
    features = PROTEIN.classical_elements(PROTEIN.read(from_arrays(["MKVACDEFGHIK", "MX"])))
    assert features.shape == (8 + 2, 15 * 21)
    assert set(np.asarray(features.sum(1)).ravel().tolist()) == {15.0}
    centre = features.toarray().reshape(10, 15, 21)[:, 7].argmax(1)
    assert centre.tolist() == [*(PROTEIN.encode("MKVACDEF") - 5).tolist(), PROTEIN.encode("M")[0] - 5, 20]


def test_fingerprints_find_a_shared_domain() -> None:
    prints = [
        set(PROTEIN.fingerprints(e).tolist())
        for e in PROTEIN.read(from_arrays(["MKVACDEFGHIK", "WWWACDEFGHIKLL", "MKVAC"]))
    ]
    assert len(prints[0]) == 5
    assert len(prints[0] & prints[1]) == 2
    assert not prints[2] & prints[0]


def test_saved_and_loaded(tmp_path: Path) -> None:
    PROTEIN.save(tmp_path)
    assert load_domain(tmp_path).describe() == PROTEIN.describe()
    assert not (tmp_path / "tokenizer.json").exists()
