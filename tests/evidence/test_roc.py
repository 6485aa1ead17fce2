"""ROC, AUC and low false-alarm rates: against naive counting, scikit-learn, and exact intervals."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from exapt.errors import InputError
from exapt.evidence.roc import (
    auc,
    auc_interval,
    clopper_pearson,
    curve_series,
    over_examples,
    rate_at,
    roc,
    share_caught,
    tpr_at,
)


def drawn(n=400, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    member = rng.random(n) < 0.5
    scores = rng.normal(0.8 * member, 1)
    return (scores.round(0) if ties else scores), member


@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_and_its_area_are_those_of_scikit_learn(ties):
    scores, member = drawn(ties=ties)
    curve = roc(scores, member)
    fpr, tpr, thresholds = roc_curve(member, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_allclose(curve.thresholds[1:], thresholds[1:])
    assert auc(scores, member) == pytest.approx(roc_auc_score(member, scores))
    assert auc(scores, member) == pytest.approx(np.trapezoid(curve.tpr, curve.fpr))


@pytest.mark.parametrize("ties", [False, True])
def test_the_rate_caught_is_what_counting_finds(ties):
    scores, member = drawn(2400, ties=ties)
    rate = tpr_at(scores, member, 0.05)
    allowed = [t for t in np.unique(scores) if np.mean(scores[~member] >= t) <= 0.05]
    assert rate.threshold == min(allowed)
    assert rate.tpr == np.mean(scores[member] >= min(allowed))
    assert rate.fpr == np.mean(scores[~member] >= min(allowed)) <= 0.05
    assert rate.low < rate.tpr < rate.high
    for fpr in (0.0, 0.001, 0.05, 0.3, 1.0):
        assert share_caught(scores, member, fpr) == pytest.approx(rate_at(scores, member, fpr).tpr)


def test_nothing_is_called_where_every_threshold_is_too_low():
    rate = rate_at(np.zeros(40), np.arange(40) < 20, 0.01)
    assert (rate.tpr, rate.fpr, rate.threshold) == (0, 0, np.inf)


@pytest.mark.parametrize(("count", "of", "low", "high"), [(1, 1000, 0.000025, 0.0056), (10, 10_000, 0.00048, 0.0018)])
def test_what_is_known_of_a_rate_of_a_thousandth(count, of, low, high):
    found = clopper_pearson(count, of)
    assert found == pytest.approx((low, high), rel=0.03)


def test_exact_intervals_at_the_ends():
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == (pytest.approx(0.025**0.1), 1.0)


def test_a_rate_that_cannot_be_told_is_refused_and_another_offered():
    scores, member = drawn(4000)
    with pytest.raises(InputError, match=r"0\.1% takes 10,000 non-members, found \d+; with \d+ the lowest is 1\.0%"):
        tpr_at(scores, member, 0.001)
    with pytest.raises(InputError, match=r"found 50$"):
        tpr_at(np.arange(100.0), np.arange(100) < 50, 0.001)
    assert tpr_at(np.arange(20_000.0), np.arange(20_000) >= 10_000, 0.001).tpr == 1


def test_bad_input():
    with pytest.raises(InputError, match="both members and non-members"):
        roc(np.zeros(3), np.ones(3, bool))
    with pytest.raises(InputError, match="3 scores but 2 memberships"):
        auc(np.zeros(3), np.ones(2, bool))


def test_unknown_scores_are_left_out():
    scores, member = drawn()
    with_gaps = np.append(scores, [np.nan, np.nan])
    assert auc(with_gaps, np.append(member, [True, False])) == auc(scores, member)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth = 0.7142  # Φ(0.8 / √2)
    covered = [low <= truth <= high for low, high in (auc_interval(*drawn(200, seed)) for seed in range(400))]
    assert 0.92 <= np.mean(covered) <= 0.98


def test_the_bootstrap_keeps_an_examples_scores_together():
    """Scores that depend on the example alone: what is known is that of n examples, not of K · n pairs."""
    rng = np.random.default_rng(0)
    member = np.tile(rng.random(60) < 0.5, (50, 1))
    scores = np.tile(rng.normal(0.8 * member[0], 1), (50, 1))
    low, high = over_examples(scores, member, auc, rng)
    narrow = auc_interval(scores, member)
    assert high - low > 4 * (narrow[1] - narrow[0])
    wanted = auc_interval(scores[0], member[0])
    assert high - low == pytest.approx(wanted[1] - wanted[0], rel=0.25)


def test_points_for_a_logarithmic_plot():
    scores, member = drawn(2400)
    series = curve_series("loss", roc(scores, member), 0.01)
    assert series.x[0] == pytest.approx(0.01)
    assert series.y[0] == rate_at(scores, member, 0.01).tpr
    assert series.y[-1] == 1
    assert np.all(np.diff(series.y) >= 0)
