"""Membership scores: each formula against a naive one, and the harness on a release whose leak is known exactly."""

import numpy as np
import pytest
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.membership import (
    calibrated_loss,
    each_in_turn,
    lira,
    lira_offline,
    log_odds,
    loss_threshold,
    rmia,
    side,
    tune_a,
)
from exapt.evidence.roc import auc, rate_at


def simulated(k=16, n=300, gap=1.0, spread=0.0, seed=0):
    """φ of models whose members lie higher by `gap`; examples differ in difficulty, and by `spread` in variance."""
    rng = np.random.default_rng(seed)
    member = rng.random((k, n)) < 0.5
    scale = np.exp(rng.normal(0, spread, n))
    return rng.normal(3 * rng.normal(size=n) + gap * member * scale, scale), member


def test_log_odds():
    p = np.array([1e-9, 0.2, 0.5, 0.9])
    np.testing.assert_allclose(log_odds(np.log(p)), np.log(p / (1 - p)), rtol=1e-6)
    assert np.isfinite(log_odds(np.array([0.0, -800.0]))).all()


def test_simple_scores():
    losses = np.array([0.1, 2.0])
    np.testing.assert_array_equal(loss_threshold(losses), [-0.1, -2.0])
    references = np.array([[0.3, 1.0], [0.5, 9.0]])
    member = np.array([[False, True], [False, True]])
    np.testing.assert_allclose(calibrated_loss(losses, references, member), [0.3, np.nan])


def test_the_pooled_variance_is_residual_and_the_others_are_each_examples_own():
    phi, member = simulated(k=8, n=50)
    pooled, each = side(phi, member, "pooled"), side(phi, member, "each")
    own = [phi[member[:, i], i] for i in range(50)]
    squares = sum(((v - v.mean()) ** 2).sum() for v in own)
    np.testing.assert_allclose(pooled.mean, [v.mean() for v in own])
    np.testing.assert_allclose(pooled.scale, np.sqrt(squares / sum(len(v) - 1 for v in own)))
    assert pooled.scale[0] < 0.5 * phi[member].std()
    plenty = [i for i, v in enumerate(own) if len(v) > 1]
    np.testing.assert_allclose(each.scale[plenty], [own[i].std(ddof=1) for i in plenty])


def test_the_shrunk_variance_lies_between_and_follows_the_data():
    phi, member = simulated(k=2000, n=40, spread=0.7)
    nig, each = side(phi, member, "nig"), side(phi, member, "each")
    np.testing.assert_allclose(nig.scale, each.scale, rtol=0.08)
    np.testing.assert_allclose(nig.mean, each.mean, atol=0.05)
    few, seen = simulated(k=6, n=2000, spread=0.7)
    count = seen.sum(0)
    enough = count == 2
    ratio = np.log(side(few, seen, "nig").scale[enough] / side(few, seen, "pooled").scale[enough])
    own = np.log(side(few, seen, "each").scale[enough] / side(few, seen, "pooled").scale[enough])
    assert ratio.std() < 0.5 * own.std()
    assert np.isfinite(side(few, seen, "nig").mean).all()


def test_student_t_is_the_posterior_predictive():
    """Against drawing σ² and μ from their posterior."""
    rng = np.random.default_rng(1)
    phi, member = simulated(k=9, n=400, spread=0.5)
    found = side(phi, member, "nig")
    draws = stats.t.rvs(found.freedom[0], found.mean[0], found.scale[0], size=200_000, random_state=rng)
    assert np.exp(found.log_below(np.full(400, 1.0)))[0] == pytest.approx(np.mean(draws <= 1.0), abs=0.005)
    fresh = rng.normal(size=400)
    assert np.all(found.log_density(fresh) < 1)


def test_the_likelihood_ratio():
    phi, member = simulated()
    inside, outside = (side(phi[1:], where, "pooled") for where in (member[1:], ~member[1:]))
    wanted = stats.norm.logpdf(phi[0], inside.mean, inside.scale) - stats.norm.logpdf(
        phi[0], outside.mean, outside.scale
    )
    np.testing.assert_allclose(lira(phi[0], phi[1:], member[1:], "pooled"), wanted)


def test_the_offline_score_is_one_sided():
    """φ far above what non-members reach is a member; a density would call it an outlier of either kind."""
    phi, member = simulated(gap=2.5)
    scores = each_in_turn(phi, member, lambda *a: lira_offline(*a, "pooled"))
    two_sided = each_in_turn(phi, member, lambda t, r, m: -side(r, ~m, "pooled").log_density(t))
    assert auc(scores, member) > auc(two_sided, member) + 0.02
    high = lira_offline(np.full(300, 40.0), phi, member, "pooled")
    np.testing.assert_allclose(high, 0, atol=1e-9)


def test_a_shrunk_variance_is_near_the_better_one_at_few_and_at_many_references():
    def found(k, variance):
        phi, member = simulated(k=k, n=2000, spread=0.8)
        return auc(each_in_turn(phi, member, lambda *a: lira(*a, variance)), member)

    assert found(5, "nig") > found(5, "each") + 0.03
    assert found(5, "nig") > found(5, "pooled") - 0.02
    assert found(33, "nig") > found(33, "pooled") + 0.002
    assert found(33, "nig") > found(33, "each") - 0.015


def naive_rmia(p, references, member, population, population_references, a, gamma):
    scores = []
    for x in range(len(p)):
        out = references[~member[:, x], x].mean()
        base = (out + references[member[:, x], x].mean()) / 2 if a is None else ((1 + a) * out + (1 - a)) / 2
        count = 0
        for z in range(len(population)):
            mean = population_references[:, z].mean()
            other = mean if a is None else ((1 + a) * mean + (1 - a)) / 2
            count += (p[x] / base) / (population[z] / other) > gamma
        scores.append(count / len(population))
    return scores


@pytest.mark.parametrize("a", [None, 0.3, 1.0])
def test_rmia_is_what_counting_pairs_gives(a):
    rng = np.random.default_rng(0)
    phi, member = simulated(k=8, n=30)
    member[:2] = [[True], [False]]
    p, z = 1 / (1 + np.exp(-phi)), rng.random((8, 25))
    found = rmia(p[7], p[:7], member[:7], z[7], z[:7], a=a, gamma=1.2)
    np.testing.assert_allclose(found, naive_rmia(p[7], p[:7], member[:7], z[7], z[:7], a, 1.2))


def test_the_slope_of_rmia_is_chosen_on_the_references():
    rng = np.random.default_rng(0)
    phi, member = simulated(k=6, n=300)
    p = 1 / (1 + np.exp(-phi))
    z = 1 / (1 + np.exp(-rng.normal(3 * rng.normal(size=200), 1, (6, 200))))
    best = tune_a(p, member, z)

    def mean_auc(a):
        scores = []
        for k in range(6):
            rest = np.arange(6) != k
            scores.append(auc(rmia(p[k], p[rest], member[rest], z[k], z[rest], a=a), member[k]))
        return np.mean(scores)

    assert mean_auc(best) == max(mean_auc(a) for a in (0.0, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0))
    with pytest.raises(InputError, match="takes 3 reference models"):
        tune_a(p[:2], member[:2], z[:2])


def test_too_few_references():
    with pytest.raises(InputError, match="no example has two reference models"):
        lira(np.zeros(4), np.zeros((1, 4)), np.ones((1, 4), bool))


@pytest.mark.parametrize("seed", range(3))
def test_no_attack_finds_members_where_there_is_no_leak(seed):
    phi, member = simulated(k=9, n=600, gap=0.0, spread=0.5, seed=seed)
    for variance in ("pooled", "each", "nig"):
        scores = each_in_turn(phi, member, lambda *a, v=variance: lira(*a, v))
        assert auc(scores, member) == pytest.approx(0.5, abs=0.025)


RELEASES = [(100, 100, 0.760), (400, 100, 0.921), (1000, 100, 0.987), (100, 1000, 0.589)]


@pytest.mark.parametrize(("d", "n", "wanted"), RELEASES)
def test_the_harness_on_a_release_whose_leak_is_known(d, n, wanted):
    """The mean of n points of N(0, I_d) is released and ⟨mean, x⟩ the score: AUC = Φ(√(d/2n))."""
    rng = np.random.default_rng(0)
    scores, member = [], []
    for _ in range(max(2, 20_000 // n)):
        inside, outside = rng.normal(size=(2, n, d))
        released = inside.mean(0)
        scores += [inside @ released, outside @ released]
        member += [np.ones(n, bool), np.zeros(n, bool)]
    scores, member = np.concatenate(scores), np.concatenate(member)
    exact = stats.norm.cdf(np.sqrt(d / (2 * n)))
    assert exact == pytest.approx(wanted, abs=0.0015)
    assert auc(scores, member) == pytest.approx(exact, abs=0.012)
    for f in (0.01, 0.001):
        caught = stats.norm.cdf(np.sqrt(d / n) - stats.norm.ppf(1 - f))
        assert rate_at(scores, member, f).tpr == pytest.approx(caught, abs=0.045)
