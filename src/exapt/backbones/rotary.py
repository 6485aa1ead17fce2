"""Rotary positions (Su et al. 2021, arXiv 2104.09864): pairs of features turn by an angle that grows with the place.

A head of width H holds H / 2 pairs (i, i + H / 2), as in ModernBERT. Along a line every pair turns with the one place;
on a picture the first half of the pairs turns with the row and the second half with the column.
"""

from __future__ import annotations

import torch
from torch import Tensor


def angles(places: Tensor, head: int, theta: float) -> Tensor:
    """(…, H / 2) angles in radians of places (…, k) on k axes, which share the H / 2 pairs equally."""
    return (places[..., None].float() * _speeds(places, head, theta)).flatten(-2)


def turns(places: Tensor, head: int, theta: float) -> tuple[Tensor, Tensor]:
    """The tables (…, H) of cosine and signed sine for `rotate`, from places (…, k), in float32."""
    if places.device.type == "cpu" and not places.is_floating_point():
        cos, sin = _looked_up(places, _speeds(places, head, theta))
    else:
        half = angles(places, head, theta)
        cos, sin = half.cos(), half.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def _speeds(places: Tensor, head: int, theta: float) -> Tensor:
    """(pairs of an axis,) radians a place."""
    pairs = head // 2 // places.shape[-1]
    powers = torch.arange(pairs, device=places.device, dtype=torch.float32) / pairs
    return theta**-powers


def _looked_up(places: Tensor, speeds: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (…, H / 2) at whole places: each worked out once, for on a picture thousands share a row."""
    first, last = (int(end) for end in places.aminmax()) if places.numel() else (0, 0)
    table = torch.arange(first, last + 1, dtype=torch.float32)[:, None] * speeds
    rows = (places - first).flatten()
    return tuple(part[rows].view(*places.shape[:-1], -1) for part in (table.cos(), table.sin()))  # type: ignore[return-value]


def rotate(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (…, H) by tables (…, H). With −sin it turns back, which is also the gradient."""
    return torch.addcmul(values * cos, swap(values), sin)


def swap(values: Tensor) -> Tensor:
    """(…, H) with its two halves exchanged."""
    first, second = values.chunk(2, -1)
    return torch.cat([second, first], -1)
