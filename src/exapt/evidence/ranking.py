"""Which of several treatments is the best, from scores of the same seeds: ranks, and the comparison with the best.

Shapes: S seeds, K treatments; higher scores are better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.paired import Comparison, compare, holm
from exapt.files import jsonable


@dataclass(frozen=True)
class Rank:
    """One treatment among the others."""

    name: str
    mean: float
    to_best: tuple[float, float, float]
    """Its mean minus the best of the others', and the interval of that difference; above 0: it is the best."""
    rank: tuple[float, float, float]
    """Its mean rank over seeds (1 is best) and the 90 % t-interval, within 1 and K."""
    against_best: Comparison | None
    """Paired with the treatment of the highest mean; None for that one itself."""
    p_holm: float | None
    """One-sided p of being worse than that one, after Holm; not corrected for its being chosen by its mean."""


@dataclass(frozen=True)
class Ranking:
    """All treatments, the best mean first."""

    rows: tuple[Rank, ...]
    best: str | None
    """The one that is shown to be better than every other; None where none is."""
    alike: bool
    """Whether every treatment is shown to be within the margin of the best."""
    friedman: float
    """p of Friedman's test (1937) that all rank alike; NaN below 3 treatments."""
    seeds: int
    alpha: float
    margin: float

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        rows = {
            row.name: {
                "mean": row.mean,
                "to best": row.to_best,
                "mean rank": row.rank,
                "against best": row.against_best.plain() if row.against_best else None,
                "p, Holm": row.p_holm,
            }
            for row in self.rows
        }
        plain = {"rows": rows, "best": self.best, "alike": self.alike, "friedman p": self.friedman}
        out: dict[str, Any] = jsonable(plain | {"seeds": self.seeds, "alpha": self.alpha, "margin": self.margin})
        return out


def rank(names: Sequence[str], scores: np.ndarray, margin: float = 0.01, alpha: float = 0.05) -> Ranking:
    """Rank K treatments by scores (S, K), paired by seed.

    A randomised block design: the residuals of all treatments estimate one variance, with (S − 1)(K − 1) degrees of
    freedom, so that few seeds go further than in pairwise tests. The highest mean is named the best where it leads the
    second by more than Student's t at `alpha`, two-sided: the chance of naming one wrongly is largest, `alpha`, where
    two tie and the others are far below (Gutmann & Maymin 1987). Normal errors with equal variances are assumed.
    Raises `InputError` below two treatments or three seeds, and for a score that is not finite.
    """
    table = _checked(names, scores)
    seeds, means = len(table), table.mean(0)
    gaps, width = _gaps(table, alpha)
    order = np.argsort(-means, kind="stable")
    first = int(order[0])
    against = {int(k): compare(table[:, k] - table[:, first], margin, resamples=0) for k in order if int(k) != first}
    p = dict(zip(against, holm([c.t_less for c in against.values()]), strict=True))
    ranks = _ranks(table)
    rows = tuple(
        Rank(
            names[k],
            float(means[k]),
            (float(gaps[k]), float(gaps[k] - width), float(gaps[k] + width)),
            ranks[k],
            against.get(k),
            float(p[k]) if k in p else None,
        )
        for k in map(int, order)
    )
    best, alike = best_of(names, table, margin, alpha)
    return Ranking(rows, best, alike, _friedman(table), seeds, alpha, margin)


def best_of(
    names: Sequence[str], scores: np.ndarray, margin: float = 0.01, alpha: float = 0.05
) -> tuple[str | None, bool]:
    """The name that `rank` calls the best, and whether all are within the margin of it, without anything else."""
    table = _checked(names, scores)
    gaps, width = _gaps(table, alpha)
    first = int(table.mean(0).argmax())
    return names[first] if gaps[first] - width > 0 else None, bool((gaps - width > -margin).all())


@dataclass(frozen=True)
class Agreement:
    """Whether one figure orders treatments as another does."""

    spearman: float
    """Mean over seeds of the rank correlation; NaN where one of the figures is constant in every seed."""
    low: float
    high: float
    """90 % t-interval over seeds, within −1 and 1; −1 to 1 where fewer than two seeds have a correlation."""
    of_means: float
    """The rank correlation of the means over seeds."""


def agreement(one: np.ndarray, other: np.ndarray) -> Agreement:
    """Rank correlation (Spearman 1904) across K treatments of two figures (S, K), seed by seed."""
    each = np.array([_spearman(a, b) for a, b in zip(one, other, strict=True)])
    each = each[np.isfinite(each)]
    of_means = _spearman(np.mean(one, axis=0), np.mean(other, axis=0))
    if len(each) < 2:
        return Agreement(float(each.mean()) if len(each) else float("nan"), -1.0, 1.0, of_means)
    half = stats.t.ppf(0.95, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each))
    low, high = np.clip([each.mean() - half, each.mean() + half], -1, 1)
    return Agreement(float(each.mean()), float(low), float(high), of_means)


def _checked(names: Sequence[str], scores: np.ndarray) -> np.ndarray:
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or table.shape[1] != len(names) or len(names) < 2:
        raise InputError(
            f"scores: shape {table.shape} for {len(names)} names; expected one row a seed, 2 names or more"
        )
    if len(table) < 3:
        raise InputError(f"scores: {len(table)} seeds; ranking needs at least 3")
    if not np.isfinite(table).all():
        raise InputError("scores: one is not finite; a diverged fit is kept at the score of chance, not NaN")
    return table


def _gaps(table: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """(K,) each mean minus the best of the others', and half of the interval of such a difference."""
    seeds, count = table.shape
    means = table.mean(0)
    gaps = np.array([means[k] - np.delete(means, k).max() for k in range(count)])
    residuals = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    freedom = (seeds - 1) * (count - 1)
    deviation = float(np.sqrt(np.square(residuals).sum() / freedom))
    return gaps, float(stats.t.ppf(1 - alpha / 2, freedom)) * deviation * float(np.sqrt(2 / seeds))


def _ranks(table: np.ndarray) -> list[tuple[float, float, float]]:
    """Mean rank of each treatment with its t-interval; ties share a rank."""
    ranks = stats.rankdata(-table, axis=1)
    mean, count = ranks.mean(0), table.shape[1]
    half = stats.t.ppf(0.95, len(table) - 1) * ranks.std(0, ddof=1) / np.sqrt(len(table))
    return [
        (float(m), float(max(1.0, m - h)), float(min(float(count), m + h))) for m, h in zip(mean, half, strict=True)
    ]


def _friedman(table: np.ndarray) -> float:
    if table.shape[1] < 3 or (np.ptp(table, axis=1) == 0).all():
        return float("nan")
    return float(stats.friedmanchisquare(*table.T).pvalue)


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    first, second = stats.rankdata(one), stats.rankdata(other)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
