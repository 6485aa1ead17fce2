import numpy as np
import pytest
from scipy import stats

from exapt.evidence.signflip import sign_flip


@pytest.mark.parametrize(("n", "least"), [(3, 0.125), (5, 0.03125), (6, 0.015625), (8, 0.00390625), (10, 0.0009765625)])
def test_least_p_when_all_differences_agree(n: int, least: float) -> None:
    p = sign_flip(np.arange(1.0, n + 1))
    assert p.greater == p.least == least
    assert p.two_sided == 2 * least
    assert p.less == 1.0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("side", ["greater", "less", "two-sided"])
def test_equals_scipys_exact_test(seed: int, side: str) -> None:
    d = np.random.default_rng(seed).normal(0.3, 1, 7)
    exact = stats.permutation_test(
        (d,), np.sum, permutation_type="samples", alternative=side, n_resamples=np.inf, vectorized=False
    )
    assert getattr(sign_flip(d), side.replace("-", "_")) == pytest.approx(exact.pvalue)


def test_random_patterns_agree_with_enumeration_and_repeat() -> None:
    d = np.random.default_rng(0).normal(0.3, 1, 18)
    bits = np.arange(2**18)[:, None] >> np.arange(18) & 1
    exact = np.mean((1.0 - 2 * bits) @ d >= d.sum() - 1e-12)
    p = sign_flip(d)
    assert p.greater == pytest.approx(exact, abs=4 * np.sqrt(exact / 2**16))
    assert sign_flip(d) == p != sign_flip(d, seed=1)
    assert p.least == 2**-16


def test_ties_and_zeros_count_as_extreme() -> None:
    assert sign_flip(np.zeros(5)).greater == 1.0
    assert sign_flip(np.array([0.1, 0.1, -0.1])).greater == 0.5
    assert sign_flip(np.array([0.3, 0.1, 0.2]) - 0.0).greater == 0.125


def test_p_is_uniform_enough_under_the_null() -> None:
    rng = np.random.default_rng(3)
    p = [sign_flip(rng.standard_t(3, 8)).greater for _ in range(2000)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.015)
