"""A prior's precision from data: the fixed point, awkward data, folds, and what a start is worth."""

import numpy as np
import pytest
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.prior_evidence import choose_by_evidence, choose_by_folds, project
from exapt.evidence.prior_worth import equivalent_labels, worth_of_start


def planted(n, p, distance, scratch, noise=1.0, seed=0):
    """Features, targets, and a start at a distance from the truth, whose own length is `scratch`."""
    rng = np.random.default_rng(seed)
    truth, off = (v / np.linalg.norm(v) for v in rng.standard_normal((2, p)))
    x = rng.standard_normal((n, p))
    return x, x @ (scratch * truth) + noise * rng.standard_normal(n), scratch * truth + distance * off


@pytest.mark.parametrize(("n", "p"), [(60, 20), (30, 50), (40, 40)])
def test_maximum_is_the_fixed_point_of_mackay_and_logme(n, p):
    x, y, _ = planted(n, p, 1, 2)
    found = choose_by_evidence(project(x, y))
    gamma = found.effective
    residual = y - x @ found.weights
    assert found.precision == pytest.approx(gamma / (found.weights**2).sum(), rel=1e-3)
    assert found.noise**2 == pytest.approx((residual**2).sum() / (n - gamma), rel=1e-3)


def test_evidence_is_the_normal_density_of_the_targets():
    x, y, start = planted(15, 6, 1, 2)
    problem = project(x, y, start)
    noise2 = problem.noise2(np.array([3.0]))[0]
    covariance = noise2 * (np.eye(15) + x @ x.T / 3.0)
    known = stats.multivariate_normal(x @ start, covariance).logpdf(y)
    assert problem.log_evidence(3.0)[0] == pytest.approx(known)


def test_ridge_towards_the_start_solves_the_normal_equations():
    x, y, start = planted(12, 20, 1, 2)
    known = start + np.linalg.solve(x.T @ x + 5 * np.eye(20), x.T @ (y - x @ start))
    assert project(x, y, start).weights(5.0) == pytest.approx(known)


def test_precision_is_that_of_the_planted_distance():
    x, y, start = planted(400, 100, 0.5, 2)
    found = choose_by_evidence(project(x, y, start))
    assert found.low < 100 / 0.5**2 < found.high
    assert found.noise == pytest.approx(1, rel=0.15)


def test_a_perfect_start_has_no_finite_precision():
    x, y, start = planted(60, 10, 0.0, 2, seed=3)
    found = choose_by_evidence(project(x, y, start))
    assert found.high == np.inf and found.penalty > 100


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_a_fit_without_residual_stays_finite(noise):
    x, y, start = planted(30, 10, 1, 2, noise=noise)
    found = choose_by_evidence(project(x, y))
    assert np.isfinite(found.log_evidence) and np.isfinite(found.weights).all()
    assert x @ found.weights == pytest.approx(y, abs=1e-3)
    exact = choose_by_evidence(project(x, x @ start, start))
    assert np.isfinite(exact.weights).all() and exact.weights == pytest.approx(start)


def test_folds_choose_near_the_best_penalty():
    x, y, start = planted(200, 50, 0.5, 2)
    penalty, errors = choose_by_folds(x, y, start)
    assert 50 <= penalty <= 1000  # the theory's is 200
    assert errors.min() < errors[0] and len(errors) == 41
    assert choose_by_folds(x, y, start)[0] == penalty


def test_folds_equal_a_loop_over_ridge():
    x, y, _ = planted(20, 5, 1, 2)
    grid = np.array([0.5, 5.0])
    order = np.random.default_rng(4).permutation(20)
    total = np.zeros(2)
    for out in np.array_split(order, 4):
        kept = np.setdiff1d(np.arange(20), out)
        for i, penalty in enumerate(grid):
            w = np.linalg.solve(x[kept].T @ x[kept] + penalty * np.eye(5), x[kept].T @ y[kept])
            total[i] += ((y[out] - x[out] @ w) ** 2).sum()
    assert choose_by_folds(x, y, penalties=grid, folds=4, seed=4)[1] == pytest.approx(total / 20)


def test_worth_in_labels_where_all_directions_are_alike():
    assert equivalent_labels(np.ones(50), 40, 200.0, 12.5) == pytest.approx(187.5)
    assert equivalent_labels(np.ones(20), 40, 5.0, 20.0) == pytest.approx(-15)
    assert equivalent_labels(np.ones(20), 40, 5.0, 5.0) == 0


def test_a_good_start_is_worth_its_labels():
    x, y, start = planted(300, 50, 0.5, 2)
    found = worth_of_start(x, y, start)
    assert found.low < 187.5 < found.high and found.told
    assert found.sentence.startswith("This start is worth about")


def test_a_bad_start_costs_labels():
    x, y, start = planted(200, 20, 3, 1)
    found = worth_of_start(x, y, start)
    assert found.high < 0 and found.sentence.startswith("This start hurts: it costs about")


def test_what_cannot_be_told_is_refused():
    x, y, start = planted(60, 20, 1.0, 1.0)
    found = worth_of_start(x, y, start)
    assert not found.told and "cannot be told from 60 labels" in found.sentence


def test_intercept_takes_the_means_out():
    x, y, start = planted(100, 10, 0.5, 2)
    plain, moved = worth_of_start(x, y, start), worth_of_start(x + 3, y - 70, start)
    assert moved.labels == pytest.approx(plain.labels, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.ones((9, 2)), np.ones(8), "expected"),
        (np.full((9, 2), np.nan), np.ones(9), "not finite"),
        (np.zeros((9, 2)), np.ones(9), "every feature is zero"),
        (np.eye(4), np.ones(4), "use 8 or more"),
    ],
)
def test_mistakes_are_one_line(x, y, said):
    with pytest.raises(InputError, match=said):
        choose_by_evidence(project(x, y))


def test_too_many_folds_are_refused():
    with pytest.raises(InputError, match="20 folds of 9 labels; valid: 2 to 9"):
        choose_by_folds(np.eye(9), np.ones(9), folds=20)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "p", "distance", "scratch"), [(200, 50, 0.5, 2), (100, 20, 2, 1), (100, 20, 1, 1)])
def test_interval_covers_the_truth(n, p, distance, scratch):
    truth = p * (1 / distance**2 - 1 / scratch**2)
    inside = 0
    for seed in range(200):
        x, y, start = planted(n, p, distance, scratch, seed=seed)
        found = worth_of_start(x, y, start, intercept=False)
        inside += found.low <= truth <= found.high
    assert inside >= 0.85 * 200
