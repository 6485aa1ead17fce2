import json
import re

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from exapt.errors import InputError
from exapt.evidence.paired import bootstrap, compare, holm, seeds_allow, superiority
from exapt.evidence.verdict import Verdict


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_interval_is_students(n: int) -> None:
    d = np.random.default_rng(n).normal(0.01, 0.02, n)
    c = compare(d, resamples=0)
    expected = stats.ttest_1samp(d, 0).confidence_interval(0.9)
    assert (c.low, c.high) == pytest.approx((expected.low, expected.high))
    assert c.t_greater == pytest.approx(stats.ttest_1samp(d, 0, alternative="greater").pvalue)
    assert c.t_less == pytest.approx(stats.ttest_1samp(d, 0, alternative="less").pvalue)
    assert (c.mean, c.sd, c.n) == (pytest.approx(d.mean()), pytest.approx(d.std(ddof=1)), n)


@pytest.mark.parametrize(("n", "half"), [(3, 1.686), (5, 0.953), (10, 0.580), (20, 0.387)])
def test_half_width_in_standard_deviations(n: int, half: float) -> None:
    c = compare(np.random.default_rng(0).normal(size=n), resamples=0)
    assert (c.high - c.low) / 2 / c.sd == pytest.approx(half, abs=5e-4)


@pytest.mark.parametrize("seed", range(40))
def test_equivalence_is_the_two_one_sided_tests(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.8, 0.01, 6), rng.normal(0.8, 0.01, 6)
    c = compare(a - b, margin=0.01, resamples=0)
    assert (Verdict.EQUIVALENT in (c.verdict, *c.also)) == (ttost_paired(a, b, -0.01, 0.01)[0] < 0.05)


def test_verdicts_are_plain_and_symmetric() -> None:
    gains = [0.03, 0.04, 0.035, 0.045, 0.03]
    up, down = compare(gains), compare([-g for g in gains])
    assert up.verdict is Verdict.HELPS and up.material and up.p_signflip == 0.03125 == up.p_least
    assert down.verdict is Verdict.HARMS and down.p_signflip == 0.03125 and down.mean == -up.mean
    assert up.superiority.claim and not down.superiority.claim
    assert up.seeds_needed is None and up.note == ""
    assert compare([0.002, 0.003, 0.004, 0.003]).also == (Verdict.EQUIVALENT,)
    assert json.loads(json.dumps(up.plain()))["verdict"] == "HELPS"


def test_undecided_says_how_many_seeds() -> None:
    c = compare([0.05, -0.04, 0.02, -0.01, 0.03])
    assert c.verdict is Verdict.INCONCLUSIVE
    assert c.seeds_needed is not None and c.seeds_needed > 5
    wider = compare([0.10, -0.08, 0.04, -0.02, 0.06])
    assert wider.seeds_needed is not None and wider.seeds_needed > c.seeds_needed


def test_identical_scores_are_equivalent_with_a_note() -> None:
    c = compare([0.0] * 5)
    assert (c.verdict, c.p_signflip, c.p_two_sided, c.low, c.high) == (Verdict.EQUIVALENT, 1.0, 1.0, 0.0, 0.0)
    assert "identical in all 5 seeds" in c.note and c.bca == (0.0, 0.0)


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_a_few_identical_scores_prove_nothing(seeds: int) -> None:
    c = compare([0.0] * seeds)
    assert (c.verdict, c.seeds_needed) == (Verdict.INCONCLUSIVE, 5)
    assert f"identical in all {seeds} seeds" in c.note


def test_constant_differences_need_the_exact_test_for_a_direction() -> None:
    assert compare([0.02] * 4).verdict is Verdict.INCONCLUSIVE
    assert compare([0.02] * 3).seeds_needed == 5
    assert compare([-0.02] * 3).verdict is Verdict.INCONCLUSIVE
    assert compare([0.02] * 5, confidence=0.95).verdict is Verdict.INCONCLUSIVE
    assert compare([0.02] * 6, confidence=0.95).verdict is Verdict.HELPS
    assert compare([0.02] * 5).verdict is Verdict.HELPS
    assert compare([-0.02] * 5).verdict is Verdict.HARMS
    tenths = [0.1 + 0.2 - 0.3 + 0.02, 0.02, 0.02]
    assert compare(tenths).sd == 0.0


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ([0.1], "1 seed gives no interval"),
        ([], "0 seed"),
        ([0.1, float("nan")], r"differences\[1\] is nan"),
        ([0.1, float("inf")], r"differences\[1\] is inf"),
        ([[0.1, 0.2]], r"shape \(1, 2\)"),
    ],
)
def test_bad_differences_are_refused(differences: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(differences)


@pytest.mark.parametrize(
    "settings", [{"margin": -0.1}, {"margin": float("nan")}, {"confidence": 90}, {"confidence": 0}]
)
def test_bad_settings_are_refused(settings: dict) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        compare([0.1, 0.2], **settings)


def test_fold_correction_is_nadeau_and_bengios() -> None:
    d = np.random.default_rng(1).normal(0.02, 0.01, 10)
    plain, corrected = compare(d, resamples=0), compare(d, resamples=0, test_to_train=1 / 9)
    width = stats.t.ppf(0.95, 9) * np.sqrt(d.var(ddof=1) * (1 / 10 + 1 / 9))
    assert corrected.high - corrected.mean == pytest.approx(width)
    assert corrected.t_greater > plain.t_greater
    assert "Folds share" in corrected.note


def test_overlapping_folds_keep_their_level_only_when_corrected() -> None:
    """Random 90/10 resplits of one sample: differences are correlated, plain t rejects far too often."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, np.sqrt(1 / 9), 2000)[:, None]
    d = shared + rng.normal(0, 1, (2000, 10))
    t = d.mean(1) / d.std(1, ddof=1)
    limit = stats.t.ppf(0.95, 9)
    assert np.mean(t * np.sqrt(10) > limit) > 0.09
    assert np.mean(t / np.sqrt(1 / 10 + 1 / 9) > limit) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).uniform(0, 0.2, 7)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_of_one_and_of_ties() -> None:
    assert holm([0.03]).tolist() == [0.03]
    assert holm([0.02, 0.02]).tolist() == [0.04, 0.04]
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("wins", [0, 1, 4, 8])
def test_superiority_interval_is_clopper_pearson(wins: int) -> None:
    d = np.where(np.arange(8) < wins, 0.1, -0.1)
    low, high = proportion_confint(wins, 8, alpha=0.1, method="beta")
    found = superiority(d)
    assert (found.estimate, found.low, found.high) == (wins / 8, pytest.approx(low), pytest.approx(high))


def test_ties_are_half_a_win() -> None:
    assert superiority(np.array([0.0, 0.0, 0.1, -0.1])).estimate == 0.5


def test_bootstrap_is_scipys_bca_and_falls_back() -> None:
    d = np.random.default_rng(2).exponential(1, 12)
    expected = stats.bootstrap((d,), np.mean, confidence_level=0.9, n_resamples=1999, rng=np.random.default_rng(0))
    assert bootstrap(d) == pytest.approx(tuple(expected.confidence_interval))
    assert bootstrap(np.array([0.2, 0.2])) == (0.2, 0.2)
    assert np.isfinite(bootstrap(np.array([0.1, 0.3]))).all()


def test_what_few_seeds_allow() -> None:
    assert "no verdict" in seeds_allow(1)
    assert re.search(r"With 3 seeds .* never reject at 5 % .* 0.125", seeds_allow(3))
    assert "0.0625" in seeds_allow(4)
    assert seeds_allow(5) == ""
    assert seeds_allow(3) in compare([0.1, 0.2, 0.3]).note


def test_null_data_rarely_helps() -> None:
    rng = np.random.default_rng(11)
    verdicts = [compare(rng.normal(0, 0.02, 5), resamples=0).verdict for _ in range(300)]
    false = np.mean([v is Verdict.HELPS for v in verdicts])
    assert 0.005 < false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
