"""Boxes around objects, as a column of a data set of pictures.

A box is a row (x1, y1, x2, y2, class, ignored): pixels from the picture's top left corner, x to the right and y down,
the ends not included; the class's name; and 1 for an object that neither counts nor is wrong to find (VOC's
'difficult', COCO's crowds).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from exapt.errors import InputError

BOXES = "boxes"
"""The column that holds each picture's boxes."""
SLACK = 1.0
"""Pixels that a box may reach outside its picture: rounding, and annotations that count from 1."""


def checked(rows: Any, size: tuple[int, int], where: str) -> list[list[Any]]:
    """A picture's boxes as lists, cut to its size (H, W); rows of NaN (padding of an array) are left out.

    Raises `InputError` naming picture and box for a row that is no box, an empty or inverted one, and one that lies
    outside the picture by more than a pixel.
    """
    if rows is None or isinstance(rows, str) or not isinstance(rows, Iterable):
        raise InputError(f"{where}: '{BOXES}' holds {rows!r:.40}; expected rows of x1, y1, x2, y2, class")
    found = [_row(row, f"{where}: box {number}") for number, row in enumerate(rows, 1)]
    return [_inside(row, size, f"{where}: box {number}") for number, row in enumerate(found, 1) if row is not None]


def _row(row: Any, where: str) -> list[Any] | None:
    """Four finite numbers, a name and a flag; None for padding."""
    values = row.tolist() if isinstance(row, np.ndarray) else list(row) if isinstance(row, Sequence) else []
    if len(values) not in (5, 6):
        raise InputError(f"{where}: {row!r:.60} is no box; expected x1, y1, x2, y2, class (and 1 where it is ignored)")
    try:
        place = [float(v) for v in values[:4]]
    except (TypeError, ValueError):
        raise InputError(f"{where}: {values[:4]!r:.60} are no numbers; expected x1, y1, x2, y2 in pixels") from None
    if all(math.isnan(v) for v in place):
        return None
    if not all(math.isfinite(v) for v in place):
        raise InputError(f"{where}: {said(place)} is not finite; expected x1, y1, x2, y2 in pixels")
    return [*place, _name(values[4], where), int(bool(values[5])) if len(values) == 6 else 0]


def _name(value: Any, where: str) -> str:
    """A class's name; 3.0 and 3 are one class."""
    whole = isinstance(value, int | float) and float(value).is_integer()
    name = str(int(value)) if whole else str(value).strip()
    if not name or name == "nan":
        raise InputError(f"{where}: its class is empty; give a name or a number")
    return name


def _inside(row: list[Any], size: tuple[int, int], where: str) -> list[Any]:
    x1, y1, x2, y2, name, ignored = row
    height, width = size
    if x2 <= x1 or y2 <= y1:
        raise InputError(f"{where}: {said(row)} of '{name}' is empty or inverted; expected x1 < x2 and y1 < y2")
    cut = [min(max(x1, 0.0), width), min(max(y1, 0.0), height), min(max(x2, 0.0), width), min(max(y2, 0.0), height)]
    outside = max(abs(a - b) for a, b in zip(row[:4], cut, strict=True)) > SLACK
    if outside or cut[0] >= cut[2] or cut[1] >= cut[3]:
        raise InputError(
            f"{where}: {said(row)} of '{name}' reaches outside the picture of {width} × {height} pixels; "
            "correct it or take it out"
        )
    return [*cut, name, ignored]


def said(row: Sequence[float]) -> str:
    """A box in words."""
    return "(" + ", ".join(f"{float(v):g}" for v in row[:4]) + ")"
