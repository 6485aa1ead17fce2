"""Exposure and the one-run ε audit: target numbers, and mechanisms whose ε is known."""

import numpy as np
import pytest
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.canaries import epsilon_bound, exposure, one_run_guesses, one_run_p_value, repeated

TARGETS = [
    (100, 100, 100, 3.490, 3.493),
    (1000, 100, 100, 3.465, 3.493),
    (1000, 600, 600, 5.270, 5.297),
    (1000, 1000, 600, 0.297, None),
    (1000, 1000, 750, 0.976, None),
    (1000, 100, 95, 2.165, None),
    (1000, 1000, 500, 0.0, 0.0),
]


@pytest.mark.parametrize(("m", "r", "v", "approximate", "pure"), TARGETS)
def test_target_bounds(m, r, v, approximate, pure):
    assert epsilon_bound(m, r, v, 1e-5) == pytest.approx(approximate, abs=0.0015)
    if pure is not None:
        assert epsilon_bound(m, r, v) == pytest.approx(pure, abs=0.0015)


def test_the_p_value_is_the_formula():
    m, r, v, epsilon, delta = 60, 20, 15, 0.7, 1e-3
    q = np.exp(epsilon) / (1 + np.exp(epsilon))
    alpha = max(sum(stats.binom.pmf(w, r, q) for w in range(v - i, v)) / i for i in range(1, m + 1))
    wanted = sum(stats.binom.pmf(w, r, q) for w in range(v, r + 1)) + 2 * m * delta * alpha
    assert one_run_p_value(m, r, v, epsilon, delta) == pytest.approx(wanted)
    assert one_run_p_value(m, r, 0, 0.0) == 1
    assert one_run_p_value(100, 10, 5, 0.0, 0.5) == 1


def test_impossible_counts():
    for bad in [(10, 5, 6), (10, 12, 3), (10, 0, 0)]:
        with pytest.raises(InputError, match="is not possible"):
            one_run_p_value(*bad, 1.0)
    with pytest.raises(InputError, match="valid: even"):
        one_run_guesses(np.zeros(10), np.zeros(10, bool), 3)


def test_randomised_response_is_never_found_above_its_epsilon():
    """Each canary's membership is answered truly with e^ε / (1 + e^ε): exactly ε-DP. One audit in twenty may err."""
    rng = np.random.default_rng(0)
    truth, wrong = 1.0, 0
    found = []
    for _ in range(400):
        member = rng.random(400) < 0.5
        true = rng.random(400) < 1 / (1 + np.exp(-truth))
        scores = np.where(true, member, ~member) + rng.random(400) / 10
        bound = epsilon_bound(400, 200, one_run_guesses(scores, member, 200))
        wrong += bound > truth
        found.append(bound)
    assert wrong <= stats.binom.ppf(0.999, 400, 0.05)
    assert 0.5 < np.median(found) < 1.0


def test_guesses():
    scores = np.array([9.0, 8, 7, 3, 2, 1])
    member = np.array([True, False, True, True, False, True])
    assert one_run_guesses(scores, member, 4) == 2
    assert one_run_guesses(scores, member, 6) == 3


def test_exposure():
    reference = np.arange(1023.0)
    assert exposure(np.array([2000.0]), reference) == pytest.approx(10)
    assert exposure(np.array([-1.0]), reference) == pytest.approx(0)
    assert exposure(np.array([1022.0]), reference) == pytest.approx(9)
    with pytest.raises(InputError, match="not planted"):
        exposure(np.zeros(1), np.zeros(0))


def test_a_canary_in_more_often_is_exposed_more():
    """A model that remembers how often it saw a thing."""
    rng = np.random.default_rng(0)
    places, often = repeated(np.arange(500), (1, 2, 4, 8, 16))
    assert np.array_equal(np.bincount(places), often)
    scores = rng.normal(0.3 * np.bincount(places), 1)
    found = exposure(scores, rng.normal(size=4000))
    means = [found[often == r].mean() for r in (1, 2, 4, 8, 16)]
    assert np.all(np.diff(means) > 0)
    assert exposure(rng.normal(size=2000), rng.normal(size=4000)).mean() == pytest.approx(1 / np.log(2), abs=0.1)
