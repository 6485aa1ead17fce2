"""The figures of a pre-training run over its steps: its loss, and the shares of a battery's parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from exapt.evidence.unit import count
from exapt.reporting import svg
from exapt.reporting.axes import FULL, Panel, Size, axis_x, axis_y, decimals, limits, ticks
from exapt.reporting.curves import LINE_HEIGHT, fixed, twice

Points = Sequence[tuple[float, float]]


def loss(curve: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Loss against steps, in training and held out; None where nothing was logged."""
    series = {
        name: series_of(curve, key) for key, name in (("loss", "training loss"), ("held_out_loss", "held-out loss"))
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None
    steps = [x for points in series.values() for x, _ in points]
    losses = sorted(y for points in series.values() for _, y in points)
    top = losses[min(len(losses) - 1, int(0.985 * len(losses)))]

    def draw(size: Size) -> Markup:
        panel = size.panel((min(steps), max(steps)), limits([losses[0], top]))
        at, across = (
            ticks(panel.y.low, panel.y.high),
            ticks(min(steps), max(steps), 4 if size.class_ == "narrow" else 7),
        )
        axes = axis_y(panel, at, fixed(decimals(at)), "loss") + axis_x(panel, across, count, "step")
        drawn = []
        for place, (name, points) in enumerate(series.items()):
            way = [(panel.x(x), panel.clamp(y)) for x, y in _thinned(points)]
            held = name.startswith("held")
            drawn.append(svg.polyline(way, f"arm a{0 if held else 3} {'held' if held else 'training'}"))
            drawn.append(
                svg.text(
                    panel.x_end - 4, panel.top + 12 + LINE_HEIGHT * place, name, f"name a{0 if held else 3}", "end"
                )
            )
            if held:
                drawn += [svg.marker(0, x, y, "mark a0", 3) for x, y in way]
        return svg.figure(size.width, size.height, "Pre-training loss against steps", axes, *drawn, class_=size.class_)

    return twice(draw, replace(FULL, height=300.0))


def shares(curve: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup | None:
    """Each part's share of the gradient against steps; None where none was measured."""
    series = {name: series_of(curve, f"{name}.share") for name in names}
    steps = [x for points in series.values() for x, _ in points]
    if not steps:
        return None

    def draw(size: Size) -> Markup:
        panel = size.panel((min(steps), max(steps)), (0.0, 1.0))
        axes = axis_y(panel, [0.0, 0.25, 0.5, 0.75, 1.0], lambda v: f"{v:.0%}", "share of the gradient")
        axes += axis_x(panel, ticks(min(steps), max(steps), 4 if size.class_ == "narrow" else 7), count, "step")
        drawn = [_part(panel, place, name, points) for place, (name, points) in enumerate(series.items())]
        label = "Share of every part in the gradient of the backbone against steps"
        return svg.figure(size.width, size.height, label, axes, *drawn, class_=size.class_)

    return twice(draw, replace(FULL, height=300.0))


def series_of(curve: Sequence[Mapping[str, Any]], key: str) -> Points:
    """A figure's values by step, where it was logged."""
    return [(line["step"], line[key]) for line in curve if isinstance(line.get(key), int | float)]


def _part(panel: Panel, place: int, name: str, points: Points) -> Markup:
    look = place % 8
    way = [(panel.x(x), panel.clamp(y)) for x, y in _thinned(points)]
    line = svg.polyline(way, f"arm a{look}")
    marks = svg.join(svg.marker(place, x, y, f"mark a{look}", 3) for x, y in way)
    said = svg.text(panel.x_end - 4, panel.top + 12 + LINE_HEIGHT * place, name, f"name a{look}", "end")
    return line + marks + said


def _thinned(points: Sequence[tuple[float, float]], most: int = 400) -> list[tuple[float, float]]:
    """At most so many points of a long curve, each the mean of its neighbours."""
    if len(points) <= most:
        return list(points)
    step = -(-len(points) // most)
    groups = [points[i : i + step] for i in range(0, len(points), step)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
