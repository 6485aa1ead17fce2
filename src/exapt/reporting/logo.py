"""A sequence logo: letters stacked at places, drawn as areas so that they stretch alike in every browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from exapt.reporting import svg

Plain = Mapping[str, Any]
WIDTH, HALF, TOP, LEFT, FOOT = 860.0, 110.0, 26.0, 46.0, 24.0
"""The figure's width; pixels of the tallest stack, above them, to their left, and below for the places' names."""
INNER = [(0.85, 0.92), (1, 0.7), (0.78, 0.66), (0.68, 0.8), (0.55, 0.84), (0.4, 0.82), (0.25, 0.68), (0.22, 0.5)]
ROUND = [(0.4, 0), (0.12, 0.12), (0, 0.38), (0, 0.62), (0.12, 0.88), (0.4, 1), (0.6, 1), *INNER, (0.25, 0.32)]
"""What C and G share."""
A_LEGS = [(0, 0), (0.4, 1), (0.6, 1), (1, 0), (0.78, 0), (0.68, 0.26), (0.32, 0.26), (0.22, 0)]
C_MOUTH = [(0.4, 0.18), (0.55, 0.16), (0.68, 0.2), (0.78, 0.34), (1, 0.3), (0.85, 0.08), (0.6, 0)]
G_MOUTH = [(0.4, 0.18), (0.6, 0.16), (0.78, 0.22), (0.78, 0.33), (0.52, 0.33), (0.52, 0.48), (1, 0.48), (1, 0.14)]
SHAPES: dict[str, list[list[tuple[float, float]]]] = {
    "A": [A_LEGS, [(0.39, 0.44), (0.61, 0.44), (0.5, 0.76)]],
    "C": [[*ROUND, *C_MOUTH]],
    "G": [[*ROUND, *G_MOUTH, (0.8, 0.04), (0.58, 0)]],
    "T": [[(0.39, 0), (0.39, 0.82), (0, 0.82), (0, 1), (1, 1), (1, 0.82), (0.61, 0.82), (0.61, 0)]],
}
"""Outlines in a unit square, y upwards; the second of a letter is a hole."""


def logo(data: Plain) -> Markup | None:
    """The drawing of a plain `Logo`; None where every letter is of no height."""
    heights, places = data["heights"], [int(place) for place in data["places"]]
    tallest = max((sum(abs(h) for h in stack if h * sign > 0) for stack in heights for sign in (1, -1)), default=0.0)
    if not tallest or any(letter not in SHAPES for letter in data["letters"]):
        return None
    wide = (WIDTH - LEFT) / len(places)
    zero, scale = TOP + HALF, HALF / tallest
    parts = [_mark(name, [places.index(end) for end in ends], wide) for name, ends in (data.get("marks") or {}).items()]
    parts += [
        _stack(stack, data["letters"], LEFT + at * wide, zero, wide, scale, places[at])
        for at, stack in enumerate(heights)
    ]
    parts.append(svg.line(LEFT, zero, WIDTH, zero, "base"))
    for value, y in ((tallest, TOP), (0.0, zero), (-tallest, TOP + 2 * HALF)):
        said = f"{value:+.2g}".replace("-", "−") if value else "0"
        parts.append(svg.text(LEFT - 6, y + 4, said, "tick", "end"))
    parts += [
        svg.text(LEFT + (at + 0.5) * wide, TOP + 2 * HALF + FOOT - 6, _said(place), "tick", "middle")
        for at, place in enumerate(places)
        if place % 10 == 0 or place == 1
    ]
    label = "Sequence logo: how much each base at each place speaks for or against the class"
    return svg.figure(WIDTH, TOP + 2 * HALF + FOOT, label, *parts, class_="logo")


def _stack(
    stack: Sequence[float], letters: str, left: float, zero: float, wide: float, scale: float, place: int
) -> Markup:
    """The letters of one place, the tallest furthest from the line."""
    said = ", ".join(f"{letter} {h:+.3f}".replace("-", "−") for letter, h in zip(letters, stack, strict=True))
    parts: list[Markup] = [svg.tag("title", f"{_said(place)}: {said}")]
    for sign in (1, -1):
        y = zero
        for letter, h in sorted(zip(letters, stack, strict=True), key=lambda pair: abs(pair[1])):
            tall = abs(h) * scale
            if h * sign <= 0 or tall < 0.3:
                continue
            y -= sign * tall
            bottom = y + tall if sign > 0 else y
            parts.append(_letter(letter, left, bottom, wide, tall, "" if sign > 0 else " against"))
    return svg.tag("g", *parts)


def _letter(letter: str, left: float, bottom: float, wide: float, tall: float, how: str) -> Markup:
    outlines = " ".join(
        "M" + " L".join(f"{left + (0.04 + 0.92 * x) * wide:.2f},{bottom - y * tall:.2f}" for x, y in outline) + " Z"
        for outline in SHAPES[letter]
    )
    return svg.tag("path", d=outlines, fill_rule="evenodd", class_=f"base-{letter}{how}")


def _mark(name: str, ends: Sequence[int], wide: float) -> Markup:
    left, right = LEFT + ends[0] * wide, LEFT + (ends[1] + 1) * wide
    zone = svg.tag("rect", x=left, y=TOP - 4, width=right - left, height=2 * HALF + 8, class_="zone")
    return zone + svg.text((left + right) / 2, TOP - 10, name.replace("-", "−"), "strong", "middle")


def _said(place: int) -> str:
    return f"{place}".replace("-", "−")
