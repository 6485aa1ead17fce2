"""Invariance and decodability against naive formulas and the planted case of coloured digits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from exapt.evidence.invariance import chance, decodable, invariance, lost, noticed, probe

RNG = np.random.default_rng(0)


def naive(before: np.ndarray, after: np.ndarray) -> float:
    n = len(before)
    apart = [np.square(before[i] - before[j]).sum() for i in range(n) for j in range(n) if i != j]
    return float(1 - np.square(before - after).sum(1).mean() / np.mean(apart))


def test_invariance_is_its_formula() -> None:
    f = RNG.normal(3, 1, (60, 5)) * [1, 2, 3, 4, 5]
    g = f + RNG.normal(size=(60, 5))
    found = invariance(f, g)
    assert found.plain.value == pytest.approx(naive(f, g))
    assert found.plain.low < found.plain.value < found.plain.high
    centred = f - f.mean(0)
    values, axes = np.linalg.eigh(ledoit_wolf(centred, assume_centered=True)[0])
    white = axes / np.sqrt(values) @ axes.T
    assert found.whitened == pytest.approx(naive(f @ white, g @ white))
    other = g - f.mean(0)
    cosines = (centred * other).sum(1) / np.linalg.norm(centred, axis=1) / np.linalg.norm(other, axis=1)
    assert found.cosine == pytest.approx(cosines.mean())


def test_ends_of_the_scale() -> None:
    f = RNG.normal(size=(2000, 8))
    same = invariance(f, f)
    assert (same.plain.value, same.whitened, same.cosine) == pytest.approx((1, 1, 1))
    assert invariance(f, RNG.permutation(f)).plain.value == pytest.approx(0, abs=0.05)
    assert invariance(f, -f).plain.value < -0.5
    assert math.isnan(invariance(np.ones((50, 3)), np.ones((50, 3))).plain.value)


def test_the_interval_covers() -> None:
    truth = 1 - 0.25 * 4 / 8  # noise of variance 0.25 in 4 directions, strangers 2 · 4 apart
    hits = 0
    for run in range(100):
        rng = np.random.default_rng(run)
        f = rng.normal(size=(150, 4))
        found = invariance(f, f + 0.5 * rng.normal(size=f.shape), seed=run).plain
        hits += found.low <= truth <= found.high
    assert 80 <= hits <= 98


def test_decodability() -> None:
    f = RNG.normal(size=(800, 6))
    assert decodable(f, f[:, :2] @ np.ones((2, 1))).value == pytest.approx(1, abs=1e-3)
    nothing = decodable(f, RNG.normal(size=(800, 1)))
    assert nothing.value < 0.05 and nothing.low <= nothing.value
    assert noticed(f, f + 3).value > 0.95
    assert abs(noticed(f, f).value) < 0.2


def test_a_task_that_needs_what_is_scrambled() -> None:
    labels = RNG.integers(0, 2, 800)
    x = RNG.normal(size=(800, 4))
    x[:, 0] += 6 * labels
    scrambled = [np.column_stack([RNG.permutation(x[:, 0]), x[:, 1:]]) for _ in range(2)]
    assert lost(x, scrambled, labels).low > 0.3
    other = [np.column_stack([x[:, :3], RNG.permutation(x[:, 3])]) for _ in range(2)]
    assert abs(lost(x, other, labels).value) < 0.02
    assert lost(x, scrambled, labels.astype(float)).low > 0.5  # numbers: share of variance explained
    assert chance(np.array([0, 0, 1])) == pytest.approx(2 / 3) and chance(np.array([0.5, 1.5])) == 0
    assert probe(x, labels).right.mean() > 0.95


def test_rounding_is_no_knowledge() -> None:
    labels = RNG.integers(0, 2, 800)
    x = RNG.normal(size=(800, 4)).astype(np.float32)
    x[:, 3] = 1e-7 * labels  # what a probe that standardises would read perfectly
    assert abs(probe(x, labels).right.mean() - 0.5) < 0.12
