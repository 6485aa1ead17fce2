"""Couplings of an alignment: against naive sums, and against contacts that were planted."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains.potts import Family
from exapt.errors import InputError
from exapt.evidence.couplings import corrected, mean_field, mutual_information, weights_of


def test_apc_by_its_formula() -> None:
    scores = np.random.default_rng(0).random((5, 5))
    scores = scores + scores.T
    found = corrected(scores)
    off = [[scores[i, j] for j in range(5) if j != i] for i in range(5)]
    rows, whole = [np.mean(r) for r in off], np.mean(off)
    for i in range(5):
        for j in range(5):
            assert found[i, j] == pytest.approx(0 if i == j else scores[i, j] - rows[i] * rows[j] / whole)


def test_mutual_information_by_its_definition() -> None:
    """Three letters, no pseudo-count, sequences far apart: so that every one weighs 1."""
    alignment = np.array([[0, 0, 1, 2, 0], [1, 1, 0, 2, 2], [2, 2, 2, 0, 1], [0, 1, 2, 1, 2]])
    assert weights_of(alignment).tolist() == [1.0] * 4
    raw = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            for a in range(3):
                for b in range(3):
                    both = np.mean((alignment[:, i] == a) & (alignment[:, j] == b))
                    if both:
                        raw[i, j] += both * np.log(both / np.mean(alignment[:, i] == a) / np.mean(alignment[:, j] == b))
    assert np.allclose(mutual_information(alignment, 3, pseudo=0.0), corrected(raw))


def test_like_sequences_share_a_weight() -> None:
    alignment = np.array([[0] * 10, [0] * 9 + [1], [1] * 10])
    assert weights_of(alignment).tolist() == [0.5, 0.5, 1.0]


def test_planted_contacts_are_found() -> None:
    family = Family.drawn(24, 3)
    scores = mean_field(family.sample(400, np.random.default_rng(0), sweeps=25))
    first, second = np.triu_indices(24, 6)
    best = np.argsort(-scores[first, second])[: len(family.pairs)]
    touching = set(map(tuple, family.pairs.tolist()))
    right = np.mean([(int(first[k]), int(second[k])) in touching for k in best])
    assert right > 0.9


def test_one_sequence_is_no_alignment() -> None:
    with pytest.raises(InputError, match="expected two or more sequences"):
        mean_field(np.zeros((1, 8), dtype=int))
