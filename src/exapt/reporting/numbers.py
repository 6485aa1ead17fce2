"""Numbers of the evidence's plain data as text; HTML and Markdown both print what is made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exapt.evidence.unit import Unit, count, p_text, times
from exapt.reporting.blocks import Cell

Plain = Mapping[str, Any]


def unit_of(verdict: Plain) -> Unit:
    """The unit the verdict was given in."""
    said = verdict.get("unit") or {}
    return Unit(said.get("metric", "score"), bool(said.get("points", False)))


def score(value: float | None) -> str:
    """A score to three decimals, or four figures where it is large."""
    if value is None:
        return "–"
    return (f"{value:.3f}" if abs(value) < 100 else f"{value:,.4g}").replace("-", "−")


def score_range(mean: float, low: float, high: float) -> Cell:
    """'0.843 (0.821 to 0.865)'."""
    return Cell(score(mean), f"{score(low)} to {score(high)}")


def difference(c: Plain, unit: Unit) -> Cell:
    """'+4.1 (2.0 to 6.3)', in points or the metric's own units."""
    d = unit.decimals(c["low"], c["high"])
    return Cell(unit.number(c["mean"], d, signed=True), f"{unit.number(c['low'], d)} to {unit.number(c['high'], d)}")


def difference_head(unit: Unit) -> str:
    """The words over a column of differences."""
    return "difference, points" if unit.points else f"difference in {unit.metric}"


def verdict_cell(c: Plain) -> Cell:
    """The verdict with what else is true of it."""
    also = f", {' and '.join(c['also'])}" if c.get("also") else ""
    material = ", beyond the margin" if c.get("material") else ""
    return Cell(f"{c['verdict']}{also}{material}", mark=str(c["verdict"]).lower())


def p_value(p: float | None) -> str:
    """'0.031', '< 0.001'."""
    return "–" if p is None else p_text(p).removeprefix("p ").removeprefix("= ")


def amount(a: Plain | None, ratio: bool = False) -> Cell:
    """'210 (150 to at least 320)'; for a ratio '3.3× (2.4× to 4.1×)'."""
    if a is None:
        return Cell("–")
    say = times if ratio else count
    value, low, high = (_bounded(a[key], a[bound], say) for key, bound in ENDS)
    if a["value"] == a["low"] == a["high"]:
        return Cell(value)
    return Cell(value, f"{low} to {high}")


ENDS = (("value", "bound"), ("low", "low_bound"), ("high", "high_bound"))


def _bounded(value: float, bound: str, say: Any) -> str:
    said = say(value).replace("-", "−")
    return f"{bound} {said}" if bound else said
