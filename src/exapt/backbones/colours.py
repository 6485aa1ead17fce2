"""How a checkpoint wants its pictures, and the domain's brought to that."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.batch import Batch
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec


class Colours(Spec):
    """What a checkpoint's pictures were normalised by; the defaults are ImageNet's figures."""

    mean: list[float] = Field(default=[0.485, 0.456, 0.406], min_length=1)
    """Mean of each channel, at full brightness 1."""
    std: list[PositiveFloat] = Field(default=[0.229, 0.224, 0.225], min_length=1)
    """Deviation of each channel."""
    full: PositiveFloat = 255.0
    """Full brightness in the domain's raw pictures: 255 for bytes, 1 for fractions."""


class Prepare(nn.Module):
    """(B, C, H, W) as a domain standardises them to (B, C', H', W') as a checkpoint wants them.

    The domain's x = (raw − mean) / spread is undone and the checkpoint's (raw / full − mean') / std' done, which is one
    multiplication and one addition a channel; where a domain tells no spread, x is taken as it is. A grey picture
    stands for three equal channels. Where the domain's patch is another than the checkpoint's, pictures are enlarged or
    made smaller until there are as many patches.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, inputs: Inputs, colours: Colours, channels: int, patch: int, what: str) -> None:
        super().__init__()
        if inputs.channels not in (1, channels):
            raise InputError(
                f"{what}: takes pictures of {channels} channels, the domain's have {inputs.channels}; valid here: "
                f"domain.channels={channels} or 1, or backbone.pretrained=false"
            )
        self.channels, self.patch, self.given = channels, patch, inputs.patch
        mean, std = (_each(values, channels, what) for values in (colours.mean, colours.std))
        scale, shift = torch.ones(channels), torch.zeros(channels)
        if inputs.spread:
            scale = torch.tensor(inputs.spread).double() / colours.full / std
            shift = (torch.tensor(inputs.mean).double() / colours.full - mean) / std
        self.register_buffer("scale", scale.float()[:, None, None], persistent=False)
        self.register_buffer("shift", shift.float()[:, None, None], persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """The pictures of a batch; raises `InputError` where it holds single patches."""
        if not batch.pictures:
            raise InputError("this backbone sees whole pictures, and the batch holds single patches")
        pictures = batch.inputs.expand(-1, self.channels, -1, -1) * self.scale + self.shift
        if self.patch == self.given:
            return pictures
        height, width = (side * self.patch // self.given for side in pictures.shape[2:])
        return F.interpolate(pictures, (height, width), mode="bicubic", antialias=True, align_corners=False)

    def cells(self, batch: Batch) -> int:
        """Patches of one picture."""
        return (batch.inputs.shape[2] // self.given) * (batch.inputs.shape[3] // self.given)


def _each(values: list[float], channels: int, what: str) -> Tensor:
    """One value a channel; the mean of several where the checkpoint sees in grey."""
    if len(values) == channels:
        return torch.tensor(values, dtype=torch.float64)
    if 1 in (len(values), channels):
        return torch.tensor(values, dtype=torch.float64).mean().expand(channels)
    raise InputError(f"{what}: backbone.colours has {len(values)} channels, the model {channels}; give as many")
