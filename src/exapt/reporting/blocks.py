"""What a report is made of: sections of text, tables, facts and figures, the same for HTML and Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*(/[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)*")
"""A link may only lead to a file beside or below the report: no scheme, no leading slash, no '..'."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table: text, perhaps a detail such as its interval, a link beside the report, a verdict's class."""

    text: str
    detail: str = ""
    link: str = ""
    mark: str = ""

    @property
    def words(self) -> str:
        """Text and detail on one line: '0.843 (0.821 to 0.865)'."""
        return f"{self.text} ({self.detail})" if self.detail else self.text

    @property
    def safe_link(self) -> str:
        """The link, or nothing where it would lead away."""
        return self.link if LOCAL.fullmatch(self.link) else ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind = "text"


@dataclass(frozen=True)
class Ruled:
    """A verdict with its sentence; `mark` is good, bad or unsure."""

    verdict: str
    sentence: str
    mark: str
    kind = "ruled"


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    items: Sequence[str]
    kind = "items"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    kind = "facts"


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row. `long` ones scroll in a box and are folded away."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    long: bool = False
    kind = "table"


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption; its numbers are in a table of the same section."""

    svg: Markup
    caption: str
    kind = "figure"


Block = Text | Ruled | Items | Facts | Table | Figure


@dataclass(frozen=True)
class Section:
    """A titled part of the report."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    about: str
    sentence: str
    verdict: str
    key: Sequence[tuple[str, str, str]] = ()
    """The few numbers to see first: (name, value, detail)."""
    notes: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=list)


def row(*cells: str | Cell) -> list[Cell]:
    """Cells from plain text and cells."""
    return [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]


def value_text(value: Any) -> str:
    """A plain value as text: thousands set apart, floats to six figures, nothing as a dash."""
    match value:
        case None | "":
            said = "–"
        case bool():
            said = "yes" if value else "no"
        case int():
            said = f"{value:,}".replace("-", "−")
        case float():
            said = f"{value:.6g}".replace("-", "−")
        case Mapping():
            said = "; ".join(f"{k} {value_text(v)}" for k, v in value.items()) or "none"
        case list() | tuple():
            said = ", ".join(value_text(v) for v in value) or "none"
        case _:
            said = str(value)
    return said


def facts(data: Mapping[str, Any], depth: int = 1) -> Facts:
    """Nested data as names and values, `depth` levels of names deep."""
    return Facts(_pairs(data, "", depth))


def _pairs(data: Mapping[str, Any], before: str, depth: int) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in data.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, Mapping) and depth > 0 and value:
            pairs += _pairs(value, f"{name} · ", depth - 1)
        else:
            pairs.append((name, value_text(value)))
    return pairs
