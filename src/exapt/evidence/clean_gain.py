"""Clean gain: what pre-training gains on test items that the corpus does not hold, as if none were held.

For every test item, d = its score with pre-training less its score from scratch (mean over seeds), and c in [0, 1] is
how much of it stands in the corpus. Under a linear effect d = α + β·c, α is the clean gain. An item's difficulty is in
both scores and cancels in d, which an accuracy on a clean subset alone cannot offer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.robust import linear_effect, robust_ols

LEAST = 10
"""With fewer overlapping items there is no line to fit."""
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bins of c for the check of linearity: none, then (0, 0.2], (0.2, 0.4] …"""
FILLED = 5
"""A bin with fewer items takes no part in the check."""


@dataclass(frozen=True)
class CleanGain:
    """The gain with and without what overlap adds; scores in their own units."""

    naive: float
    """Mean difference over all items."""
    gain: float
    """The clean gain: α of the line, or where there is none the mean over the clean items."""
    interval: tuple[float, float]
    """Around `gain`, over test items and seeds."""
    items_interval: tuple[float, float]
    """The same for these seeds alone: HC3, or its cluster form where items share a source."""
    bootstrap: tuple[float, float]
    """Percentiles over resampled items (clusters) and seeds."""
    by: Literal["line", "clean items"]
    effect: float | None
    """β: what full overlap adds to an item's difference."""
    effect_interval: tuple[float, float] | None
    clean: float | None
    """Mean difference over the items with c = 0."""
    clean_interval: tuple[float, float] | None
    n: int
    seeds: int
    overlapping: int
    """Items with c > 0."""
    explained: float | None
    """Share of the naive gain that overlap explains; None where the naive gain is not clear of zero."""
    nonlinear_p: float | None
    """p of the test that bins of c depart from the line; None with fewer than three bins of five items."""
    bins: list[dict[str, float]] = field(default_factory=list)
    level: float = 0.90

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        return asdict(self)


def clean_gain(
    differences: np.ndarray,
    overlap: np.ndarray,
    clusters: np.ndarray | None = None,
    *,
    level: float = 0.90,
    resamples: int = 2000,
    seed: int = 0,
) -> CleanGain:
    """The clean gain of differences (n,) or (seeds, n), pre-trained minus scratch, with overlap (n,) in [0, 1].

    Items of equal `clusters` (n,) are not independent. Items whose difference is missing are left out. Raises
    `InputError` for fewer than 10 items.
    """
    d, c, groups = _complete(differences, overlap, clusters)
    mean, touched = d.mean(axis=0), c > 0
    few = touched.sum() < LEAST or len(np.unique(groups[touched])) < 2 or np.ptp(c) == 0
    by: Literal["line", "clean items"] = "clean items" if few else "line"
    if few and touched.all():
        raise InputError("clean gain: every test item overlaps the corpus to the same degree; there is nothing clean")
    kept = ~touched if few else np.ones(len(c), dtype=bool)
    design = np.ones((int(kept.sum()), 1)) if few else np.stack([np.ones(len(c)), c], axis=1)
    total, items = _variances(design, d[:, kept], groups[kept])
    coefficients, covariance = robust_ols(design, mean[kept], groups[kept])
    gain = float(coefficients[0])
    degrees = max(1.0, len(np.unique(groups[kept])) - design.shape[1])
    naive, naive_variance = robust_ols(np.ones((len(c), 1)), mean, groups)
    clear = abs(naive[0]) > stats.norm.ppf(0.5 + level / 2) * np.sqrt(naive_variance[0, 0])
    bins, p = linearity(mean, c, groups) if not few else ([], None)
    return CleanGain(
        naive=float(naive[0]),
        gain=gain,
        interval=_around(gain, *total, level),
        items_interval=_around(gain, items, degrees, level),
        bootstrap=_bootstrap(d[:, kept], c[kept], groups[kept], not few, level, resamples, seed),
        by=by,
        effect=None if few else float(coefficients[1]),
        effect_interval=None if few else _around(float(coefficients[1]), covariance[1, 1], degrees, level),
        clean=float(mean[~touched].mean()) if (~touched).any() else None,
        clean_interval=_mean_interval(mean[~touched], groups[~touched], level),
        n=len(c),
        seeds=len(d),
        overlapping=int(touched.sum()),
        explained=float((naive[0] - gain) / naive[0]) if clear else None,
        nonlinear_p=p,
        bins=bins,
        level=level,
    )


def linearity(
    d: np.ndarray, c: np.ndarray, groups: np.ndarray | None = None
) -> tuple[list[dict[str, float]], float | None]:
    """Means of d in bins of c beside the line, and p of the Wald test (HC3) that the bins depart from it."""
    owner = np.searchsorted(EDGES, c, side="left")
    filled = [b for b in np.unique(owner) if (owner == b).sum() >= FILLED]
    fitted = linear_effect(d, c)
    bins = [_bin(d[owner == b], c[owner == b], fitted) for b in filled]
    if len(filled) < 3:
        return bins, None
    used = np.isin(owner, filled)
    extra = [(owner[used] == b).astype(float) for b in filled[1:-1]]
    design = np.stack([np.ones(int(used.sum())), c[used], *extra], axis=1)
    beyond, covariance = robust_ols(design, d[used], None if groups is None else groups[used])
    wald = float(beyond[2:] @ np.linalg.solve(covariance[2:, 2:], beyond[2:])) / len(extra)
    return bins, float(stats.f.sf(wald, len(extra), used.sum() - design.shape[1]))


def _bin(d: np.ndarray, c: np.ndarray, fitted: np.ndarray) -> dict[str, float]:
    error = float(d.std(ddof=1) / np.sqrt(len(d)))
    line = float(fitted[0] + fitted[1] * c.mean())
    return {"overlap": float(c.mean()), "n": len(d), "mean": float(d.mean()), "error": error, "line": line}


def _complete(
    differences: np.ndarray, overlap: np.ndarray, clusters: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(seeds, n), (n,), (n,) of the items that have every difference."""
    d, c = np.atleast_2d(np.asarray(differences, dtype=float)), np.asarray(overlap, dtype=float)
    groups = np.arange(len(c)) if clusters is None else np.unique(clusters, return_inverse=True)[1].reshape(-1)
    there = np.isfinite(d).all(axis=0)
    if there.sum() < LEAST:
        raise InputError(f"clean gain: {int(there.sum())} test items with scores of both arms; it takes {LEAST}")
    return d[:, there], c[there], groups[there]


def _variances(design: np.ndarray, d: np.ndarray, groups: np.ndarray) -> tuple[tuple[float, float], float]:
    """((variance, degrees of freedom) over items and seeds, variance over items alone) of the first coefficient.

    Items and seeds are crossed: their variances add, less the residual, which both hold.
    """
    seeds = len(d)
    freedom = max(1.0, len(np.unique(groups)) - design.shape[1])
    items = float(robust_ols(design, d.mean(axis=0), groups)[1][0, 0])
    if seeds == 1:
        return (items, freedom), items
    each = [robust_ols(design, row, groups)[0][0] for row in d]
    rest = [robust_ols(design, row - d.mean(axis=0), groups)[1][0, 0] for row in d]
    between = float(np.var(each, ddof=1)) / seeds
    both = max(items, between, items + between - float(np.mean(rest)) / (seeds - 1))
    degrees = both**2 / (items**2 / freedom + between**2 / (seeds - 1)) if both > 0 else freedom
    return (both, max(1.0, min(degrees, freedom))), items


def _around(middle: float, variance: float, degrees: float, level: float) -> tuple[float, float]:
    half = float(stats.t.ppf(0.5 + level / 2, degrees) * np.sqrt(variance))
    return middle - half, middle + half


def _mean_interval(d: np.ndarray, groups: np.ndarray, level: float) -> tuple[float, float] | None:
    if len(np.unique(groups)) < 2:
        return None
    mean, covariance = robust_ols(np.ones((len(d), 1)), d, groups)
    return _around(float(mean[0]), covariance[0, 0], len(np.unique(groups)) - 1, level)


def _bootstrap(
    d: np.ndarray, c: np.ndarray, groups: np.ndarray, line: bool, level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Percentiles of the first coefficient over resampled clusters and seeds, from sums by cluster."""
    rng = np.random.default_rng(seed)
    owner = np.unique(groups, return_inverse=True)[1].reshape(-1)
    size = int(owner.max()) + 1
    sums = np.stack([np.bincount(owner, w, size) for w in (np.ones_like(c), c, c * c, *d, *(d * c))], axis=1)
    found = []
    for _ in range(resamples):
        n, x, xx, *rest = np.bincount(rng.integers(size, size=size), minlength=size) @ sums
        pick = rng.integers(len(d), size=len(d))
        y, xy = (np.array(part)[pick].mean() for part in (rest[: len(d)], rest[len(d) :]))
        spread = n * xx - x * x
        found.append((xx * y - x * xy) / spread if line and spread > 1e-12 else y / n)
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2]) if found else (np.nan, np.nan)
    return float(low), float(high)
