"""The cells of a detector's grid, and which object each one is to find (FCOS: Tian et al. 2019, arXiv 1904.01355).

Shapes: B pictures, G cells of a grid, K boxes of a picture (rows x1, y1, x2, y2, class, ignored; NaN where there are
fewer).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Grid(NamedTuple):
    """Cells over a picture, row by row."""

    rows: int
    columns: int
    height: float
    """Pixels of the picture."""
    width: float

    @property
    def stride(self) -> tuple[float, float]:
        """Height and width of a cell in pixels."""
        return self.height / self.rows, self.width / self.columns

    def centres(self, like: Tensor) -> Tensor:
        """(G, 2) x and y of every cell's centre, on the device and of the type of another tensor."""
        down, across = self.stride
        y = (torch.arange(self.rows, device=like.device, dtype=like.dtype) + 0.5) * down
        x = (torch.arange(self.columns, device=like.device, dtype=like.dtype) + 0.5) * across
        return torch.stack([x.repeat(self.rows), y.repeat_interleave(self.columns)], 1)


class Assigned(NamedTuple):
    """What every cell is to say."""

    classes: Tensor
    """(B, G) class of its object; −1: none; −2: lies in an ignored object, so that nothing it says is wrong."""
    boxes: Tensor
    """(B, G, 4) its object's box; zeros without one."""
    centreness: Tensor
    """(B, G) √(min(l, r) / max(l, r) · min(t, b) / max(t, b)): 1 at the object's centre, 0 at its border."""


def assign(labels: Tensor, grid: Grid, radius: float) -> Assigned:
    """Each cell's object: of those whose box holds its centre within `radius` cells of the object's own, the smallest.

    The cell that holds an object's centre always belongs to it (or to a smaller one), so that no object is too small
    for the grid.
    """
    there = ~labels[..., 0].isnan()
    wanted = there & (labels[..., 5] == 0)
    boxes = labels[..., :4].nan_to_num()
    centres = grid.centres(boxes)
    sides = _distances(centres, boxes)
    inside = sides.amin(-1) > 0
    near = _near(centres, boxes, grid, radius)
    holds = (inside & near) | _near(centres, boxes, grid, 0.5)
    size = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    cost = torch.where(holds & wanted[:, None], size[:, None], torch.inf)
    if not labels.shape[1]:
        cost = torch.full((*cost.shape[:2], 1), torch.inf, device=cost.device, dtype=cost.dtype)
        labels, boxes = labels.new_zeros(len(labels), 1, 6), boxes.new_zeros(len(boxes), 1, 4)
        sides = sides.new_zeros(*cost.shape, 4)
    least, which = cost.min(-1)
    found = least.isfinite()
    classes = torch.where(found, labels[..., 4].nan_to_num().gather(1, which).long(), -1)
    ignored = (inside & (there & ~wanted)[:, None]).any(-1) if inside.shape[-1] else torch.zeros_like(found)
    chosen = sides.gather(2, which[..., None, None].expand(-1, -1, 1, 4)).squeeze(2)
    own = boxes.gather(1, which[..., None].expand(-1, -1, 4))
    return Assigned(torch.where(ignored & ~found, -2, classes), own * found[..., None], centreness_of(chosen) * found)


def centreness_of(sides: Tensor) -> Tensor:
    """(…,) from distances (…, 4) to the left, top, right and bottom; 0 outside."""
    sides = sides.clamp(min=0)
    across, down = sides[..., 0::2], sides[..., 1::2]
    share = across.amin(-1) * down.amin(-1) / (across.amax(-1) * down.amax(-1)).clamp(min=1e-9)
    return share.sqrt()


def _distances(centres: Tensor, boxes: Tensor) -> Tensor:
    """(B, G, K, 4) from each cell's centre to the left, top, right and bottom of each box; negative outside."""
    at = centres[None, :, None]
    return torch.cat([at - boxes[:, None, :, :2], boxes[:, None, :, 2:] - at], -1)


def _near(centres: Tensor, boxes: Tensor, grid: Grid, radius: float) -> Tensor:
    """(B, G, K) whether a cell's centre is within so many cells of a box's centre, down and across."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    reach = boxes.new_tensor([grid.stride[1], grid.stride[0]]) * radius
    apart = centres[None, :, None] - middle[:, None]
    return ((apart >= -reach) & (apart < reach)).all(-1)
