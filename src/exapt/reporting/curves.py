"""The learning curves of all arms. Every figure is drawn twice, for a page and a phone; the style sheet shows one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from exapt.evidence.unit import count
from exapt.reporting import svg
from exapt.reporting.axes import PHONE, WIDE, Panel, Size, axis_x, axis_y, decimals, limits, ticks

LINE_HEIGHT = 17
PLACES = {"classical": 2, "random-frozen": 3, "frozen": 4, "stacked": 5}
"""The looks of well-known arms; treatment and control have 0 and 1, the rest what is left."""


@dataclass(frozen=True)
class Look:
    """How an arm is drawn: its place fixes colour, dash and marker, so that it looks alike in every figure."""

    name: str
    place: int

    @property
    def class_(self) -> str:
        return f"arm a{self.place % 8}"


def looks(names: Sequence[str], treatment: str, control: str) -> list[Look]:
    """Treatment first, control second, the others in their order; a well-known arm looks alike in every report."""
    pair = [n for n in (treatment, control) if n in names]
    rest = [n for n in names if n not in pair]
    free = iter(place for place in range(2, 2 + len(names) + len(PLACES)) if place not in PLACES.values())
    return [Look(n, i) for i, n in enumerate(pair)] + [Look(n, PLACES[n] if n in PLACES else next(free)) for n in rest]


def learning_curves(curves: Mapping[str, Any], arms: Sequence[Look]) -> Markup:
    """Score against labels for every arm: mean over seeds, 90 % t-interval as a band."""
    budgets, metric = curves["budgets"], curves["metric"]
    means = [v for look in arms for v in curves["arms"][look.name]["mean"]]
    spread = 0.5 * (max(means) - min(means)) + 1e-3
    ends = [
        min(max(v, min(means) - spread), max(means) + spread)
        for look in arms
        for key in ("low", "high")
        for v in curves["arms"][look.name][key]
    ]

    def draw(size: Size) -> Markup:
        phone = size.class_ == "narrow"
        if phone:
            size = replace(
                size,
                height=size.height + LINE_HEIGHT * ((len(arms) + 1) // 2),
                bottom=size.bottom + LINE_HEIGHT * ((len(arms) + 1) // 2),
            )
        panel = size.panel((budgets[0], budgets[-1]), limits([*means, *ends]), log_x=True)
        at = ticks(panel.y.low, panel.y.high)
        back = axis_y(panel, at, fixed(decimals(at)), metric) + axis_x(panel, budgets, count, "labels")
        drawn = [_arm(panel, curves, look) for look in reversed(arms)]
        named = _legend(panel, arms) if phone else _ends(panel, curves, arms)
        tips = [_tips(panel, curves, look) for look in reversed(arms)]
        label = f"Learning curves: {metric} against labels for {', '.join(look.name for look in arms)}"
        return svg.figure(size.width, size.height, label, back, *drawn, named, *tips, class_=size.class_)

    return twice(draw, WIDE)


def twice(draw: Callable[[Size], Markup], wide: Size) -> Markup:
    """A figure for a page and again for a phone."""
    return draw(wide) + draw(PHONE)


def fixed(places: int) -> Callable[[float], str]:
    """Numbers with so many decimals."""
    return lambda v: f"{v:.{places}f}".replace("-", "−")


def _arm(panel: Panel, curves: Mapping[str, Any], look: Look) -> Markup:
    arm, xs = curves["arms"][look.name], [panel.x(b) for b in curves["budgets"]]
    upper = [(x, panel.clamp(v)) for x, v in zip(xs, arm["high"], strict=True)]
    lower = [(x, panel.clamp(v)) for x, v in zip(xs, arm["low"], strict=True)]
    points = [(x, panel.y(v)) for x, v in zip(xs, arm["mean"], strict=True)]
    main = " main" if look.place < 2 else ""
    marks = [svg.marker(look.place, x, y, f"mark a{look.place % 8}") for x, y in points]
    band = svg.polygon([*upper, *reversed(lower)], f"band a{look.place % 8}{main}")
    return band + svg.polyline(points, look.class_ + main) + svg.join(marks)


def _tips(panel: Panel, curves: Mapping[str, Any], look: Look) -> Markup:
    arm = curves["arms"][look.name]
    return svg.join(
        svg.tip(
            panel.x(b),
            panel.y(m),
            [f"{_short(look.name, 24)}, {count(b)} labels", f"{m:.3f} ({low:.3f} to {high:.3f})"],
            panel.width,
        )
        for b, m, low, high in zip(curves["budgets"], arm["mean"], arm["low"], arm["high"], strict=True)
    )


def _ends(panel: Panel, curves: Mapping[str, Any], arms: Sequence[Look]) -> Markup:
    """Each arm's name at the end of its line, pushed apart where they would overlap."""
    wanted = sorted((panel.y(curves["arms"][look.name]["mean"][-1]), look.place, look) for look in arms)
    placed: list[float] = []
    for y, _, _ in wanted:
        placed.append(max(y, placed[-1] + LINE_HEIGHT) if placed else y)
    over = max(0.0, placed[-1] - panel.y_end)
    placed = [min(y, panel.y_end - LINE_HEIGHT * (len(placed) - 1 - i)) if over else y for i, y in enumerate(placed)]
    x = panel.x(curves["budgets"][-1])
    return svg.join(
        svg.polyline([(x + 8, y0), (x + 18, y), (x + 24, y)], f"leader a{look.place % 8}")
        + svg.text(x + 29, y + 4, _short(look.name, 20), f"name a{look.place % 8}")
        for (y0, _, look), y in zip(wanted, placed, strict=True)
    )


def _legend(panel: Panel, arms: Sequence[Look]) -> Markup:
    """Two columns of names under the axis, for narrow figures."""
    parts = []
    for i, look in enumerate(arms):
        x, y = 14 + (i % 2) * panel.width / 2, panel.y_end + 62 + LINE_HEIGHT * (i // 2)
        parts.append(svg.polyline([(x, y - 4), (x + 22, y - 4)], look.class_))
        parts.append(svg.marker(look.place, x + 11, y - 4, f"mark a{look.place % 8}"))
        parts.append(svg.text(x + 29, y, _short(look.name, 20), f"name a{look.place % 8}"))
    return svg.join(parts)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
