"""The same question by simulation: rules learnt from drawn labels, many repetitions at once.

Shapes: R repetitions, m labels. A rule learnt from one draw says + where direction · (z − threshold) > 0, or, for one
nearest neighbour, what its neighbour is; the threshold rules are then scored without drawing test points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from exapt.errors import InputError
from exapt.evidence.signal import Labels

SimulatedRule = Literal["centroid", "known-zero", "nearest", "logistic"]
NEWTON_STEPS = 30


@dataclass(frozen=True)
class Accuracy:
    """A mean over repetitions and its standard error."""

    value: float
    error: float


def simulate(
    rule: SimulatedRule,
    strength: float,
    noise: float,
    labels: int,
    rng: np.random.Generator,
    *,
    repeats: int = 20_000,
    draw: Labels = "drawn",
) -> Accuracy:
    """Expected accuracy of a rule learnt from m labels; a draw of one class scores 0.5 (centroid, logistic).

    `logistic` is scikit-learn's `LogisticRegression(C=1)`. Raises `InputError` for an odd number of balanced labels.
    """
    if draw == "balanced" and labels % 2:
        raise InputError(f"signal: {labels} labels cannot be balanced; expected an even number")
    y = _signs(repeats, labels, draw, rng)
    z = strength * y + noise * rng.standard_normal((repeats, labels))
    if rule == "nearest":
        right = _nearest(y, z, strength, noise, rng)
    else:
        direction, threshold = LEARNT[rule](y, z)
        right = _scored(direction, threshold, strength, noise)
    if rule in ("centroid", "logistic"):
        right = np.where(np.abs(y.sum(1)) == labels, 0.5, right)
    return Accuracy(float(right.mean()), float(right.std(ddof=1) / np.sqrt(repeats)))


def _signs(repeats: int, labels: int, draw: Labels, rng: np.random.Generator) -> np.ndarray:
    """(R, m) labels ±1."""
    if draw == "drawn":
        return rng.integers(0, 2, (repeats, labels)) * 2.0 - 1
    return np.tile(np.repeat([1.0, -1.0], labels // 2), (repeats, 1))


def _scored(direction: np.ndarray, threshold: np.ndarray, strength: float, noise: float) -> np.ndarray:
    """(R,) exact accuracy of direction · (z − threshold) > 0 over both classes."""
    above, below = (special.ndtr(direction * (strength + side * threshold) / noise) for side in (-1, 1))
    return (above + below) / 2


def _centroid(y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    plus, minus = ((z * (y == side)).sum(1) / np.maximum((y == side).sum(1), 1) for side in (1, -1))
    return np.sign(plus - minus), (plus + minus) / 2


def _known_zero(y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.sign((y * z).mean(1)), np.zeros(len(z))


def _logistic(y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method on Σ log(1 + exp(−y(wz + b))) + w²/2 for all repetitions at once."""
    both = np.abs(y.sum(1)) < y.shape[1]
    w, b = np.zeros(len(z)), np.zeros(len(z))
    for _ in range(NEWTON_STEPS):
        p = special.expit(w[:, None] * z + b[:, None])
        wrong, weight = p - (y > 0), np.maximum(p * (1 - p), 1e-12)
        slope, offset = (wrong * z).sum(1) + w, wrong.sum(1)
        ww, wb, bb = (weight * z * z).sum(1) + 1, (weight * z).sum(1), weight.sum(1)
        determinant = ww * bb - wb**2
        step_w, step_b = (bb * slope - wb * offset) / determinant, (ww * offset - wb * slope) / determinant
        damped = both / np.maximum(1, np.maximum(np.abs(step_w), np.abs(step_b)) / 4)
        w, b = w - damped * step_w, b - damped * step_b
    return np.sign(w), -b / np.where(w == 0, 1, w)


def _nearest(y: np.ndarray, z: np.ndarray, strength: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """(R,) right or wrong at one test point of each class, averaged."""
    right = np.zeros(len(z))
    for side in (1.0, -1.0):
        test = side * strength + noise * rng.standard_normal((len(z), 1))
        neighbour = np.abs(z - test).argmin(1)
        right += np.take_along_axis(y, neighbour[:, None], 1)[:, 0] == side
    return right / 2


LEARNT = {"centroid": _centroid, "known-zero": _known_zero, "logistic": _logistic}
