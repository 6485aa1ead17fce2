"""Random views of standardised pictures: to the scale from 0 to 1, changed, and back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from exapt.domains.drawing import draw
from exapt.domains.fused_views import blur, recolour, solarise, warp
from exapt.domains.viewing import PictureViewSpec, Plan


class Scale(NamedTuple):
    """How a domain's pictures were standardised, and the range their raw values have."""

    mean: Tensor
    """(C,) that was taken off each channel."""
    spread: Tensor
    """(C,) that it was divided by."""
    lowest: float
    highest: float

    def unit(self, pictures: Tensor) -> Tensor:
        """Standardised (B, C, H, W) on the scale from 0 to 1."""
        gain, offset = self._map(pictures)
        return torch.addcmul(offset, pictures, gain)

    def standard(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) on the scale from 0 to 1, standardised."""
        gain, offset = self._map(pictures)
        return (pictures - offset) / gain

    def _map(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        reach = self.highest - self.lowest
        gain, offset = self.spread / reach, (self.mean - self.lowest) / reach
        return gain.to(pictures)[:, None, None], offset.to(pictures)[:, None, None]


def random_views(
    pictures: Tensor, spec: PictureViewSpec, plan: Plan, scale: Scale, rng: torch.Generator, count: int
) -> list[Tensor]:
    """`count` independent views of standardised pictures (B, C, H, W)."""
    unit = scale.unit(pictures)
    if spec.path == "kornia":
        from exapt.domains.kornia_views import chain, through

        steps = chain(spec, plan)
        return [scale.standard(through(steps, unit, rng)) for _ in range(count)]
    return [scale.standard(_view(unit, spec, plan, rng)) for _ in range(count)]


def _view(unit: Tensor, spec: PictureViewSpec, plan: Plan, rng: torch.Generator) -> Tensor:
    drawn = draw(spec, plan, len(unit), rng)
    changed = recolour(warp(unit, drawn), drawn)
    return solarise(blur(changed, drawn.sigma), drawn.solarise)
