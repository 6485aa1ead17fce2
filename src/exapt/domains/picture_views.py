"""Changes of pictures: turned, mirrored, moved, cropped, in another colour or light, under noise.

Pictures are (B, C, H, W), standardised by channel; colour and light are changed on the raw scale. What comes into view
at the border repeats the border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from exapt.batch import Batch
from exapt.domains.colours import hued
from exapt.domains.views import Changed, Transformation, uniform
from exapt.domains.warping import moved, turn, window


@dataclass(frozen=True)
class PictureViews:
    """The changes of one domain's pictures."""

    mean: Tensor
    """(C,) that was taken off each channel."""
    spread: Tensor
    """(C,) that it was divided by."""

    def all(self) -> list[Transformation]:
        """Every change; those of colour only where there are three channels or more."""
        found = [
            Transformation("rotation", rotated, (15.0, 45.0, 180.0), "degrees at most", self.orientation),
            Transformation("flip", flipped, (0.5, 1.0), "share mirrored left to right", either=0.5),
            Transformation("shift", shifted, (0.1, 0.25), "share of the side at most", self.centre),
            Transformation("crop", cropped, (0.25, 0.5), "share of the side cut off at most"),
            Transformation("brightness", self.brightened, (0.2, 0.5, 0.8), "share at most", self.light),
            Transformation("noise", noisy, (0.25, 0.5, 1.0), "standard deviations of a pixel"),
        ]
        if len(self.mean) < 3:
            return found
        return [
            Transformation("hue", self.hued, (30.0, 90.0, 180.0), "degrees at most", self.colour),
            Transformation("colour", self.coloured, (0.2, 0.5, 0.8), "share of each channel at most", self.colour),
            *found,
        ]

    def brightened(self, batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        """All channels times 1 ± strength."""
        gain = uniform(len(batch), strength, rng).to(batch.inputs.device)
        return Changed(self._with(batch, self._raw(batch) * (1 + gain)[..., None, None]), gain)

    def coloured(self, batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        """Each of red, green and blue times its own 1 ± strength."""
        gain = uniform(len(batch), strength, rng, 3).to(batch.inputs.device)
        raw = self._raw(batch)
        return Changed(self._with(batch, torch.cat([raw[:, :3] * (1 + gain)[..., None, None], raw[:, 3:]], 1)), gain)

    def hued(self, batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        """The colour circle turned by up to `strength` degrees, brightness kept."""
        raw = self._raw(batch)
        angle = uniform(len(batch), math.radians(strength), rng).to(raw.device)
        colours = torch.einsum("bij,bjhw->bihw", hued(angle[:, 0]).to(raw), raw[:, :3])
        return Changed(self._with(batch, torch.cat([colours, raw[:, 3:]], 1)), _circle(angle, strength))

    def colour(self, batch: Batch) -> Tensor:
        """(B, 3) shares of red, green and blue in all light, with their squares left to the probe."""
        light = self._raw(batch)[:, :3].clamp(min=0).mean((2, 3))
        return light / light.sum(1, keepdim=True).clamp(min=1e-6)

    def light(self, batch: Batch) -> Tensor:
        """(B, 1) mean brightness."""
        return self._raw(batch).mean((1, 2, 3))[:, None]

    def centre(self, batch: Batch) -> Tensor:
        """(B, 2) where the middle of the light is, from −1 to 1."""
        weight, x, y = self._light_and_places(batch)
        return torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], 1)

    def orientation(self, batch: Batch) -> Tensor:
        """(B, 2) which way the light stretches: difference and product of its second moments."""
        weight, x, y = self._light_and_places(batch)
        x = x - (weight * x).sum((1, 2), keepdim=True)
        y = y - (weight * y).sum((1, 2), keepdim=True)
        return torch.stack([(weight * (x * x - y * y)).sum((1, 2)), (weight * x * y).sum((1, 2))], 1)

    def _light_and_places(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Shares of light (B, H, W), and the places (1, W) and (H, 1) from −1 to 1."""
        light = self._raw(batch).mean(1)
        light = light - light.amin((1, 2), keepdim=True)
        weight = light / light.sum((1, 2), keepdim=True).clamp(min=1e-6)
        height, width = light.shape[1:]
        x = torch.linspace(-1, 1, width, device=light.device)[None]
        return weight, x, torch.linspace(-1, 1, height, device=light.device)[:, None]

    def _raw(self, batch: Batch) -> Tensor:
        mean, spread = (part.to(batch.inputs)[:, None, None] for part in (self.mean, self.spread))
        return batch.inputs * spread + mean

    def _with(self, batch: Batch, raw: Tensor) -> Batch:
        mean, spread = (part.to(raw)[:, None, None] for part in (self.mean, self.spread))
        return replace(batch, inputs=(raw - mean) / spread)


def rotated(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """Turned around the centre by up to `strength` degrees."""
    angle = uniform(len(batch), math.radians(strength), rng).to(batch.inputs.device)
    maps = turn(angle[:, 0], batch.inputs.shape[2] / batch.inputs.shape[3])
    return Changed(_moved(batch, maps), _circle(angle, strength))


def flipped(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """Mirrored left to right with probability `strength`."""
    turned = (torch.rand(len(batch), generator=rng, device=rng.device) < strength).to(batch.inputs.device)
    inputs = torch.where(turned[:, None, None, None], batch.inputs.flip(3), batch.inputs)
    return Changed(replace(batch, inputs=inputs), turned[:, None].float())


def shifted(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """Moved by up to `strength` of height and width."""
    move = uniform(len(batch), strength, rng, 2).to(batch.inputs.device)
    return Changed(_moved(batch, window(2 * move, torch.ones_like(move))), move)


def cropped(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """A part around the centre, up to `strength` of each side cut off, scaled to the whole."""
    cut = (uniform(len(batch), 0.5, rng) + 0.5).to(batch.inputs.device) * strength
    size = (1 - cut).expand(-1, 2)
    return Changed(_moved(batch, window(torch.zeros_like(size), size)), cut)


def noisy(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """Normal noise on every pixel, in standard deviations of its channel."""
    noise = torch.randn(batch.inputs.shape, generator=rng, device=rng.device).to(batch.inputs)
    return Changed(replace(batch, inputs=batch.inputs + strength * noise))


def _moved(batch: Batch, maps: Tensor) -> Batch:
    """Resampled by maps of places (B, 2, 3)."""
    return replace(batch, inputs=moved(batch.inputs, maps))


def _circle(angle: Tensor, strength: float) -> Tensor:
    """An angle (B, 1) as it is, or its sine and cosine (B, 2) where it may go round."""
    return angle if strength <= 90 else torch.cat([angle.sin(), angle.cos()], 1)
