"""Axes of a figure: scales from values to pixels, round ticks, grid and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from exapt.reporting import svg


@dataclass(frozen=True)
class Scale:
    """Values to pixels, linear or logarithmic; a scale of one single value puts it in the middle."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Panel:
    """The plotting area of a figure and its two scales."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x: Scale
    y: Scale

    @property
    def x_end(self) -> float:
        return self.width - self.right

    @property
    def y_end(self) -> float:
        return self.height - self.bottom

    def clamp(self, value: float) -> float:
        """The pixel of a y value, kept inside the panel."""
        return min(max(self.y(value), self.top), self.y_end)

    def inside(self, value: float) -> bool:
        """Whether a y value lies on the panel."""
        return self.top - 0.5 <= self.y(value) <= self.y_end + 0.5


@dataclass(frozen=True)
class Size:
    """A figure's outer size and margins, for a wide page or a phone."""

    width: float
    height: float
    left: float
    right: float
    top: float = 30.0
    bottom: float = 50.0
    class_: str = "wide"

    def panel(
        self, x: tuple[float, float], y: tuple[float, float], *, log_x: bool = False, log_y: bool = False
    ) -> Panel:
        """A panel with the values' limits; a logarithmic x keeps a little room at both ends."""
        pad = 16
        across = Scale(*x, self.left + pad, self.width - self.right - pad, log_x)
        up = Scale(*y, self.height - self.bottom, self.top, log_y)
        return Panel(self.width, self.height, self.left, self.right, self.top, self.bottom, across, up)


WIDE = Size(860.0, 400.0, 62.0, 178.0)
FULL = Size(860.0, 340.0, 62.0, 24.0)
PHONE = Size(380.0, 330.0, 50.0, 10.0, class_="narrow")


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (steps of 1, 2, 2.5 or 5 × 10ᵏ) inside the limits."""
    if not high > low:
        return [low]
    raw = (high - low) / wanted
    base = 10 ** math.floor(math.log10(raw))
    step = min((f * base for f in (1, 2, 2.5, 5, 10)), key=lambda s: abs(math.log(s / raw)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def decimals(values: Sequence[float]) -> int:
    """The decimals that show round values exactly."""
    return next((d for d in range(9) if all(abs(round(v, d) - v) < 1e-9 for v in values)), 9)


def limits(values: Sequence[float], room: float = 0.06) -> tuple[float, float]:
    """The span of some values with a little room."""
    low, high = min(values), max(values)
    pad = room * (high - low) or 0.5 * abs(low) or 1.0
    return low - pad, high + pad


def axis_y(panel: Panel, at: Sequence[float], say: Callable[[float], str], title: str) -> Markup:
    """Horizontal grid lines with their values, and the title above them."""
    rows = [
        svg.line(panel.left, panel.y(v), panel.x_end, panel.y(v), "grid")
        + svg.text(panel.left - 8, panel.y(v) + 4, say(v), "tick", "end")
        for v in at
    ]
    return svg.join(rows) + svg.text(4, panel.top - 14, title, "axis")


def axis_x(panel: Panel, at: Sequence[float], say: Callable[[float], str], title: str) -> Markup:
    """Ticks along the bottom, as many labels as fit, and the title below them."""
    parts = [svg.line(panel.left, panel.y_end, panel.x_end, panel.y_end, "base")]
    free = -math.inf
    for v in at:
        half = 3.8 * len(say(v)) + 2
        parts.append(svg.line(panel.x(v), panel.y_end, panel.x(v), panel.y_end + 5, "base"))
        if panel.x(v) - half > free:
            parts.append(svg.text(panel.x(v), panel.y_end + 20, say(v), "tick", "middle"))
            free = panel.x(v) + half
    middle = (panel.left + panel.x_end) / 2
    return svg.join(parts) + svg.text(middle, panel.y_end + 40, title, "axis", "middle")
