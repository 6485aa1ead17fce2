"""How differences of a metric are said: in points where the metric lies in [0, 1], else in its own units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SHARES = ("accuracy", "auc", "auroc", "auprc", "f1", "precision", "recall", "dice", "iou", "map", "exact match")
"""Metrics, by a word of their name, that are shares of one and so are told in points (hundredths)."""


@dataclass(frozen=True)
class Unit:
    """The metric's name, and whether its differences are told in points."""

    metric: str
    points: bool

    @classmethod
    def of(cls, metric: str, scores: np.ndarray, points: bool | None = None) -> Unit:
        """Points for a metric known to be a share of one, as long as no score lies outside [0, 1]."""
        if points is None:
            words = metric.lower().replace("-", " ").split()
            known = any(share == metric.lower() or share in words for share in SHARES)
            points = known and bool(np.min(scores) >= 0 and np.max(scores) <= 1)
        return cls(metric, points)

    @property
    def factor(self) -> float:
        """What a raw difference is multiplied with before it is printed."""
        return 100.0 if self.points else 1.0

    def decimals(self, low: float, high: float) -> int:
        """Decimals that show an interval to two figures; points carry at least one."""
        half = abs(high - low) / 2 * self.factor
        size = half or max(abs(low), abs(high)) * self.factor
        needed = 1 - math.floor(math.log10(size)) if size > 0 else 1
        return min(max(needed - 1, 1), 4) if self.points else min(max(needed, 0), 6)

    def number(self, value: float, decimals: int, signed: bool = False) -> str:
        """A difference as text with a true minus sign; what rounds to zero carries none."""
        text = f"{value * self.factor:{'+' if signed else ''},.{decimals}f}"
        zero = not any(digit in text for digit in "123456789")
        return text.lstrip("+-") if zero else text.replace("-", "−")

    def gain(self, value: float, decimals: int) -> str:
        """'+4.1 points of accuracy', '−0.031 in R²'."""
        what = f"points of {self.metric}" if self.points else f"in {self.metric}"
        return f"{self.number(value, decimals, signed=True)} {what}"

    def margin(self, margin: float) -> str:
        """'1 point', '0.5 points', '0.01'."""
        size = f"{margin * self.factor:.3g}"
        return f"{size} point{'' if size == '1' else 's'}" if self.points else size


def p_text(p: float) -> str:
    """'p = 0.031', 'p < 0.001': three decimals, so that 0.0502 does not read as 0.05."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.3g}"


def count(number: float) -> str:
    """A count of labels: whole from 10 up, with thousands set apart; one decimal below."""
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}".removesuffix(".0")


def times(ratio: float) -> str:
    """A multiplier: '3.3×', '32×', '0.47×'."""
    if ratio >= 9.95:
        return f"{ratio:,.0f}×"
    return f"{ratio:.1f}×" if ratio >= 0.995 else f"{ratio:.2f}×"
