"""Pictures resampled by affine maps of places, whole batches at once.

A map is (B, 2, 3): where in the old picture, from −1 to 1 across its width and height, each place of the new one is
read. What comes into view at the border repeats the border.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def moved(pictures: Tensor, maps: Tensor) -> Tensor:
    """(B, C, H, W) read at the mapped places, between pixels by their four neighbours (bilinear)."""
    grid = places(maps.to(pictures), *pictures.shape[2:])
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def places(maps: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, 2) where the centre of every pixel is read.

    What `affine_grid` gives, but as the sum of what a row and what a column add, all x before all y: its batched
    product of matrices three wide takes longer on a CPU than the reading itself.
    """
    across = (torch.arange(width, device=maps.device) + 0.5) * (2 / width) - 1
    down = (torch.arange(height, device=maps.device) + 0.5) * (2 / height) - 1
    of_column = maps[:, :, 0, None] * across + maps[:, :, 2, None]
    of_row = maps[:, :, 1, None] * down
    return (of_column[:, :, None] + of_row[..., None]).permute(0, 2, 3, 1)


def turn(angle: Tensor, side: float) -> Tensor:
    """(B, 2, 3) maps that turn pictures, `side` = height / width, around their centre by angles (B,) in radians."""
    c, s, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack([c, -s * side, zero, s / side, c, zero], 1).reshape(-1, 2, 3)


def window(centre: Tensor, size: Tensor) -> Tensor:
    """(B, 2, 3) maps to a window with centre (B, 2) and size (B, 2) as shares of the whole, x before y."""
    zero = torch.zeros_like(size[:, 0])
    rows = [size[:, 0], zero, centre[:, 0], zero, size[:, 1], centre[:, 1]]
    return torch.stack(rows, 1).reshape(-1, 2, 3)


def after(outer: Tensor, inner: Tensor) -> Tensor:
    """(B, 2, 3) the map that first goes through `inner`, then through `outer`."""
    linear = outer[:, :, :2] @ inner[:, :, :2]
    offset = outer[:, :, :2] @ inner[:, :, 2:] + outer[:, :, 2:]
    return torch.cat([linear, offset], 2)
