"""What is drawn for each picture of a batch of views; every draw comes from one generator."""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from exapt.domains.viewing import SIGMA, PictureViewSpec, Plan
from exapt.domains.views import uniform

TRIES = 10
"""Windows drawn before the largest fitting one is taken, as torchvision does."""


class Drawn(NamedTuple):
    """Parameters of B views, on the device of their generator."""

    corner: Tensor
    """(B, 2) left and top of the window in pixels."""
    size: Tensor
    """(B, 2) width and height of the window in pixels."""
    flip: Tensor
    """(B,) whether it is mirrored left to right."""
    angle: Tensor
    """(B,) radians it is turned by."""
    jitter: Tensor
    """(B, 4) factors of brightness, contrast and saturation, and radians of hue; (1, 1, 1, 0) changes nothing."""
    grey: Tensor
    """(B,) whether colour is taken out."""
    sigma: Tensor
    """(B,) pixels of blur; 0: none."""
    solarise: Tensor
    """(B,) whether what is bright is inverted."""

    def part(self, rows: slice) -> Self:
        """The parameters of some of the views."""
        return type(self)(*(each[rows] for each in self))

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(*(each.to(device, non_blocking=True) for each in self))


def draw(spec: PictureViewSpec, plan: Plan, count: int, rng: torch.Generator) -> Drawn:
    """Parameters of `count` views."""
    corner, size = _windows(spec, plan, count, rng)
    angle = uniform(count, math.radians(spec.rotation), rng)[:, 0] * _happens(spec.rotated, count, rng)
    reach = torch.tensor(
        [plan.jitter.brightness, plan.jitter.contrast, plan.jitter.saturation, 2 * math.pi * plan.jitter.hue],
        device=rng.device,
    )
    change = uniform(count, 1.0, rng, 4) * reach * _happens(spec.jittered, count, rng)[:, None]
    return Drawn(
        corner=corner,
        size=size,
        flip=_happens(spec.flip, count, rng),
        angle=angle,
        jitter=change + torch.tensor([1.0, 1.0, 1.0, 0.0], device=rng.device),
        grey=_happens(plan.grey, count, rng),
        sigma=(SIGMA[0] + (SIGMA[1] - SIGMA[0]) * _random(count, 1, rng)[:, 0]) * _happens(plan.blur, count, rng),
        solarise=_happens(spec.solarise, count, rng),
    )


def _windows(spec: PictureViewSpec, plan: Plan, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Corners and sizes of windows of whole pixels: of ten drawn for each picture, the first that fits into it."""
    whole = torch.tensor([plan.width, plan.height], dtype=torch.float32, device=rng.device)
    if spec.crop is None:
        return torch.zeros(count, 2, device=rng.device), whole.expand(count, 2)
    area = (spec.crop[0] + (spec.crop[1] - spec.crop[0]) * _random(count, TRIES, rng)) * whole.prod()
    low, high = (math.log(end) for end in spec.ratio)
    ratio = (low + (high - low) * _random(count, TRIES, rng)).exp()
    tried = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 2).round()
    fits = ((tried >= 1) & (tried <= whole)).all(2)
    first = fits.int().argmax(1)
    size = torch.where(
        fits.any(1)[:, None], tried[torch.arange(count, device=rng.device), first], _largest(spec, whole)
    )
    corner = (_random(count, 2, rng) * (whole - size + 1)).floor()
    return torch.minimum(corner, whole - size), size


def _largest(spec: PictureViewSpec, whole: Tensor) -> Tensor:
    """(2,) the largest window of an allowed ratio."""
    width, height = whole.tolist()
    width, height = min(width, round(height * spec.ratio[1])), min(height, round(width / spec.ratio[0]))
    return torch.tensor([max(1.0, width), max(1.0, height)], device=whole.device)


def _happens(probability: float, count: int, rng: torch.Generator) -> Tensor:
    return _random(count, 1, rng)[:, 0] < probability


def _random(count: int, columns: int, rng: torch.Generator) -> Tensor:
    return torch.rand(count, columns, generator=rng, device=rng.device)
