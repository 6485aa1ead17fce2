"""A finding's plots: lines, points and bands from plain data, drawn like every other figure of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from exapt.evidence.unit import count
from exapt.reporting import svg
from exapt.reporting.axes import FULL, Panel, Size, axis_x, axis_y, decimals, limits, ticks
from exapt.reporting.curves import LINE_HEIGHT, fixed, twice

Plain = Mapping[str, Any]


def plot(data: Plain) -> Markup | None:
    """The drawing of a plain `Plot`; None where nothing in it can be drawn."""
    series = [drawn for one in data["series"] if (drawn := _drawable(one, data["log_x"], data["log_y"]))["points"]]
    if not series:
        return None
    xs = [x for one in series for x, *_ in one["points"]]
    ys = [y for one in series for _, *values in one["points"] for y in values]

    def draw(size: Size) -> Markup:
        size = _with_legend(size, len(series))
        panel = size.panel((min(xs), max(xs)), _span(ys, data["log_y"]), log_x=data["log_x"], log_y=data["log_y"])
        few = 4 if size.class_ == "narrow" else 7
        at_y, at_x = _ticks(panel.y.low, panel.y.high, data["log_y"], 5), _ticks(min(xs), max(xs), data["log_x"], few)
        if not data["log_x"] and all(x == int(x) for x in xs):
            at_x = [x for x in at_x if x == int(x)]  # classes, seeds and steps have nothing between them
        axes = axis_y(panel, at_y, _said(at_y, data["log_y"]), data["y"])
        said = _said(at_x, data["log_x"])
        if data.get("names"):
            at_x, said = list(range(1, len(data["names"]) + 1)), _named(data["names"])
        axes += axis_x(panel, at_x, said, data["x"])
        drawn = [_series(panel, one, place) for place, one in enumerate(series)]
        label = f"{data['y']} against {data['x']}: {', '.join(str(one['name']) for one in series)}"
        return svg.figure(size.width, size.height, label, axes, *drawn, _legend(panel, series), class_=size.class_)

    return twice(draw, replace(FULL, height=300.0))


def _drawable(one: Plain, log_x: bool, log_y: bool) -> dict[str, Any]:
    """Points (x, y, low, high) that are finite, and positive on a logarithmic axis, in the order given."""
    low, high = one.get("low") or one["y"], one.get("high") or one["y"]
    points = []
    for point in zip(one["x"], one["y"], low, high, strict=True):
        whole = all(isinstance(v, int | float) and math.isfinite(v) for v in point)
        if whole and (not log_x or point[0] > 0) and (not log_y or point[1] > 0):
            floor = point[1] * 1e-3 if log_y else -math.inf
            points.append((point[0], point[1], max(point[2], floor), point[3]))
    return {
        "name": one["name"],
        "style": one.get("style", "line"),
        "banded": one.get("low") is not None,
        "points": points,
    }


def _series(panel: Panel, one: Plain, place: int) -> Markup:
    look = f"a{place % 8}"
    way = [(panel.x(x), panel.clamp(y)) for x, y, _, _ in one["points"]]
    tips = (
        svg.join(
            svg.tip(panel.x(x), panel.clamp(y), _card(one, x, y, low, high), panel.width)
            for x, y, low, high in one["points"]
        )
        if len(way) <= 40
        else Markup("")
    )
    if one["style"] == "points":
        bars = [
            svg.line(panel.x(x), panel.clamp(a), panel.x(x), panel.clamp(b), f"spread {look}")
            for x, _, a, b in one["points"]
        ]
        return svg.join(
            [*(bars if one["banded"] else []), *(svg.marker(place, x, y, f"mark {look}") for x, y in way), tips]
        )
    band = Markup("")
    if one["banded"]:
        upper = [(panel.x(x), panel.clamp(b)) for x, _, _, b in one["points"]]
        lower = [(panel.x(x), panel.clamp(a)) for x, _, a, _ in one["points"]]
        band = svg.polygon([*upper, *reversed(lower)], f"band {look} main")
    marks = (
        [svg.marker(place, x, y, f"mark {look}", 3.5) for x, y in way]
        if len(way) <= 40 and one["style"] == "line"
        else []
    )
    class_ = f"arm {look} {'dashed' if one['style'] == 'dashed' else 'plain'}"
    return svg.join([band, svg.polyline(way, class_), *marks, tips])


def _card(one: Plain, x: float, y: float, low: float, high: float) -> list[str]:
    said = f"{x:.4g}: {y:.4g}" + (f" ({low:.4g} to {high:.4g})" if one["banded"] else "")
    return [str(one["name"])[:32], said.replace("-", "−")]


def _with_legend(size: Size, entries: int) -> Size:
    """Room for the names under the axis, in two columns (one on a phone)."""
    rows = entries if size.class_ == "narrow" else (entries + 1) // 2
    room = LINE_HEIGHT * rows + 8 if entries > 1 else 0
    return replace(size, height=size.height + room, bottom=size.bottom + room)


def _legend(panel: Panel, series: Sequence[Plain]) -> Markup:
    if len(series) < 2:
        return Markup("")
    columns = 1 if panel.width < 500 else 2
    parts = []
    for i, one in enumerate(series):
        x, y = panel.left + (i % columns) * panel.width / 2, panel.y_end + 62 + LINE_HEIGHT * (i // columns)
        look = f"a{i % 8}"
        if one["style"] != "points":
            parts.append(
                svg.polyline(
                    [(x, y - 4), (x + 22, y - 4)], f"arm {look} {'dashed' if one['style'] == 'dashed' else 'plain'}"
                )
            )
        if one["style"] != "dashed":
            parts.append(svg.marker(i, x + 11, y - 4, f"mark {look}", 3.5))
        parts.append(svg.text(x + 29, y, str(one["name"]), f"name {look}"))
    return svg.join(parts)


def _span(values: Sequence[float], log: bool) -> tuple[float, float]:
    if not log:
        return limits(values)
    low, high = min(values), max(values)
    room = (high / low) ** 0.06 if high > low else 2.0
    return low / room, high * room


def _ticks(low: float, high: float, log: bool, wanted: int) -> list[float]:
    if not log or high < 3 * low:
        return ticks(low, high, wanted)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / wanted))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    found = [m * 10.0**k for k in range(first, last + 1, every) for m in steps]
    return [v for v in found if low <= v <= high] or [low, high]


def _named(names: Sequence[str]) -> Any:
    """The name at each whole place."""
    return lambda place: str(names[int(place) - 1])[:18]


def _said(at: Sequence[float], log: bool) -> Any:
    if log or max(abs(v) for v in at) >= 10000:
        return lambda v: (count(v) if v >= 1 and v == int(v) and v < 1e6 else f"{v:.3g}").replace("-", "−")
    return fixed(decimals(at))
