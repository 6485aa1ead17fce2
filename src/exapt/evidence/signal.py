"""How many labels a signal needs: a representation z = a·y + ε with y = ±1 and ε ~ N(0, σ²), in closed form.

The accuracy of simple rules learnt from m labelled z, in expectation over the labels' noise, exactly or by quadrature.
Labels are `balanced` (m/2 of each class) or `drawn` (each by a fair coin; a draw of a single class, probability
2^(1−m), knows nothing and scores 0.5, except under the rules that one class serves).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy import special, stats

from exapt.errors import InputError

Labels = Literal["balanced", "drawn"]
Rule = Literal["centroid", "known-zero", "nearest"]
MOST = 10_000
"""Labels beyond which a target counts as not reached."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(101)


def bayes(strength: float, noise: float) -> float:
    """Φ(a/σ): no rule does better, however many labels it has."""
    return float(special.ndtr(strength / noise))


def centroid(strength: float, noise: float, labels: int, draw: Labels = "balanced") -> float:
    """The midpoint rule (nearest class mean, which is LDA here).

    Balanced: acc = pΦ(κ) + (1−p)(1−Φ(κ)) with p = Φ(a√m/σ), the chance that the means come out in the right order, and
    κ = a/(σ√(1 + 1/m)), since the midpoint has variance σ²/m of its own and is independent of the order.
    """
    ratio = _checked(strength, noise, labels, draw)
    if draw == "balanced":
        return _flipped(special.ndtr(ratio * np.sqrt(labels)), special.ndtr(ratio / np.sqrt(1 + 1 / labels)))
    return _over_draws(labels, partial(_centroid_of, ratio))


def known_zero(strength: float, noise: float, labels: int, draw: Labels = "balanced") -> float:
    """sign(mean(y z))·z: the threshold is known to be 0 and only the direction is learnt; one class serves."""
    ratio = _checked(strength, noise, labels, draw)
    return _flipped(special.ndtr(ratio * np.sqrt(labels)), special.ndtr(ratio))


def nearest(strength: float, noise: float, labels: int, draw: Labels = "balanced") -> float:
    """One nearest neighbour, by quadrature over the test point and the neighbour's distance; one class names itself."""
    ratio = _checked(strength, noise, labels, draw)
    at, mass = np.polynomial.hermite_e.hermegauss(41)
    point = (ratio + at)[:, None]  # of class +1, in units of σ
    reach = np.geomspace(1e-8, ratio + np.abs(at).max() + 9, 1000)  # a neighbour may be very near or far
    near = [special.ndtr(point + reach - c) - special.ndtr(point - reach - c) for c in (ratio, -ratio)]
    rate = _density(point + reach - ratio) + _density(point - reach - ratio)
    if draw == "balanced":
        half = labels // 2
        alone = (1 - near[0]) ** (half - 1) * (1 - near[1]) ** half * half
    else:
        alone = (1 - (near[0] + near[1]) / 2) ** (labels - 1) * labels / 2
    chance = np.trapezoid(rate * alone * reach, np.log(reach), axis=1)
    return float(chance @ mass / mass.sum())


RULES: dict[Rule, Callable[[float, float, int, Labels], float]] = {
    "centroid": centroid,
    "known-zero": known_zero,
    "nearest": nearest,
}
"""The rules whose accuracy is exact."""


@dataclass(frozen=True)
class Needed:
    """The fewest labels that reach a target; None where no number tried does."""

    labels: int | None
    best: float
    """The accuracy of the rule with all the labels that were tried."""
    limit: float
    """Bayes' limit."""

    @property
    def why(self) -> str:
        """'10 labels', or why no number will do."""
        if self.labels is not None:
            return f"{self.labels:,} labels"
        return f"it is not met with {MOST:,} labels (the rule ends at {self.best:.3f}; none passes {self.limit:.3f})"


def labels_needed(rule: Rule, target: float, strength: float, noise: float, draw: Labels = "drawn") -> Needed:
    """The fewest labels with which a rule's expected accuracy reaches a target in (0.5, 1).

    Every accuracy here rises with m, so doubling and halving find it. Raises `InputError` for another target.
    """
    if not 0.5 < target < 1:
        raise InputError(f"signal: target {target:g}; expected an accuracy above 0.5 and below 1")
    step = 2 if draw == "balanced" else 1

    def accuracy(m: int) -> float:
        return RULES[rule](strength, noise, m, draw)

    limit, best = bayes(strength, noise), accuracy(MOST)
    if best < target:
        return Needed(None, best, limit)
    low, high = 0, step
    while accuracy(high) < target:
        low, high = high, min(2 * high, MOST)
    while high - low > step:
        middle = (low + high) // (2 * step) * step
        low, high = (low, middle) if accuracy(middle) >= target else (middle, high)
    return Needed(high, best, limit)


def least_of_weaker(target: float, strong: float, weak: float) -> float:
    """Φ(weak/strong · Φ⁻¹(target)): where a strong signal of some noise has reached a target with a threshold rule that
    attains Bayes' limit, a weaker one ends no lower than this."""
    return float(special.ndtr(weak / strong * special.ndtri(target)))


def _centroid_of(ratio: float, positive: int, negative: int) -> float:
    """The midpoint rule from means of unequal counts: direction and midpoint are then correlated."""
    spread = 1 / positive + 1 / negative
    skew = (1 / positive - 1 / negative) / 4
    order = ratio / np.sqrt(spread / 4)
    gap = ratio / np.sqrt(1 + spread / 4)
    correlation = skew / np.sqrt(spread / 4 * (1 + spread / 4))
    return float(np.mean([_same_sign(order, gap, r) for r in (-correlation, correlation)]))


def _same_sign(first: float, second: float, correlation: float) -> float:
    """P(two normals with these means, unit variances and correlation have one sign).

    By quadrature over the first, whose change of sign ends both integrals, so that each is of a smooth function.
    """
    total = 0.0
    for low, high, sign in ((-first, max(9.0, 9.0 - first), 1.0), (min(-9.0, -9.0 - first), -first, -1.0)):
        at = (high - low) / 2 * NODES + (high + low) / 2
        above = special.ndtr(sign * (second + correlation * at) / np.sqrt(1 - correlation**2))
        total += (high - low) / 2 * float(WEIGHTS @ (_density(at) * above))
    return total


def _over_draws(labels: int, accuracy: Callable[[int, int], float]) -> float:
    """The mean over fair coins of an accuracy of (positive, negative) counts; a single class scores 0.5."""
    counts = np.arange(1, labels)
    chance = stats.binom.pmf(counts, labels, 0.5)
    both = counts[chance > 1e-9]
    known = chance[chance > 1e-9]
    scores = np.array([accuracy(int(k), int(labels - k)) for k in both])
    return float(known @ scores + 0.5 * (1 - known.sum()))


def _flipped(order: float, accuracy: float) -> float:
    return float(order * accuracy + (1 - order) * (1 - accuracy))


def _density(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return found


def _checked(strength: float, noise: float, labels: int, draw: Labels) -> float:
    """a/σ; raises `InputError` for what is no such problem."""
    if not (np.isfinite(strength) and strength >= 0 and 0 < noise < np.inf):
        raise InputError(f"signal: strength {strength:g}, noise {noise:g}; expected a ≥ 0 and σ > 0")
    if labels < 1 or (draw == "balanced" and labels % 2):
        raise InputError(f"signal: {labels} labels; expected 1 or more, and an even number where they are balanced")
    return strength / noise
