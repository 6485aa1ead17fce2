"""The prior in closed form: against fits, and against the numbers of a planted task."""

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.prior import (
    best_penalty,
    best_precision,
    best_risk,
    hurts,
    ridge_risk,
    risk_per_label,
    rotated,
    simulate_risk,
    worth,
)
from exapt.evidence.prior_finding import PriorProblem, prior_finding

PENALTIES = np.array([1.0, 10, 50, 200, 1000])


def test_the_planted_task_has_its_known_risks():
    """p = 50, n = 40, σ = 1, D = 0.5, seed 0."""
    spectrum, turned = rotated(*PriorProblem().draw())
    known = [2.3206, 0.6721, 0.2607, 0.2092, 0.2333]
    assert ridge_risk(spectrum, turned, PENALTIES).total == pytest.approx(known, abs=5e-5)


def test_closed_form_is_what_fits_give():
    design, difference = PriorProblem(labels=30, dimension=20).draw()
    seen = simulate_risk(design, difference, PENALTIES, 1.0, np.random.default_rng(1), 1500)
    exact = ridge_risk(*rotated(design, difference), PENALTIES).total
    assert (np.abs(seen.risk - exact) < 4 * seen.error).all()
    assert (seen.error < 0.03 * seen.risk).all()


def test_variance_falls_and_bias_rises_with_precision():
    spectrum, turned = rotated(*PriorProblem().draw())
    risk = ridge_risk(spectrum, turned, PENALTIES)
    assert (np.diff(risk.variance) < 0).all() and (np.diff(risk.bias2) > 0).all()
    farther = ridge_risk(spectrum, 2 * turned, PENALTIES)
    assert farther.bias2 == pytest.approx(4 * risk.bias2)
    assert farther.variance == pytest.approx(risk.variance)


@pytest.mark.parametrize(("distance", "best"), [(0.5, 200.0), (2.0, 12.5)])
def test_best_penalty_is_the_best_of_the_mean_over_directions(distance, best):
    spectrum, _ = rotated(*PriorProblem().draw())
    assert best_penalty(50, 1.0, distance) == best
    grid = best * np.linspace(0.5, 2, 301)
    risks = ridge_risk(spectrum, np.full(50, distance / 50**0.5), grid).total
    assert grid[risks.argmin()] == pytest.approx(best, rel=0.01)


def test_precision_does_not_know_the_noise():
    assert best_precision(50, 0.5) == 200 == best_penalty(50, 3.0, 0.5) / 9
    assert best_precision(50, 0.0) == np.inf == best_penalty(50, 1.0, 0.0)


def test_orthonormal_risk_is_the_closed_form_at_the_best_penalty():
    n, p, sigma, distance = 80, 50, 1.3, 0.7
    flat = np.full(p, float(n))
    found = ridge_risk(flat, np.full(p, distance / p**0.5), best_penalty(p, sigma, distance), sigma).total
    assert found == pytest.approx(best_risk(n, p, sigma, distance))


@pytest.mark.parametrize("labels", [10, 50, 200])
def test_a_start_is_worth_the_same_number_of_labels_at_every_n(labels):
    gain = worth(50, 1.0, 0.5, 2.0)
    assert gain == 187.5
    assert best_risk(labels + gain, 50, 1.0, 2.0) == pytest.approx(best_risk(labels, 50, 1.0, 0.5))


def test_a_start_farther_than_scratch_hurts():
    assert worth(20, 1.0, 2.0, 1.0) == -15 and hurts(2.0, 1.0)
    assert worth(20, 1.0, 1.0, 1.0) == 0 and not hurts(1.0, 1.0)
    assert best_risk(30, 20, 1.0, 2.0) > best_risk(30, 20, 1.0, 1.0)


def test_one_more_label_removes_the_derivative():
    step = 1e-4
    ends = best_risk(np.array([40 - step, 40 + step]), 50, 1.0, 0.5)
    assert risk_per_label(40, 50, 1.0, 0.5) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-6)


def test_finding_agrees_with_simulation_and_says_the_labels():
    finding = prior_finding(PriorProblem(dimension=10, labels=12), repeats=400)
    assert finding.verdict == "WORTH LABELS" and finding.effect == 37.5
    assert "37.5 labels" in finding.sentence
    worse = prior_finding(PriorProblem(dimension=10, labels=12, distance=2, scratch_distance=1), repeats=400)
    assert worse.verdict == "HURTS" and worse.level == "bad" and "costs 7.5" in worse.sentence
    assert finding.plain()["plots"][0]["series"]


def test_mistakes_are_one_line():
    with pytest.raises(InputError, match="distance 0; expected a number above 0"):
        PriorProblem(distance=0)
    with pytest.raises(InputError, match="3 parameters for a design with 2"):
        simulate_risk(np.zeros((4, 2)), np.zeros(3), PENALTIES, 1.0, np.random.default_rng(0))
