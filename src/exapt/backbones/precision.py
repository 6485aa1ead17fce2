"""The number type that autocast asks for."""

from __future__ import annotations

import torch
from torch import Tensor


def autocast_dtype(values: Tensor) -> torch.dtype:
    """The type that autocast gives matrix products on the values' device, or their own type where it is off."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype
