"""SVG by hand: escaped elements, nothing else. A figure is a few kilobytes, needs no script and prints sharply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element; every attribute and text child is escaped. `class_` is `class`, underscores are hyphens."""
    words = [
        f'{key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    opening = " ".join([name, *words])
    inner = join(children)
    return Markup(f"<{opening}>{inner}</{name}>") if children else Markup(f"<{opening}/>")


def join(parts: Iterable[Any]) -> Markup:
    """Parts one after the other; strings are escaped."""
    return Markup("").join(parts)


def number(value: Any) -> Any:
    """Coordinates to a tenth of a pixel."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> Markup:
    """Text at a point; anchor is start, middle or end."""
    return tag("text", words, x=float(x), y=float(y), class_=class_ or None, text_anchor=anchor)


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """An open line through points."""
    return tag("polyline", points=_pairs(points), class_=class_)


def polygon(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A closed area."""
    return tag("polygon", points=_pairs(points), class_=class_)


def marker(shape: int, x: float, y: float, class_: str, size: float = 4.5) -> Markup:
    """Circle, square, triangle, diamond, down-triangle or cross-like star, so that arms differ without colour."""
    s = size
    corners = [
        [],
        [(-s, -s), (s, -s), (s, s), (-s, s)],
        [(0, -1.25 * s), (1.15 * s, s), (-1.15 * s, s)],
        [(0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0)],
        [(0, 1.25 * s), (1.15 * s, -s), (-1.15 * s, -s)],
        [(0, -1.3 * s), (1.3 * s, -0.2 * s), (0.8 * s, 1.2 * s), (-0.8 * s, 1.2 * s), (-1.3 * s, -0.2 * s)],
    ][shape % 6]
    if not corners:
        return tag("circle", cx=float(x), cy=float(y), r=float(s), class_=class_)
    return polygon([(x + dx, y + dy) for dx, dy in corners], class_)


def tip(x: float, y: float, lines: Sequence[str], width: float) -> Markup:
    """A point that shows a small card while the pointer is over it; pure CSS, kept inside the figure's width."""
    wide = 16 + 6.9 * max(len(words) for words in lines)
    tall = 10 + 17 * len(lines)
    left = min(max(x - wide / 2, 2), width - wide - 2)
    top = y - tall - 12 if y - tall - 12 > 0 else y + 12
    card = tag("rect", x=float(left), y=float(top), width=float(wide), height=float(tall), rx=5, class_="card")
    words = [text(left + 8, top + 18 + 17 * i, said, "strong" if i == 0 else "") for i, said in enumerate(lines)]
    target = tag("circle", cx=float(x), cy=float(y), r=11, class_="hit")
    return tag("g", target, tag("g", card, *words, class_="tip"), class_="point")


def figure(width: float, height: float, label: str, *parts: Any, class_: str) -> Markup:
    """The SVG element, described for those who cannot see it."""
    return tag("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label, class_=class_)


def _pairs(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
