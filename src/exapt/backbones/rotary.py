"""Rotary positions (Su et al. 2021, arXiv 2104.09864): pairs of features turn by an angle that grows with the place.

A head of width H holds H / 2 pairs (i, i + H / 2), as in ModernBERT. Along a line every pair turns with the one place;
on a picture the first half of the pairs turns with the row and the second half with the column.
"""

from __future__ import annotations

import torch
from torch import Tensor


def angles(places: Tensor, head: int, theta: float) -> Tensor:
    """(…, H / 2) angles in radians of places (…, k) on k axes, which share the H / 2 pairs equally."""
    axes = places.shape[-1]
    pairs = head // 2 // axes
    powers = torch.arange(pairs, device=places.device, dtype=torch.float32) / pairs
    return (places[..., None].float() * theta**-powers).flatten(-2)


def turns(places: Tensor, head: int, theta: float) -> tuple[Tensor, Tensor]:
    """The tables (…, H) of cosine and signed sine for `rotate`, from places (…, k), in float32."""
    half = angles(places, head, theta)
    cos, sin = half.cos(), half.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn (…, H) by tables (…, H). With −sin it turns back, which is also the gradient."""
    return torch.addcmul(values * cos, swap(values), sin)


def swap(values: Tensor) -> Tensor:
    """(…, H) with its two halves exchanged."""
    first, second = values.chunk(2, -1)
    return torch.cat([second, first], -1)
