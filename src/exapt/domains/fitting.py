"""Pictures brought to a size."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import interpolate


def fit(picture: np.ndarray, size: tuple[int, int], stretch: bool = False) -> np.ndarray:
    """(H, W, C) scaled to cover (h, w), then cut around its centre; `stretch` scales each side by itself instead."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    scale = max(size[0] / height, size[1] / width)
    scaled = size if stretch else (max(size[0], round(height * scale)), max(size[1], round(width * scale)))
    planes = torch.from_numpy(np.array(picture, dtype=np.float32)).permute(2, 0, 1)[None]
    large = (
        interpolate(planes, scaled, mode="bilinear", antialias=True, align_corners=False)[0].permute(1, 2, 0).numpy()
    )
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    cut = large[top : top + size[0], left : left + size[1]]
    return np.round(cut).clip(0, 255).astype(np.uint8) if picture.dtype == np.uint8 else cut
