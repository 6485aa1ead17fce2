"""Changes of colour as linear maps (B, 3, 3) of red, green and blue."""

from __future__ import annotations

import torch
from torch import Tensor

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=torch.float64)
"""RGB to brightness and two axes of colour."""
GREY = YIQ[0].expand(3, 3)
"""Every channel becomes the brightness."""
COLOUR = torch.eye(3, dtype=torch.float64) - GREY
"""What a colour has beyond its grey."""
QUARTER = torch.linalg.inv(YIQ) @ torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64) @ YIQ
"""That, a quarter turn further round the colour circle."""


def coloured(light: Tensor, colour: Tensor, angle: Tensor) -> Tensor:
    """Grey times `light`, and what is beyond it times `colour` and turned by `angle` in radians, (B,) each.

    All changes of light and colour are of this form, so they can be done in any order. A hue is a turn in the plane of
    I and Q, which is linear and keeps brightness. The hue of HSV turns on a hexagon instead and keeps the largest and
    the smallest of the three channels: the same colours in the same order, some of them lighter or darker.
    """
    grey, own, quarter = (part.to(angle) for part in (GREY, COLOUR, QUARTER))
    across, along = (colour * part for part in (angle.cos(), angle.sin()))
    return light[:, None, None] * grey + across[:, None, None] * own + along[:, None, None] * quarter


def hued(angle: Tensor) -> Tensor:
    """The colour circle turned by angles (B,) in radians, brightness kept and greys left as they are."""
    one = torch.ones_like(angle)
    return coloured(one, one, angle)
