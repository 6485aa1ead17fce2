"""Changes of colour as linear maps (B, 3, 3) of red, green and blue."""

from __future__ import annotations

import torch
from torch import Tensor

HUES = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""RGB to YIQ: brightness, and two axes of colour that a turn of the hue turns."""


def hued(angle: Tensor) -> Tensor:
    """The colour circle turned by angles (B,) in radians, brightness kept and greys left as they are.

    A turn in the plane of I and Q, which is linear. The hue of HSV turns on a hexagon instead and keeps the largest
    and the smallest of the three channels, not the brightness: the same colours come out in the same order, lighter or
    darker ones.
    """
    c, s = angle.cos(), angle.sin()
    turn = torch.eye(3, device=angle.device, dtype=angle.dtype).repeat(len(angle), 1, 1)
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = c, -s, s, c
    axes = HUES.to(turn)
    return torch.linalg.inv(axes) @ turn @ axes


def gained(factor: Tensor) -> Tensor:
    """Every channel times a factor (B,)."""
    return factor[:, None, None] * torch.eye(3, device=factor.device, dtype=factor.dtype)


def saturated(factor: Tensor) -> Tensor:
    """Mixed with the own grey: a factor (B,) of 0 is grey, 1 is as it was, more is more colourful."""
    grey = HUES[0].to(factor).expand(3, 3)
    return gained(factor) + (1 - factor)[:, None, None] * grey
