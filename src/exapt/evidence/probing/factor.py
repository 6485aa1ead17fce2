"""One factor, asked every way, of the features in question and of two floors: random networks and raw inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from exapt.evidence.probing.control import Selectivity, selectivity
from exapt.evidence.probing.linear import Split
from exapt.evidence.probing.online import OnlineCode, online_code
from exapt.evidence.probing.ranking import Ranking
from exapt.evidence.probing.sparse import SparseCurve, sparse_curve

Kind = Literal["ENCODED SPARSELY", "ENCODED", "NO BETTER THAN RANDOM"]


@dataclass(frozen=True)
class Examined:
    """What some features say of a factor. Where there are several feature matrices (random networks), a split takes
    the next in turn."""

    curve: SparseCurve
    selectivity: Selectivity
    code: tuple[OnlineCode, ...]
    """One for each of a few orders of the labels."""

    @property
    def width(self) -> int:
        return self.curve.orders.shape[1]

    def plain(self, tolerance: float, confidence: float, test_to_train: float) -> dict[str, Any]:
        """The numbers with their intervals, JSON-able."""
        k, least, most = self.curve.enough(tolerance)
        told = {
            "balanced accuracy": self.curve.full,
            "selectivity": self.selectivity.each,
            "control accuracy": self.selectivity.control,
        }
        found = {name: interval(values, confidence, test_to_train) for name, values in told.items()}
        codes = np.array([code.compression for code in self.code])
        return {
            **{name: {"mean": mean, "low": low, "high": high} for name, (mean, low, high) in found.items()},
            "dimensions": {"enough": k, "least": least, "most": most, "of": self.width},
            "compression": {"mean": float(codes.mean()), "least": float(codes.min()), "most": float(codes.max())},
            "bits": float(np.mean([code.bits for code in self.code])),
            "curve": {"k": list(self.curve.sizes), "mean": self.curve.scores.mean(0).tolist()},
        }


@dataclass(frozen=True)
class Judgement:
    """A verdict on one factor, from paired differences over splits."""

    verdict: Kind
    gain: tuple[float, float, float]
    """Balanced accuracy over that of random networks: mean and interval."""
    over_raw: tuple[float, float, float] | None
    """The same over raw inputs."""
    dimensions: tuple[int, int, int]
    """Enough on the mean curve; the least and the most over splits."""
    width: int


def examine(
    features: Sequence[np.ndarray],
    factor: np.ndarray,
    types: np.ndarray,
    splits: Sequence[Split],
    *,
    by: Ranking = "l1",
    seed: int = 0,
    orders: int = 3,
) -> Examined:
    """Sparse curve, selectivity and code of a factor (n,) in one or several matrices of features (n, D)."""
    turns = [features[s % len(features)] for s in range(len(splits))]
    pairs = list(zip(turns, splits, strict=True))
    curves = [sparse_curve(x, factor, [split], by=by, measure="balanced-accuracy") for x, split in pairs]
    chosen = [selectivity(x, factor, types, [split], seed + s) for s, (x, split) in enumerate(pairs)]
    codes = []
    for s in range(min(orders, len(splits))):
        order = np.random.default_rng([seed, s]).permutation(splits[s][0])
        codes.append(online_code(turns[s], factor, order))
    return Examined(_joined(curves), _together(chosen), tuple(codes))


def judge_factor(
    examined: Mapping[str, Examined],
    *,
    tolerance: float = 0.02,
    sparse: float = 0.125,
    confidence: float = 0.9,
    test_to_train: float = 0.0,
) -> Judgement:
    """Whether 'pretrained' holds a factor more than 'random', and whether few dimensions hold it.

    ENCODED: the interval of the paired difference in balanced accuracy lies above 0. SPARSELY: in every split at most
    the share `sparse` of the dimensions comes within `tolerance` of all of them.
    """
    ours = examined["pretrained"]
    gain = interval(ours.curve.full - examined["random"].curve.full, confidence, test_to_train)
    raw = examined.get("raw")
    over = interval(ours.curve.full - raw.curve.full, confidence, test_to_train) if raw else None
    dimensions = ours.curve.enough(tolerance)
    few = dimensions[2] <= max(1, sparse * ours.width)
    verdict: Kind = "NO BETTER THAN RANDOM"
    if gain[1] > 0:
        verdict = "ENCODED SPARSELY" if few else "ENCODED"
    return Judgement(verdict, gain, over, dimensions, ours.width)


def interval(values: np.ndarray, confidence: float = 0.9, test_to_train: float = 0.0) -> tuple[float, float, float]:
    """Mean and t-interval of scores (S,) over splits that share examples: Nadeau & Bengio's (2003) variance."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, float("-inf"), float("inf")
    scale = float(np.std(values, ddof=1)) * np.sqrt(1 / count + test_to_train)
    half = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * scale
    return mean, mean - half, mean + half


def _joined(curves: Sequence[SparseCurve]) -> SparseCurve:
    """The curves of single splits, under each other."""
    return SparseCurve(
        curves[0].sizes, np.concatenate([c.scores for c in curves]), np.concatenate([c.orders for c in curves])
    )


def _together(each: Sequence[Selectivity]) -> Selectivity:
    return Selectivity(np.concatenate([s.task for s in each]), np.concatenate([s.control for s in each]))
