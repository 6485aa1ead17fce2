"""Test pictures with their boxes and with what each arm found, at the largest budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from exapt.evidence.unit import count
from exapt.reporting import svg
from exapt.reporting.blocks import Block, Figure, Section, Table, row

Plain = Mapping[str, Any]
SIDE, GAP = 216.0, 12.0
"""Width of a picture in the drawing, and what is left between two."""
JPEG = "data:image/jpeg;base64,"


def examples(shown: Sequence[Plain]) -> Section | None:
    """A row of pictures for each arm, with a table of what was found."""
    if not shown:
        return None
    largest = max(one["budget"] for one in shown)
    blocks: list[Block] = []
    rows = []
    for one in (one for one in shown if one["budget"] == largest):
        caption = f"{one['arm']}, {count(largest)} labelled pictures, seed 0."
        if not blocks:
            caption += " Dashed: the objects. Solid: what was found with a score of 0.25 or more, its class and score."
        blocks.append(Figure(pictures(one["shown"]), caption))
        rows += [row(one["arm"], *_line(picture)) for picture in one["shown"]]
    head = ["arm", "test picture", "objects", "found (score ≥ 0.25)", "R-precision"]
    return Section("Test pictures", [*blocks, Table(head, rows, "What was found in the pictures shown")])


def pictures(shown: Sequence[Plain]) -> Markup:
    """Pictures beside each other, boxes drawn over them."""
    tall = max(one["height"] / one["width"] for one in shown) * SIDE
    width = len(shown) * (SIDE + GAP) - GAP
    parts = [_picture(one, place * (SIDE + GAP)) for place, one in enumerate(shown)]
    return svg.figure(
        width, tall, "Test pictures with the boxes of objects and of what was found", *parts, class_="pictures"
    )


def _picture(one: Plain, left: float) -> Markup:
    scale = SIDE / one["width"]
    parts = []
    if str(one["picture"]).startswith(JPEG):
        size = {"width": SIDE, "height": one["height"] * scale}
        parts.append(svg.tag("image", href=one["picture"], x=left, y=0.0, preserveAspectRatio="none", **size))
    parts += [_box(box, left, scale, "object ignored" if box[5] else "object") for box in one["truth"]]
    for box in one["found"]:
        parts.append(_box(box, left, scale, "found"))
        parts.append(svg.text(left + box[0] * scale + 2, box[1] * scale + 10, f"{box[4]} {box[5]:.2f}", "found-name"))
    return svg.join(parts)


def _box(box: Sequence[Any], left: float, scale: float, class_: str) -> Markup:
    x1, y1, x2, y2 = (float(v) * scale for v in box[:4])
    return svg.tag("rect", x=left + x1, y=y1, width=x2 - x1, height=y2 - y1, class_=class_)


def _line(one: Plain) -> tuple[str, str, str, str]:
    wanted = sum(not box[5] for box in one["truth"])
    return f"row {one['row']}", count(wanted), count(len(one["found"])), f"{one['score']:.2f}"
