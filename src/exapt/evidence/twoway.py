"""A mean over seeds and test examples, both of which are samples: its interval when both are drawn anew.

An interval over seeds alone holds for these very test examples, one over examples for these very fits. For scores
d_si = μ + a_s + b_i + e_si both count:  Var(mean) = (MS_seeds + MS_items − MS_rest) / (S n), with Satterthwaite's
(1946) degrees of freedom; the moment estimator of crossed random effects (Searle, Casella & McCulloch 1992, ch. 4).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from exapt.errors import InputError


@dataclass(frozen=True)
class TwoWay:
    """Mean of a difference with its interval over seeds and items together."""

    mean: float
    low: float
    high: float
    p_less: float
    """One-sided, that the mean is 0 or more."""
    se: float
    se_seeds: float
    """Of the mean if the items were all there are …"""
    se_items: float
    """… and if the seeds were."""
    seeds: int
    items: int

    def plain(self) -> dict[str, float]:
        """JSON-able data."""
        return asdict(self)


def two_way(differences: np.ndarray, confidence: float = 0.9) -> TwoWay:
    """Judge differences (S, n), seeds × items. Items that are NaN anywhere are left out.

    Raises `InputError` for fewer than two seeds or two items.
    """
    d = differences[:, np.isfinite(differences).all(0)]
    seeds, items = d.shape
    if seeds < 2 or items < 2:
        raise InputError(f"differences: {seeds} seeds × {items} items; expected at least 2 of each")
    mean = float(d.mean())
    rows, columns = d.mean(1), d.mean(0)
    by_seed, by_item = items * float(rows.var(ddof=1)), seeds * float(columns.var(ddof=1))
    rest = float(((d - rows[:, None] - columns + mean) ** 2).sum()) / ((seeds - 1) * (items - 1))
    # The estimate falls below either part only by chance: seeds alone, or items alone, are the least there is.
    size = max(by_seed + by_item - rest, by_seed, by_item)
    spread = by_seed**2 / (seeds - 1) + by_item**2 / (items - 1) + rest**2 / ((seeds - 1) * (items - 1))
    se = float(np.sqrt(size / (seeds * items)))
    if se == 0:
        return TwoWay(mean, mean, mean, 0.0 if mean < 0 else 1.0, 0.0, 0.0, 0.0, seeds, items)
    df = max(size**2 / spread, 1.0)
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * se
    parts = [float(np.sqrt(value / (seeds * items))) for value in (by_seed, by_item)]
    return TwoWay(
        mean, mean - half, mean + half, float(stats.t.cdf(mean / se, df)), se, parts[0], parts[1], seeds, items
    )
