"""Sparse probes: how few dimensions hold a factor (Gurnee et al. 2023, arXiv 2305.01610)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exapt.evidence.probing.linear import Measure, Split, score_linear
from exapt.evidence.probing.ranking import Ranking, rank


@dataclass(frozen=True)
class SparseCurve:
    """Scores of probes on the k highest-ranked dimensions of each split's own ranking."""

    sizes: tuple[int, ...]
    """k: 1, 2, 4, … and all D."""
    scores: np.ndarray
    """(S, sizes)."""
    orders: np.ndarray
    """(S, D) the dimensions, the most telling first."""

    @property
    def full(self) -> np.ndarray:
        """(S,) the probe of all dimensions."""
        return self.scores[:, -1]

    def enough(self, tolerance: float = 0.02) -> tuple[int, int, int]:
        """The fewest dimensions whose probe comes within `tolerance` of the full one: on the mean over splits, and the
        least and the most over single splits."""
        reached = self.scores >= self.full[:, None] - tolerance
        each = [self.sizes[int(row.argmax())] for row in reached]
        mean = self.scores.mean(0) >= self.full.mean() - tolerance
        return self.sizes[int(mean.argmax())], min(each), max(each)

    def chosen(self, k: int) -> list[tuple[int, float]]:
        """The dimensions that stand among the first k, with the share of splits in which they do, commonest first."""
        names, counts = np.unique(self.orders[:, :k], return_counts=True)
        found = [(int(d), float(c) / len(self.orders)) for d, c in zip(names, counts, strict=True)]
        return sorted(found, key=lambda pair: -pair[1])


def sparse_curve(
    features: np.ndarray,
    factor: np.ndarray,
    splits: Sequence[Split],
    *,
    by: Ranking = "difference",
    measure: Measure = "accuracy",
    sizes: Sequence[int] | None = None,
) -> SparseCurve:
    """Rank dimensions on each split's training rows, and score a class-balanced probe on the first k of them."""
    width = features.shape[1]
    sizes = tuple(sorted({min(k, width) for k in sizes or doubling(width)} | {width}))
    orders = np.stack([rank(features[train], factor[train], by) for train, _ in splits])
    scores = [
        [float(score_linear(features[:, order[:k]], factor, [split], balanced=True, measure=measure)[0]) for k in sizes]
        for order, split in zip(orders, splits, strict=True)
    ]
    return SparseCurve(sizes, np.array(scores), orders)


def doubling(width: int) -> list[int]:
    """1, 2, 4, … up to the width, which is the last."""
    return [2**p for p in range(width.bit_length()) if 2**p < width] + [width]
