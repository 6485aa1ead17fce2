"""The alarm's rule against scipy, and its error rates on simulated runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, ttest_ind

from exapt.training.detector import alarms, falling, outlook, p_falling, standing

ONSET = 20


def runs(kind: str, count: int = 200, evaluations: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Loss and accuracy (count, T) with 1 % noise, accuracy of 1,000 examples."""
    rng, t = np.random.default_rng(seed), np.arange(evaluations)
    scale = 5 if kind == "converged" else 25
    loss, accuracy = 0.5 + 2 * np.exp(-t / scale), 0.9 - 0.6 * np.exp(-t / scale)
    if kind in ("stagnation", "collapse"):
        slope = 0.01 if kind == "collapse" else 0.0
        accuracy = np.where(t < ONSET, accuracy, accuracy[ONSET] - slope * (t - ONSET))
    noisy = loss * (1 + 0.01 * rng.standard_normal((count, evaluations)))
    return noisy, rng.binomial(1000, np.broadcast_to(accuracy, noisy.shape)) / 1000


def test_the_trend_is_kendalls_exact_test() -> None:
    values = np.random.default_rng(0).normal(size=(20, 10))
    expected = [kendalltau(np.arange(10), row, alternative="less", method="exact").pvalue for row in values]
    np.testing.assert_allclose(p_falling(values), expected, rtol=1e-9)
    assert p_falling(np.arange(10.0)[::-1]) == pytest.approx(1 / 3628800)


def test_the_bound_is_welchs() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        accuracy = rng.normal(0.8, 0.01, 20)
        found = ttest_ind(accuracy[10:], accuracy[:10], equal_var=False).confidence_interval(0.9).high
        assert standing(accuracy, 20, found + 1e-9)[0] and not standing(accuracy, 20, found - 1e-9)[0]


@pytest.mark.parametrize("window", [16, 20, 24])
def test_error_rates_over_200_runs(window: int) -> None:
    for kind, most in (("healthy", 0.05), ("converged", 0.02)):
        assert alarms(*runs(kind), window).any(1).mean() <= most, kind
    for kind, least in (("stagnation", 0.9), ("collapse", 0.99)):
        found = alarms(*runs(kind), window)
        hit = found.any(1)
        first = found[hit].argmax(1) + window
        assert hit.mean() >= least, kind
        assert ONSET < np.median(first) <= ONSET + window + 5, kind


def state(kind: str, rank: np.ndarray, end: int = 60) -> str:
    loss, accuracy = (column[0, :end].tolist() for column in runs(kind, 1))
    return outlook(loss, accuracy, rank[:end].tolist()).state


def test_what_the_alarm_is_called() -> None:
    held, shrinking = np.full(60, 50.0), 50 * np.exp(-np.maximum(np.arange(60) - ONSET, 0) / 25)
    assert state("collapse", shrinking, 45) == "COLLAPSE"
    assert state("collapse", held, 45) == "STAGNATION"
    assert state("converged", held) == "CONVERGED"
    assert state("healthy", held, 40) == "HEALTHY"


def test_too_few_evaluations_are_no_guess() -> None:
    found = outlook([1.0] * 20, [0.5] * 20, [3.0] * 20)
    assert (found.state, found.why, found.alarm) == ("TOO FEW", "too few evaluations: 20, needs 21", False)


def test_a_small_fall_is_none() -> None:
    loss = np.linspace(1, 0.985, 20)
    assert not falling(loss)[0] and falling(np.linspace(1, 0.9, 20))[0]
