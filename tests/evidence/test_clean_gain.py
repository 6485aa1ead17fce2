"""Clean gain: errors against statsmodels and against leaving out, and the planted truth recovered."""

import numpy as np
import pytest
from scipy import stats

from exapt.audits.contamination_trials import planted_gain
from exapt.errors import InputError
from exapt.evidence.clean_gain import clean_gain, linearity
from exapt.evidence.robust import robust_ols


def case(seed=0, **words):
    return planted_gain(np.random.default_rng(seed), **words)


def test_hc3_is_that_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    d, c = case(seeds=1)
    design = np.stack([np.ones(len(c)), c], axis=1)
    coefficients, covariance = robust_ols(design, d[0])
    theirs = api.OLS(d[0], design).fit(cov_type="HC3")
    assert coefficients == pytest.approx(theirs.params)
    assert covariance == pytest.approx(theirs.cov_params())


def test_errors_of_clusters_are_what_leaving_each_out_changes():
    d, c = case(seeds=1, n=200)
    design, groups = np.stack([np.ones(200), c], axis=1), np.arange(200) // 6
    coefficients, covariance = robust_ols(design, d[0], groups)
    kept = [groups != g for g in np.unique(groups)]
    changes = np.array([np.linalg.lstsq(design[k], d[0][k], rcond=None)[0] for k in kept]) - coefficients
    assert covariance == pytest.approx(changes.T @ changes)
    alone = robust_ols(design, d[0], np.arange(200))[1]
    assert alone == pytest.approx(robust_ols(design, d[0])[1])


def test_one_cluster_that_fixes_a_coefficient_is_refused():
    design = np.stack([np.ones(5), [0, 0, 0, 0, 1.0]], axis=1)
    with pytest.raises(InputError, match="one item or cluster alone"):
        robust_ols(design, np.arange(5.0))


def sums(runs, **words):
    """Estimates of many planted cases, and how often the 95 % interval holds the truth."""
    found = [clean_gain(*case(seed, **words), level=0.95, resamples=0) for seed in range(runs)]
    held = np.mean([g.interval[0] <= 0.03 <= g.interval[1] for g in found])
    return {k: np.mean([getattr(g, k) for g in found]) for k in ("naive", "clean", "gain", "effect")}, held


def test_the_planted_gain_is_recovered():
    means, held = sums(100, seeds=1, spread=0.0)
    assert means["naive"] == pytest.approx(0.046, abs=0.006)
    assert means["clean"] == pytest.approx(0.030, abs=0.007)
    assert means["gain"] == pytest.approx(0.030, abs=0.007)
    assert means["effect"] == pytest.approx(0.15, abs=0.03)
    assert held >= 0.90


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (3, 0.02)])
def test_coverage_over_items_and_seeds(seeds, spread):
    _, held = sums(400, seeds=seeds, spread=spread)
    assert 0.92 <= held <= 0.995


def test_difficulty_that_goes_with_overlap_cancels():
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(100):
        c = np.where(rng.random(1000) < 0.2, rng.uniform(0.07, 1, 1000), 0.0)
        ease = rng.uniform(0.2, 0.5, 1000) + 0.25 * c  # what the corpus holds is also easier
        pre = rng.random(1000) < ease + 0.03 + 0.15 * c
        gains.append(clean_gain(pre.astype(float) - (rng.random(1000) < ease), c, resamples=0).gain)
    assert np.mean(gains) == pytest.approx(0.03, abs=0.007)


def test_an_effect_of_overlap_alone_explains_the_whole_gain():
    rng = np.random.default_rng(0)
    c = np.where(rng.random(4000) < 0.5, rng.random(4000), 0.0)
    found = clean_gain(0.4 * c + rng.normal(0, 0.1, 4000), c, resamples=200)
    assert found.naive == pytest.approx(0.1, abs=0.02)
    assert found.explained == pytest.approx(1.0, abs=0.1)
    assert found.interval[0] < 0 < found.interval[1]
    assert found.bootstrap == pytest.approx(found.interval, abs=0.003)


def test_few_overlapping_items_leave_the_mean_of_the_others():
    d, c = case(seeds=3)
    c[:] = 0
    c[:4] = 1
    d[:, :4] = 1
    found = clean_gain(d, c, resamples=50)
    assert found.by == "clean items" and found.effect is None and found.nonlinear_p is None
    assert found.gain == pytest.approx(d[:, 4:].mean()) and found.overlapping == 4
    one_record = clean_gain(d, np.where(np.arange(1000) < 30, 0.5, 0), np.maximum(np.arange(1000), 30), resamples=0)
    assert one_record.by == "clean items", "one record holds all thirty: no spread between sources"


def test_clusters_widen_the_interval_where_items_share_their_noise():
    rng = np.random.default_rng(0)
    groups = np.arange(1000) // 20
    c = np.where(rng.random(50) < 0.5, rng.random(50), 0.0)[groups]
    d = rng.normal(0, 0.3, 50)[groups] + rng.normal(0, 0.1, 1000)
    apart, together = clean_gain(d, c, resamples=0), clean_gain(d, c, groups, resamples=300)
    assert np.diff(together.interval) > 3 * np.diff(apart.interval)
    assert np.diff(together.bootstrap) == pytest.approx(np.diff(together.interval), rel=0.3)


def test_the_check_of_linearity_sees_a_threshold_effect_and_passes_a_line():
    rng = np.random.default_rng(0)
    c = np.where(rng.random(3000) < 0.5, rng.random(3000), 0.0)
    noise = rng.normal(0, 0.2, 3000)
    bins, p = linearity(0.3 * (c > 0.7) + noise, c)
    assert p < 1e-6 and bins[0]["n"] == (c == 0).sum() and len(bins) == 6
    alarms = [linearity(0.3 * c + rng.normal(0, 0.2, 3000), c)[1] < 0.05 for _ in range(100)]
    assert np.mean(alarms) <= stats.binom.ppf(0.999, 100, 0.05) / 100
    assert linearity(noise, np.where(c > 0, 1.0, 0.0))[1] is None


def test_items_without_both_scores_are_left_out_and_too_few_are_refused():
    d, c = case(seeds=2, n=300)
    d[1, :40] = np.nan
    assert clean_gain(d, c, resamples=0).n == 260
    assert clean_gain(d, c, resamples=0).gain == clean_gain(d[:, 40:], c[40:], resamples=0).gain
    with pytest.raises(InputError, match=r"9 test items .* it takes 10"):
        clean_gain(d[:, 40:49], c[40:49])
    with pytest.raises(InputError, match="nothing clean"):
        clean_gain(d[:, 40:], np.full(260, 0.5))
