"""Ranking and the best: simulated error rates where they are largest, a naive oracle, and edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.paired import compare, holm
from exapt.evidence.ranking import agreement, best_of, rank

NAMES = ["a", "b", "c", "d"]


def table(effects: list[float], seed: int = 0, sd: float = 0.005, seeds: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.8 + rng.normal(0, 0.05, (seeds, 1)) + np.array(effects) + rng.normal(0, sd, (seeds, len(effects)))


def test_a_clear_best_is_named_with_its_lead() -> None:
    scores = table([0.0, 0.1, 0.02, 0.0])
    found = rank(NAMES, scores)
    assert found.best == "b" and [r.name for r in found.rows][:2] == ["b", "c"]
    first, second = found.rows[0], found.rows[1]
    means = scores.mean(0)
    residuals = scores - means - scores.mean(1, keepdims=True) + scores.mean()
    width = stats.t.ppf(0.975, 12) * np.sqrt((residuals**2).sum() / 12) * np.sqrt(2 / 5)
    gap = means[1] - means[2]
    assert first.to_best == pytest.approx((gap, gap - width, gap + width)) and first.to_best[1] > 0
    assert second.to_best == pytest.approx((-gap, -gap - width, -gap + width))
    assert first.rank == (1.0, 1.0, 1.0) and first.against_best is None and first.p_holm is None
    losses = [compare(scores[:, k] - scores[:, 1], 0.01, resamples=0).t_less for k in (0, 2, 3)]
    wanted = dict(zip("acd", holm(losses), strict=True))
    assert {r.name: r.p_holm for r in found.rows[1:]} == pytest.approx(wanted)
    assert found.friedman == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    assert found.plain()["best"] == "b" and not found.alike


def test_nothing_is_named_where_nothing_differs() -> None:
    for effects, seeds in (([0.0] * 2, 3), ([0.0, 0.0, -1.0, -1.0], 3), ([0.0, 0.0, -1.0, -1.0], 5)):
        tables = (table(effects, seed, seeds=seeds) for seed in range(2000))
        named = [best_of(NAMES[: len(effects)], scores)[0] is not None for scores in tables]
        assert 0.035 < np.mean(named) < 0.065, "two that tie are the worst case: 5 %"
    named = [best_of(NAMES, table([0.0] * 4, seed))[0] is not None for seed in range(1000)]
    assert np.mean(named) < 0.05, "four that tie are told apart even less"
    few = table([0.0] * 4, 3)
    assert best_of(NAMES, few) == (rank(NAMES, few).best, rank(NAMES, few).alike)


def test_schedules_within_the_margin_are_alike() -> None:
    found = rank(NAMES, table([0.0] * 4, sd=0.001), margin=0.01)
    assert found.alike and found.best is None
    assert not rank(NAMES, table([0.0] * 4, sd=0.05), margin=0.01).alike


def test_ties_and_constant_scores() -> None:
    same = rank(["x", "y", "z"], np.full((4, 3), 0.7))
    assert same.best is None and same.alike and np.isnan(same.friedman)
    assert [r.rank[0] for r in same.rows] == [2.0, 2.0, 2.0]
    assert [r.name for r in same.rows] == ["x", "y", "z"], "ties in the order given"


def test_agreement_of_two_figures() -> None:
    one = table([0.0, 0.1, 0.2, 0.3])
    assert agreement(one, one).spearman == 1 and agreement(one, -one).high == -1
    per_seed = [stats.spearmanr(a, b).statistic for a, b in zip(one, table([0.3, 0, 0.2, 0.1], 1), strict=True)]
    found = agreement(one, table([0.3, 0, 0.2, 0.1], 1))
    assert found.spearman == pytest.approx(np.mean(per_seed)) and -1 <= found.low <= found.spearman <= found.high <= 1
    worst = one.copy()
    worst[:, 0] = -np.inf
    assert agreement(worst, one).spearman == 1, "a diverged run's loss is the worst there is"
    flat = agreement(np.zeros((5, 4)), one)
    assert np.isnan(flat.spearman) and (flat.low, flat.high) == (-1, 1)


@pytest.mark.parametrize(
    ("names", "scores", "words"),
    [
        (["a"], np.zeros((5, 1)), "2 names or more"),
        (["a", "b"], np.zeros((5, 3)), "one row a seed"),
        (["a", "b"], np.zeros((2, 2)), "needs at least 3"),
        (["a", "b"], np.array([[1, 2], [3, np.nan], [1, 1]]), "not finite"),
    ],
)
def test_mistakes_are_refused(names: list[str], scores: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        rank(names, scores)
