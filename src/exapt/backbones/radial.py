"""Distances as features: a basis that ends smoothly at the cut-off.

Shapes: E pairs, K functions. Lengths in Å.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHARPNESS = 6
"""The power of the envelope (Gasteiger et al. 2020, DimeNet, Eq. 8)."""


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """1 at 0, and 0 from the cut-off on with its first and second derivative (Gasteiger et al. 2020, Eq. 8)."""
    p, x = SHARPNESS, distances / cutoff
    power = x.pow(p)
    inside = 1 + power * (-(p + 1) * (p + 2) / 2 + x * (p * (p + 2) - x * (p * (p + 1) / 2)))
    return torch.where(x < 1, inside, torch.zeros_like(x))


def bessel(distances: Tensor, cutoff: float, count: int) -> Tensor:
    """(E, K) sin(kπ r / r_c) / r, k = 1 … K, each of like size (Schütt et al. 2021, Eq. 9), times the envelope."""
    waves = torch.arange(1, count + 1, device=distances.device, dtype=distances.dtype) * (math.pi / cutoff)
    size = envelope(distances, cutoff) / distances
    return (distances[:, None] * waves).sin() * size[:, None]
