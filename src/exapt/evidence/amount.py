"""Numbers of labels that the data may only bound: 'at least 640', '210 (150 to at least 320)'."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from scipy import stats

Bound = Literal["", "at least", "at most"]


@dataclass(frozen=True)
class Amount:
    """An estimate and its interval; an end outside what was measured is censored and marked so."""

    value: float
    low: float
    high: float
    bound: Bound = ""
    low_bound: Bound = ""
    high_bound: Bound = ""

    def scaled(self, factor: float) -> Self:
        """The same statement about factor × the amount, factor > 0."""
        return replace(self, value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def shifted(self, by: float) -> Self:
        """The same statement about the amount + by."""
        return replace(self, value=self.value + by, low=self.low + by, high=self.high + by)


def amount(value: float, draws: np.ndarray, floor: float, ceiling: float, tail: float) -> Amount:
    """An amount from an estimate and its bootstrap draws, where 0 means 'below floor' and infinity 'above ceiling'."""
    ends = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    wanted = float(value), min(float(ends[0]), float(value)), max(float(ends[1]), float(value))
    parts = [_censor(part, float(floor), float(ceiling)) for part in wanted]
    (middle, bound), (low, low_bound), (high, high_bound) = parts
    return Amount(middle, low, high, bound, low_bound, high_bound)


def seed_draws(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """(resamples, seeds) which seeds each bootstrap resample holds: whole learning curves are drawn, never points."""
    return np.random.default_rng(seed).integers(0, seeds, (resamples, seeds))


def expanded_tail(seeds: int, confidence: float) -> float:
    """The percentile that gives a bootstrap of few seeds its nominal coverage (Hesterberg 2015, §5.3).

    Φ(−√(n/(n−1))·t): undoes the resample's too small spread and the missing t quantile. For 8 seeds a 90 % interval
    uses the 2 % and 98 % percentiles.
    """
    t = stats.t.ppf((1 + confidence) / 2, seeds - 1)
    return float(stats.norm.cdf(-np.sqrt(seeds / (seeds - 1)) * t))


def _censor(value: float, floor: float, ceiling: float) -> tuple[float, Bound]:
    if value < floor:
        return floor, "at most"
    return (ceiling, "at least") if value > ceiling else (value, "")
