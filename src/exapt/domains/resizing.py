"""Bringing a picture to a size, and the boxes in it with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate


def fit(picture: np.ndarray, size: tuple[int, int], stretch: bool = False) -> np.ndarray:
    """(H, W, C) scaled to cover (h, w), then cut around its centre; `stretch` scales each side by itself instead."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    scaled, top, left = _plan((height, width), size, stretch)
    planes = torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1)[None]
    large = (
        interpolate(planes, scaled, mode="bilinear", antialias=True, align_corners=False)[0].permute(1, 2, 0).numpy()
    )
    cut = large[top : top + size[0], left : left + size[1]]
    return np.round(cut).clip(0, 255).astype(np.uint8) if picture.dtype == np.uint8 else cut


class Moved(NamedTuple):
    """Boxes after their picture was brought to a size."""

    rows: list[list[Any]]
    lost: int
    """How many lost their centre to the cut, and so are left out."""


def fit_boxes(
    rows: Sequence[Sequence[Any]], before: tuple[int, int], size: tuple[int, int], stretch: bool = False
) -> Moved:
    """Rows (x1, y1, x2, y2, …) moved as `fit` moves a picture of (H, W) to (h, w); cut to the frame.

    A box whose centre the cut takes away is no longer an object of the picture.
    """
    scaled, top, left = _plan(before, size, stretch)
    down, across = scaled[0] / before[0], scaled[1] / before[1]
    kept = []
    for x1, y1, x2, y2, *rest in rows:
        place = (x1 * across - left, y1 * down - top, x2 * across - left, y2 * down - top)
        if 0 <= place[0] + place[2] <= 2 * size[1] and 0 <= place[1] + place[3] <= 2 * size[0]:
            ends = (size[1], size[0], size[1], size[0])
            kept.append([*(round(min(max(v, 0.0), end), 3) for v, end in zip(place, ends, strict=True)), *rest])
    return Moved(kept, len(rows) - len(kept))


def unfit_boxes(boxes: np.ndarray, before: tuple[int, int], size: tuple[int, int], stretch: bool = False) -> np.ndarray:
    """(k, 4) boxes in a picture brought from (H, W) to (h, w), in pixels of the picture as it was."""
    scaled, top, left = _plan(before, size, stretch)
    down, across = scaled[0] / before[0], scaled[1] / before[1]
    return (boxes + np.array([left, top, left, top])) / np.array([across, down, across, down])


def _plan(before: tuple[int, int], size: tuple[int, int], stretch: bool) -> tuple[tuple[int, int], int, int]:
    """The size (h', w') to scale to, and how much is then cut off at the top and at the left."""
    if before == size:
        return size, 0, 0
    scale = max(size[0] / before[0], size[1] / before[1])
    scaled = size if stretch else (max(size[0], round(before[0] * scale)), max(size[1], round(before[1] * scale)))
    return scaled, (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
