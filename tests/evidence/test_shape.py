import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, nnls

from exapt.evidence.shape import EXPONENTS, curve_weights, errors_from, fit_power, isotonic, reach

N = np.array([10.0, 20, 40, 80, 160, 320, 640])


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=9))
def test_isotonic_is_scipys(errors: list[float]) -> None:
    expected = isotonic_regression(np.array(errors), increasing=False).x
    assert isotonic(np.array(errors)) == pytest.approx(expected, abs=1e-9)


def test_isotonic_takes_leading_axes() -> None:
    e = np.random.default_rng(0).normal(size=(4, 3, 6))
    assert isotonic(e)[2, 1] == pytest.approx(isotonic(e[2, 1]))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_power_law_is_the_best_nnls_over_the_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e, w = rng.normal(0.3, 0.2, 7), rng.uniform(0.2, 3, 7)
    root = np.sqrt(w / w.sum())
    fits = [nnls(np.stack([root, root * N**-c], 1), root * e)[1] for c in EXPONENTS]
    law = fit_power(N, e, w)
    mine = np.sqrt(np.sum(w / w.sum() * (e - law(N)) ** 2))
    assert mine == pytest.approx(min(fits), rel=1e-6)
    assert law.a >= 0 and law.b >= 0


def test_power_law_recovers_the_truth_and_inverts_it() -> None:
    law = fit_power(N, np.stack([0.05 + 0.9 * N**-0.5, 0.3 * N**-1.0]), np.ones(7))
    assert (law.a, law.b, law.c) == (
        pytest.approx([0.05, 0], abs=1e-9),
        pytest.approx([0.9, 0.3]),
        pytest.approx([0.5, 1]),
    )
    assert law.reach(law(N)) == pytest.approx(np.stack([N, N]))
    assert np.isinf(law.reach(np.array([[0.05, 0.01], [0.0, -1.0]]))).all()


def _reach_slowly(errors: np.ndarray, target: float) -> float:
    """The plain path: walk along the curve until it meets the target."""
    if target > errors[0]:
        return 0.0
    for i in range(len(errors)):
        if errors[i] <= target:
            if i == 0 or errors[i] == target == errors[i - 1]:
                return N[i]
            share = np.log(errors[i - 1] / target) / np.log(errors[i - 1] / errors[i])
            return float(np.exp(np.log(N[i - 1]) + share * np.log(N[i] / N[i - 1])))
    return np.inf


@given(st.lists(st.integers(1, 20), min_size=7, max_size=7), st.lists(st.integers(1, 22), min_size=1, max_size=5))
def test_reach_is_the_walk_along_the_curve(heights: list[int], targets: list[int]) -> None:
    errors = np.array(sorted(heights, reverse=True)) / 20
    goal = np.array(targets) / 20
    expected = [_reach_slowly(errors, t) for t in goal]
    assert reach(N, errors[None], goal[None])[0] == pytest.approx(expected)


def test_reach_without_positive_errors_is_straight_in_the_error() -> None:
    errors = np.array([[0.4, 0.2, 0.0]])
    assert reach(N[:3], errors, np.array([[0.3, 0.0, -0.1, 0.5]]))[0] == pytest.approx([np.sqrt(200), 40, np.inf, 0])


def test_natural_ceilings() -> None:
    assert errors_from(np.array([0.2, 0.9])).ceiling == 1
    assert errors_from(np.array([-3.0, 0.7])).ceiling == 1
    assert errors_from(np.array([-3.0, -0.7])).ceiling == 0
    assert errors_from(np.array([2.0, 5.0])).ceiling == 8
    assert "no upper limit" in errors_from(np.array([2.0, 5.0])).how
    chosen = errors_from(np.array([2.0, 5.0]), ceiling=10)
    assert chosen(np.array([2.0])) == [8.0] and chosen.score(8.0) == 2.0


def test_weights_are_inverse_variances_steadied() -> None:
    errors = np.array([[0.0, 0.0], [2.0, 4.0]])
    assert curve_weights(errors) == pytest.approx([1 / 3.5, 1 / 6.5])
    assert curve_weights(np.ones((3, 2))).tolist() == [1, 1]
