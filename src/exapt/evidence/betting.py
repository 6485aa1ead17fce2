"""Testing by betting: a test of paired bounded differences that may be looked at after every item.

A fixed-size test read again and again rejects a true null far more often than it says. Here a gambler stakes a share
λ_t of a fortune K on the next difference being positive: K_t = Π_{i ≤ t} (1 + λ_i (d_i − m)). If the mean is at most m,
no stake wins in the long run and P(K ever reaches 1/α) ≤ α (Ville 1939), whenever one looks or stops. The stake is
Kelly's (1956) approximate optimum from the items before: λ_t = clip(μ̂ / (σ̂² + μ̂²), 0, ½), μ̂ the mean excess so far
(Waudby-Smith & Ramdas 2024, arXiv 2010.09686).

Shapes: n items, in the order they are looked at; further axes before it are separate tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exapt.errors import InputError

LARGEST = 0.5
"""The largest stake: with differences and m in [−1, 1] the fortune never falls to 0."""
PRIOR_VARIANCE = 0.25
"""Counted as one item before the first, so that the first stakes are small."""


@dataclass(frozen=True)
class Bet:
    """What a sequence of differences came to."""

    rejected: bool
    """Whether the fortune ever reached 1/α: the mean exceeds what it was tested against."""
    stop: int | None
    """The first item count at which it did."""
    evidence: float
    """The largest fortune: an odds-like measure of evidence, 1/α rejects."""
    n: int


def bet(differences: np.ndarray, over: float = 0.0, alpha: float = 0.05) -> Bet:
    """Test whether the mean of differences (n,) in [−1, 1] is above `over`, valid at every moment of looking.

    Raises `InputError` for values out of range, NaN, or an α or `over` that makes no sense.
    """
    d = _checked(differences, over, alpha)
    if d.ndim != 1:
        raise InputError(f"differences: shape {d.shape}; expected one an item, shape (n,)")
    fortune = log_fortune(d, over)
    hit = np.flatnonzero(fortune >= -np.log(alpha))
    most = float(np.exp(min(fortune.max(initial=0.0), 700.0)))
    return Bet(bool(len(hit)), int(hit[0]) + 1 if len(hit) else None, most, len(d))


def log_fortune(differences: np.ndarray, over: float | np.ndarray = 0.0) -> np.ndarray:
    """(…, n) the logarithm of the fortune after each item, betting that the mean is above `over`."""
    d = np.asarray(differences, dtype=float) - over
    before = np.arange(d.shape[-1])
    mean = _before(d) / (before + 1)
    variance = np.maximum((PRIOR_VARIANCE + _before(d * d)) / (before + 1) - mean**2, 1e-12)
    stake = np.clip(mean / (variance + mean**2), 0, LARGEST)
    return np.cumsum(np.log1p(stake * d), axis=-1)


def confidence_sequence(
    differences: np.ndarray, alpha: float = 0.05, step: float = 0.005
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (n,), (n,) that hold for the mean of differences (n,) in [−1, 1] at all times together, with chance 1 − α.

    A mean stays in as long as neither the bet that the truth is above it nor the bet that it is below reached 2/α. Only
    means on a grid of `step` are tried, and the bounds lie one step outside those that stay.
    """
    d = _checked(differences, 0.0, alpha)
    grid = np.arange(-1, 1 + step / 2, step)[:, None]
    bar = np.log(2 / alpha)
    above = np.maximum.accumulate(log_fortune(np.broadcast_to(d, (len(grid), len(d))), grid), axis=1) >= bar
    below = np.maximum.accumulate(log_fortune(np.broadcast_to(-d, (len(grid), len(d))), -grid), axis=1) >= bar
    low = np.where(above, grid, -1 - step).max(axis=0)
    high = np.where(below, grid, 1 + step).min(axis=0)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def _before(values: np.ndarray) -> np.ndarray:
    """Sums of all earlier values along the last axis: what a stake may know."""
    return np.cumsum(values, axis=-1) - values


def _checked(differences: np.ndarray, over: float, alpha: float) -> np.ndarray:
    d = np.asarray(differences, dtype=float)
    if not len(d) or not (np.abs(d) <= 1).all():
        found = "none" if not len(d) else "NaN" if np.isnan(d).any() else f"{d[np.abs(d).argmax()]:g}"
        raise InputError(f"differences: {found} found; expected values between -1 and 1")
    if not -1 <= over <= 1:
        raise InputError(f"over: {over}; expected between -1 and 1")
    if not 0 < alpha < 1:
        raise InputError(f"alpha: {alpha}; expected between 0 and 1, such as 0.05")
    return d
