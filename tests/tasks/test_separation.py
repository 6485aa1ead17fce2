"""Separation of scores and calibration, against closed forms and plain loops."""

import numpy as np
import pytest
from scipy.stats import norm

from exapt.domains import DnaSpec, from_arrays
from exapt.tasks import ClassifySpec
from exapt.tasks.separation import calibration_error, d_prime, logit, overlap, separation


def two_normals(gap: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal(count), gap + rng.standard_normal(count)


@pytest.mark.parametrize("gap", [0.0, 1.0, 2.5])
def test_normal_scores_have_the_d_prime_and_overlap_of_the_textbook(gap):
    first, second = two_normals(gap)
    assert d_prime(first, second) == pytest.approx(gap, abs=0.03)
    assert overlap(first, second) == pytest.approx(2 * norm.cdf(-gap / 2), abs=0.03)


def test_scores_apart_and_alike():
    assert overlap(np.zeros(5), np.ones(5)) == 0 and overlap(np.ones(5), np.ones(5)) == 1
    assert d_prime(np.zeros(5), np.ones(5)) == np.inf and d_prime(np.ones(5), np.ones(5)) == 0
    first, second = two_normals(40.0, 500)
    assert overlap(first, second) < 1e-6


def test_calibration_is_the_gap_in_runs_of_equally_many():
    rng = np.random.default_rng(1)
    p, truth = rng.random(150), rng.integers(0, 2, 150)
    order, total = np.argsort(p, kind="stable"), 0.0
    for run in range(15):
        here = order[run * 10 : run * 10 + 10]
        total += 10 * abs(p[here].mean() - truth[here].mean())
    assert calibration_error(p, truth) == pytest.approx(total / 150)


def test_honest_probabilities_are_calibrated_and_boasts_are_not():
    rng = np.random.default_rng(2)
    p = rng.random(50_000)
    truth = (rng.random(50_000) < p).astype(int)
    assert calibration_error(p, truth) < 0.02
    assert calibration_error(np.round(p), truth) > 0.2


def test_certain_probabilities_have_finite_scores():
    assert np.isfinite(logit(np.array([0.0, 0.5, 1.0]))).all() and logit(np.array([0.5])) == 0


def test_two_classes_have_figures_and_three_have_none():
    prediction, truth = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]), np.array([0, 1, -1])
    source = from_arrays(["AC", "GT"], label=["x", "y"])
    task = ClassifySpec().build(DnaSpec().build(source).read(source))
    assert task.figures(prediction, truth) == separation(np.array([0.2, 0.7]), np.array([0, 1]))
    assert task.figures(prediction, truth)["Brier"] == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert task.figures(prediction, np.array([0, -1, -1])) == {}
