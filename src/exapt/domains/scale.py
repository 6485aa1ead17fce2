"""Between standardised pictures and the scale from 0 to 1 on which colours are changed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Scale(NamedTuple):
    """How a domain's pictures were standardised, and the range of their raw values."""

    mean: Tensor
    """(C,) that was taken off each channel."""
    spread: Tensor
    """(C,) that it was divided by."""
    lowest: float
    """The raw value that counts as 0, black."""
    highest: float
    """The raw value that counts as 1, white."""

    def gain(self, like: Tensor) -> Tensor:
        """(C,) what one standard deviation is on the scale from 0 to 1."""
        return (self.spread / (self.highest - self.lowest)).to(like)

    def offset(self, like: Tensor) -> Tensor:
        """(C,) where the mean lies on it."""
        return ((self.mean - self.lowest) / (self.highest - self.lowest)).to(like)

    def unit(self, pictures: Tensor) -> Tensor:
        """Standardised (B, C, H, W) on the scale from 0 to 1."""
        gain, offset = self.gain(pictures)[:, None, None], self.offset(pictures)[:, None, None]
        return torch.addcmul(offset, pictures, gain)

    def standard_(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) on the scale from 0 to 1, standardised in place."""
        gain, offset = self.gain(pictures)[:, None, None], self.offset(pictures)[:, None, None]
        return pictures.sub_(offset).mul_(1 / gain)
