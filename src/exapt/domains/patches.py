"""Pictures cut into square patches and put together again. Shapes: B pictures, h × w patches, p the patch's side."""

from __future__ import annotations

import torch
from torch import Tensor


def patchify(pictures: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) to (B · h · w, p · p · C): patches row by row, within a patch row by row with channels innermost."""
    count, channels, height, width = pictures.shape
    rows, columns = grid(height, width, patch)
    cut = pictures.reshape(count, channels, rows, patch, columns, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(count * rows * columns, patch * patch * channels)


def unpatchify(patches: Tensor, patch: int, rows: int, columns: int) -> Tensor:
    """The inverse of `patchify`: (B · h · w, p · p · C) back to (B, C, H, W)."""
    channels = patches.shape[-1] // patch**2
    cut = patches.reshape(-1, rows, columns, patch, patch, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, rows * patch, columns * patch)


def patch_positions(count: int, rows: int, columns: int, device: torch.device | str = "cpu") -> Tensor:
    """(B · h · w, 2) int64 row and column of every patch."""
    place = torch.arange(rows * columns, device=device).repeat(count)
    return torch.stack([place // columns, place % columns], dim=1)


def grid(height: int, width: int, patch: int) -> tuple[int, int]:
    """How many patches fit down and across; raises ValueError where they do not fit exactly."""
    if height % patch or width % patch:
        raise ValueError(f"patches of {patch} do not tile {height} × {width}")
    return height // patch, width // patch
