"""The sections of the audits: all verdicts in one table, then each with its figures and what could make it wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exapt.reporting.blocks import Block, Cell, Figure, Items, Ruled, Section, Table, Text, row, value_text
from exapt.reporting.logo import logo
from exapt.reporting.numbers import Plain
from exapt.reporting.plots import plot

PERCENT = re.compile(r"(?<=[0-9])%")


def overview(found: Sequence[Plain]) -> Section | None:
    """Every audit's verdict in a line."""
    if not found:
        return None
    rows = [
        row(
            title(one, found),
            Cell(str(one["verdict"]), mark=str(one.get("level", "unsure"))),
            _rounded(_beside(one.get("effect"), one.get("interval"))),
            _interval(one.get("interval")),
            value_text(one.get("n")),
        )
        for one in found
    ]
    return Section("Audits", [Table(["question", "verdict", "effect", "interval", "n"], rows)])


def each(found: Sequence[Plain]) -> list[Section]:
    """A section for every audit."""
    return [Section(f"Audit: {title(one, found)}", _blocks(one)) for one in found]


def title(one: Plain, found: Sequence[Plain]) -> str:
    """An audit's name; where it was made more than once, with the keys that differ."""
    specs = [dict(other.get("spec") or {}) for other in found if other["name"] == one["name"]]
    mine = dict(one.get("spec") or {})
    differing = [f"{key} {value_text(value)}" for key, value in mine.items() if any(s.get(key) != value for s in specs)]
    return f"{one['name']} ({', '.join(differing)})" if differing else str(one["name"])


def _blocks(one: Plain) -> list[Block]:
    ruled = Ruled(str(one["verdict"]), _spaced(one.get("sentence") or one["how"]), str(one.get("level", "unsure")))
    blocks: list[Block] = [ruled]
    for data in one.get("plots") or []:
        drawn = plot(data)
        if drawn:
            blocks.append(Figure(drawn, _spaced(data["caption"])))
    for data in one.get("logos") or []:
        drawn = logo(data)
        if drawn:
            blocks.append(Figure(drawn, _spaced(data["caption"])))
    for data in one.get("listings") or []:
        rows = [row(*(cell if isinstance(cell, str) else _rounded(cell) for cell in line)) for line in data["rows"]]
        blocks.append(
            Table([_spaced(name) for name in data["head"]], rows, _spaced(data["caption"]), bool(data.get("long")))
        )
    how = _spaced(one["how"])
    blocks.append(Text(f"How: {how}{'' if how.endswith('.') else '.'}"))
    if one.get("caveats"):
        blocks += [Text("How it could be wrong:"), Items([_spaced(caveat) for caveat in one["caveats"]])]
    return blocks


def _rounded(value: object) -> str:
    """Four figures of a float; anything else as it is."""
    return value_text(float(f"{value:.4g}")) if isinstance(value, float) else value_text(value)


def _beside(effect: float | None, ends: Sequence[float] | None) -> float | None:
    """The effect, as 0 where it is only the rounding of sums a billionth as wide as its interval."""
    wide = max((abs(end) for end in ends or () if end is not None), default=0.0)
    return 0.0 if effect is not None and abs(effect) < 1e-9 * wide else effect


def _spaced(text: object) -> str:
    """Text with a space between a number and its percent sign, as everywhere on the page."""
    return PERCENT.sub(" %", str(text))


def _interval(ends: Sequence[float] | None) -> str:
    return " to ".join(_rounded(end) for end in ends) if ends else "–"
