"""Attribution: mutants equal changing one letter by hand; a planted motif is found where it is, nothing elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exapt.adaptation import FinetuneSpec, ProbeSpec
from exapt.adaptation.mutagenesis import mutants, scored, support
from exapt.audits import AttributionAudit, Subject
from exapt.audits.attribution import IDS
from exapt.audits.planted_motif import LENGTH, MOTIF, PLACE, at_place, composition, plain, sequences
from exapt.backbones import DilatedSpec
from exapt.domains import DnaSpec, from_arrays
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.evidence.attribution import profile, runs, within
from exapt.objectives import MaskedSpec
from exapt.tasks import ClassifySpec, RegressSpec
from exapt.tasks.splits import SplitSpec, make_split
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec

RNG = np.random.default_rng(0)
BASES = DnaSpec(length=LENGTH)
CLASSES = ClassifySpec()


def uneven(dataset: Dataset) -> np.ndarray:
    """A score in which places and letters meet."""
    ids = plain(dataset).astype(float)
    return np.asarray((ids * np.arange(1, ids.shape[1] + 1)).sum(1) + ids[:, 0] * ids[:, -1])


def test_mutants_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exapt.adaptation.mutagenesis.CHUNK", 7)
    ids = RNG.choice([1, *IDS], size=(3, 6))
    found = mutants(uneven, ids, IDS)
    for row in range(3):
        for place in range(6):
            for at, letter in enumerate(IDS):
                changed = ids[row].copy()
                changed[place] = letter
                assert found[row, place, at] == scored(uneven, changed[None])[0]
    supports = support(found, ids, IDS)
    for row, place in np.ndindex(3, 6):
        if ids[row, place] == 1:
            assert np.isnan(supports[row, place])
            continue
        own = IDS.index(ids[row, place])
        others = [found[row, place, at] for at in range(4) if at != own]
        assert supports[row, place] == pytest.approx(found[row, place, own] - np.mean(others))


def test_a_planted_motif_is_read_where_it_stands() -> None:
    ids, positive = sequences(np.random.default_rng(3), PLACE)
    supports = support(mutants(at_place, ids, IDS), ids, IDS)
    found = profile(supports, positive, np.random.default_rng(0))
    assert found.p == pytest.approx(1 / 1000)
    assert runs(found.read) == [(PLACE, PLACE + len(MOTIF) - 1)]
    assert (found.low < found.excess).all()
    inside, outside = within(found.excess, {"box": (PLACE, PLACE + 5)})["box"]
    assert inside > 0.5
    assert outside < 0


def test_composition_is_read_everywhere_alike() -> None:
    ids, positive = sequences(np.random.default_rng(4), -1)
    supports = support(mutants(composition, ids, IDS), ids, IDS)
    assert supports[positive].mean() > supports[~positive].mean(), "composition does tell the classes apart"
    found = profile(supports, positive, np.random.default_rng(0))
    assert found.p > 0.05
    assert not runs(found.read)


def test_unknown_bases_do_not_count() -> None:
    ids, positive = sequences(np.random.default_rng(5), PLACE)
    ids[::7, PLACE - 3] = 1
    found = profile(support(mutants(at_place, ids, IDS), ids, IDS), positive, np.random.default_rng(0), 99)
    assert np.isfinite(found.t).all()
    assert runs(found.read) == [(PLACE, PLACE + len(MOTIF) - 1)]


def test_runs() -> None:
    assert runs(np.array([True, False, True, True])) == [(0, 0), (2, 3)]
    assert runs(np.zeros(3, dtype=bool)) == []


def subject(folder: Path, domain: DnaSpec = BASES, task: Any = CLASSES) -> Subject:
    """Sequences with a motif in the middle, and others."""
    parts = [sequences(np.random.default_rng(seed), PLACE) for seed in range(3)]
    ids, positive = (np.concatenate(part) for part in zip(*parts, strict=True))
    texts = ["".join("ACGT"[i - 5] for i in row) for row in ids]
    source = from_arrays(texts, label=positive.astype(int))
    training = TrainingSpec(steps=2, batch=32, holdout=0.1)
    backbone = DilatedSpec(width=8, depth=2, kernel=3)
    start = pretrain(source, domain, backbone, MaskedSpec(), training, folder / "start", progress=False)
    data = start.domain.read(source)
    made = task.build(data)
    labelled = made.attach(data)
    split = make_split(labelled, made, SplitSpec(test=0.4), start.domain, 0)
    return Subject(
        start=start,
        fresh=start.fresh_backbone,
        corpus=lambda: data,
        labelled=labelled,
        pool=split.pool,
        test=split.test,
        task=made,
        adapt=FinetuneSpec(rates=[0.01], min_steps=5, max_steps=5, evaluations=1, augment=False),
        probe=ProbeSpec(),
        budgets=[32, 128],
        seeds=2,
        checkpoints=[folder / "start"],
    )


def test_the_audit_of_the_baseline_and_a_network(tmp_path: Path) -> None:
    audit = AttributionAudit(
        arms=["classical", "pretrained", "scratch"], examples=30, origin=PLACE + 10, marks={"box": (-10, -5)}
    )
    found = audit.run(subject(tmp_path))
    assert found.verdict == "LOCALISED"
    assert found.interval is not None
    assert found.interval[0] > 0
    assert "reads −10 to −5" in found.sentence
    assert found.n == 30
    assert [logo.places[PLACE + 9 : PLACE + 11] for logo in found.logos] == [[-1, 1]] * 3
    best = np.argmax(found.logos[0].heights, axis=1)[PLACE : PLACE + 6]
    assert "".join("ACGT"[b] for b in best) == "TATAAT"
    assert [row[0] for row in found.listings[0].rows] == ["classical", "pretrained", "scratch"]
    assert found.plain()["logos"][0]["marks"] == {"box": [-10, -5]}


def test_what_it_cannot_look_at(tmp_path: Path) -> None:
    whole = subject(tmp_path)
    for audit, said in (
        (AttributionAudit(label="7"), r"label: '7' is no class"),
        (AttributionAudit(arms=["classical"], marks={"a": (1, 50)}), r"marks.a: \[1, 50\]; valid: places from 1 to 40"),
        (AttributionAudit(arms=["classical"], marks={"a": (1, 40)}), "cover every place"),
    ):
        with pytest.raises(InputError, match=said):
            audit.run(whole)
    with pytest.raises(InputError, match="test examples of a class have 40 bases; needs 20"):
        AttributionAudit().run(Subject(**{**vars(whole), "test": whole.test[:30]}))
    with pytest.raises(InputError, match=r"needs domain\.kind=dna with tokens: base"):
        AttributionAudit().run(subject(tmp_path / "k", DnaSpec(tokens="kmer", k=2, length=LENGTH)))
    with pytest.raises(InputError, match=r"needs task\.kind=classify"):
        AttributionAudit().run(subject(tmp_path / "r", task=RegressSpec()))
    with pytest.raises(InputError, match=r"marks.x: \[-3, 0\]; expected first ≤ last, and there is no place 0"):
        AttributionAudit.parse({"marks": {"x": [-3, 0]}}, "audit")


@pytest.mark.slow
def test_self_test() -> None:
    assert all(trial.passed for trial in AttributionAudit.self_test(1))
