"""How many seeds would settle it: the chance that an interval of n seeds gives a conclusive verdict."""

from __future__ import annotations

import numpy as np
from scipy import stats

QUANTILES = (np.arange(64) + 0.5) / 64


def conclusive_power(n: np.ndarray, mean: float, sd: float, margin: float, confidence: float = 0.9) -> np.ndarray:
    """P(the interval of n seeds lies off zero or inside ±margin) if mean and sd (> 0) were the truth; shape of n.

    Exact for normal differences up to a 64-point quadrature over the sample's own spread: given it, the verdict is
    missed only where the sample mean m has max(margin − h, 0) ≤ |m| ≤ h, h the half-width of the interval.
    """
    n = np.atleast_1d(np.asarray(n, dtype=float))[:, None]
    spread = sd * np.sqrt(stats.chi2.ppf(QUANTILES, n - 1) / (n - 1))
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * spread / np.sqrt(n)
    inner = np.maximum(margin - half, 0)
    missed = _within(half, mean, sd, n) - _within(inner, mean, sd, n)
    return np.mean(1 - np.maximum(missed, 0), axis=1)


def seeds_needed(
    mean: float, sd: float, margin: float, confidence: float = 0.9, *, power: float = 0.8, most: int = 10_000
) -> int | None:
    """The fewest seeds that settle the question with this power, taking mean and sd as the truth; None if over `most`.

    A planning figure: the observed mean and sd are themselves uncertain.
    """
    tried = np.unique(np.concatenate([np.arange(2, 65), np.geomspace(65, most, 120).astype(int)]))
    enough = conclusive_power(tried, mean, sd, margin, confidence) >= power
    if not enough.any():
        return None
    first = int(np.argmax(enough))
    between = np.arange(tried[max(first - 1, 0)], tried[first] + 1)
    reached = conclusive_power(between, mean, sd, margin, confidence) >= power
    return int(between[np.argmax(reached)])


def _within(half: np.ndarray, mean: float, sd: float, n: np.ndarray) -> np.ndarray:
    """P(|m| ≤ half) for the mean m of n draws."""
    centre = stats.norm(mean, sd / np.sqrt(n))
    return centre.cdf(half) - centre.cdf(-half)
