"""The figures beside the learning curves: differences and labels saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from exapt.evidence.unit import Unit, count
from exapt.reporting import svg
from exapt.reporting.axes import FULL, Panel, Size, axis_x, axis_y, decimals, limits, ticks
from exapt.reporting.curves import twice


def differences(main: Mapping[str, Any], band: Mapping[str, Any], unit: Unit) -> Markup:
    """Treatment minus control at each budget and on average, with the margin as a shaded zone."""
    rows, overall, f = main["budgets"], main["overall"], unit.factor
    margin = overall["margin"] * f
    names = [count(row["budget"]) for row in rows] + (["mean"] if len(rows) > 1 else [])
    bars = [*rows, overall] if len(rows) > 1 else list(rows)
    outer = list(zip(band["low_all"], band["high_all"], strict=True))
    means = [bar["mean"] * f for bar in bars]
    reach = max(max(means) - min(means), 2 * margin, 1.5 * (overall["high"] - overall["low"]) * f)
    ends = [v * f for bar in bars for v in (bar["low"], bar["high"])] + [v * f for pair in outer for v in pair]
    seen = [min(max(v, min(means) - reach), max(means) + reach) for v in ends]

    def draw(size: Size) -> Markup:
        panel = size.panel((0, len(bars) - 1), limits([*seen, -1.3 * margin, 1.3 * margin]))
        at = ticks(panel.y.low, panel.y.high)
        zone = svg.tag(
            "rect", x=panel.left, y=panel.y(margin), width=panel.x_end - panel.left,
            height=panel.y(-margin) - panel.y(margin), class_="margin",
        )  # fmt: skip
        title = f"difference, points of {unit.metric}" if unit.points else f"difference in {unit.metric}"
        axes = axis_y(panel, at, _signed(decimals(at)), title)
        axes += axis_x(panel, range(len(bars)), lambda i: names[int(i)], "labels")
        zero = svg.line(panel.left, panel.y(0), panel.x_end, panel.y(0), "zero")
        wide = [
            svg.line(panel.x(i), panel.clamp(a * f), panel.x(i), panel.clamp(b * f), "outer")
            for i, (a, b) in enumerate(outer)
        ]
        drawn = [_bar(panel, i, bar, unit, names[i]) for i, bar in enumerate(bars)]
        label = f"Difference {main['arm']} minus {main['against']} at each budget, with intervals and the margin"
        return svg.figure(size.width, size.height, label, zone, axes, zero, *wide, *drawn, class_=size.class_)

    return twice(draw, FULL)


def labels_saved(saved: Mapping[str, Any]) -> Markup:
    """Labels the control needs against labels the treatment has, both logarithmic; the diagonal is no gain."""
    rows = saved["equivalents"]
    n = [row["labels"] for row in rows]
    worth = [v for row in rows for v in (row["worth"]["value"], row["worth"]["low"], row["worth"]["high"])]
    span = (min([*n, *worth]) / 1.15, max([*n, *worth]) * 1.15)

    def draw(size: Size) -> Markup:
        panel = size.panel((n[0], n[-1]), span, log_x=True, log_y=True)
        axes = axis_y(panel, _doublings(n, span), count, "labels without it") + axis_x(
            panel, n, count, "labels with it"
        )
        equal = svg.polyline([(panel.x(v), panel.y(v)) for v in n], "diagonal")
        middle = n[len(n) // 2]
        said = svg.text(panel.x(middle) + 10, panel.y(middle) + 18, "no gain", "tick")
        drawn = [_equivalent(panel, row) for row in rows]
        label = "Labels the control needs to do what the treatment does with fewer"
        return svg.figure(size.width, size.height, label, axes, equal, said, *drawn, class_=size.class_)

    return twice(draw, FULL)


def _bar(panel: Panel, i: int, bar: Mapping[str, Any], unit: Unit, name: str) -> Markup:
    f, x = unit.factor, panel.x(i)
    kind = str(bar["verdict"]).lower()
    d = unit.decimals(bar["low"], bar["high"])
    mean, low, high = (unit.number(bar[key], d, signed=key == "mean") for key in ("mean", "low", "high"))
    body = svg.line(x, panel.clamp(bar["low"] * f), x, panel.clamp(bar["high"] * f), f"whisker {kind}")
    point = svg.marker(3 if name == "mean" else 0, x, panel.y(bar["mean"] * f), f"dot {kind}", 5)
    where = "mean over budgets" if name == "mean" else f"{name} labels"
    return (
        body
        + point
        + svg.tip(x, panel.y(bar["mean"] * f), [f"{where}: {bar['verdict']}", f"{mean} ({low} to {high})"], panel.width)
    )


def _equivalent(panel: Panel, row: Mapping[str, Any]) -> Markup:
    amount, x = row["worth"], panel.x(row["labels"])
    low, high, y = (panel.y(amount[key]) for key in ("low", "high", "value"))
    parts = [svg.line(x, low, x, high, "whisker helps")]
    if amount["high_bound"] == "at least":
        parts.append(svg.polygon([(x - 5, high - 7), (x + 5, high - 7), (x, high - 16)], "arrow"))
    if amount["low_bound"] == "at most":
        parts.append(svg.polygon([(x - 5, low + 7), (x + 5, low + 7), (x, low + 16)], "arrow"))
    parts.append(svg.marker(0, x, y, "dot open" if amount["bound"] else "dot helps", 6))
    bound = f"{amount['bound']} " if amount["bound"] else ""
    said = [f"{count(row['labels'])} labels", f"worth {bound}{count(amount['value'])} without it"]
    return svg.join(parts) + svg.tip(x, y, said, panel.width)


def _doublings(n: Sequence[float], span: tuple[float, float]) -> list[float]:
    """Tick values for counts of labels: doublings of the smallest budget, every second or third one if many."""
    values, v = [], float(n[0])
    while v > span[0] * 2:
        v /= 2
    while v <= span[1]:
        values.append(v)
        v *= 2
    every = (len(values) + 6) // 7
    return [v for i, v in enumerate(values) if i % every == 0 and v >= span[0]]


def _signed(places: int) -> Callable[[float], str]:
    return lambda v: "0" if abs(v) < 1e-12 else f"{v:+.{places}f}".replace("-", "−")
