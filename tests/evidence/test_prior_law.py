"""The prior's law on learning curves: planted starts are found, awkward curves are not identified."""

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.prior_law import fit_law, prior_law

BUDGETS = np.array([10.0, 20, 40, 80, 160])


def curves(k0, k, slope=20.0, floor=0.05, noise=0.0, seed=0, seeds=5, ratio=1.0):
    """Scores (S, m) of scratch and pre-trained under the law, with noise of each cell."""
    rng = np.random.default_rng(seed)
    shape = (seeds, len(BUDGETS))
    arms = [floor + slope / (factor * BUDGETS + start) for factor, start in ((1.0, k0), (ratio, k))]
    return [1 - e + noise * rng.standard_normal(shape) for e in arms]


def test_noiseless_curves_give_back_their_parameters():
    law = prior_law(BUDGETS, *curves(15, 60), resamples=40)
    fit = law.additive
    assert law.worth == pytest.approx(45, rel=0.02)
    assert [fit.floor[0], fit.slope[0]] == pytest.approx([0.05, 20], rel=0.05)
    assert law.verdict == "HELPS" and law.better == "additive" and not law.doubts


@pytest.mark.parametrize(("k", "verdict"), [(60, "HELPS"), (15, "UNDECIDED"), (4, "HARMS")])
def test_verdict_follows_the_planted_start(k, verdict):
    law = prior_law(BUDGETS, *curves(15, k, noise=0.01, seed=1), resamples=40)
    assert law.verdict == verdict
    assert law.worth == pytest.approx(k - 15, abs=3)


def test_a_multiplied_curve_is_told_from_a_shifted_one():
    law = prior_law(BUDGETS, *curves(15, 15, noise=0.005, ratio=3.0), resamples=40)
    assert law.better == "multiplicative"
    assert law.ratio_low < 3 < law.ratio_high and law.ratio == pytest.approx(3, rel=0.1)


def test_the_same_curves_are_worth_nothing():
    scratch, _ = curves(15, 15, noise=0.01)
    law = prior_law(BUDGETS, scratch, scratch, resamples=40)
    assert law.worth == 0 and law.verdict == "UNDECIDED"


def test_flat_curves_are_not_identified():
    rising = np.tile(0.5 - 0.001 * np.arange(5), (4, 1)) + 1e-4 * np.random.default_rng(0).standard_normal((4, 5))
    law = prior_law(BUDGETS, rising, rising, resamples=40)
    assert law.verdict == "NOT IDENTIFIED" and "do not fall" in law.doubts[0]


def test_fit_is_no_worse_than_a_general_minimiser():
    from scipy.optimize import minimize

    scratch, pretrained = curves(15, 60, noise=0.02, seed=2)
    errors = np.concatenate([1 - scratch.mean(0), 1 - pretrained.mean(0)])

    def loss(p):
        k0, k = np.exp(p[2:])
        fitted = p[0] + p[1] / np.concatenate([BUDGETS + k0, BUDGETS + k])
        return ((fitted - errors) ** 2).mean()

    known = minimize(loss, [0.05, 20, np.log(15), np.log(60)], method="Nelder-Mead", options={"maxiter": 8000})
    assert fit_law(BUDGETS, errors[None], multiplies=False).loss[0] <= known.fun * 1.02


@pytest.mark.parametrize(
    ("budgets", "shape", "said"),
    [
        ([10, 20], (5, 2), "needs 3 budgets and 3 seeds"),
        ([10, 20, 40], (2, 3), "3 budgets and 2 seeds"),
        ([10, 20, 20], (3, 3), "rising counts"),
        ([10, 20, 40], (3, 4), "expected \\(seeds, 3\\) twice"),
    ],
)
def test_mistakes_are_one_line(budgets, shape, said):
    with pytest.raises(InputError, match=said):
        prior_law(budgets, np.zeros(shape), np.zeros(shape))


@pytest.mark.slow
@pytest.mark.parametrize("k", [15, 60, 200])
def test_interval_covers_the_planted_worth(k):
    inside = 0
    for seed in range(150):
        law = prior_law(BUDGETS, *curves(15, k, noise=0.01, seed=seed), resamples=10)
        inside += law.low <= k - 15 <= law.high
    assert 0.82 * 150 <= inside <= 0.97 * 150
