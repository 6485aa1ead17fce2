"""Random views step by step through kornia: the reference for the fused ones, and the door to its other changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from exapt.domains.drawing import SIGMA
from exapt.domains.fused_views import RADIUS
from exapt.domains.viewing import PictureViewSpec, Plan
from exapt.errors import InputError


def chain(spec: PictureViewSpec, plan: Plan) -> Any:
    """kornia's augmentations for the keys, in the order of the fused ones; pictures on the scale from 0 to 1."""
    try:
        import kornia.augmentation as k
    except ImportError:
        raise InputError(
            "domain.views.path 'kornia' needs `pip install 'exapt[vision]'`; valid without: fused"
        ) from None
    steps: list[Any] = []
    if spec.crop is not None:
        size = (plan.height, plan.width)
        steps.append(k.RandomResizedCrop(size, spec.crop, spec.ratio, align_corners=False, cropping_mode="resample"))
    if spec.flip:
        steps.append(k.RandomHorizontalFlip(p=spec.flip))
    if spec.rotation:
        turn = k.RandomAffine(spec.rotation, align_corners=False, padding_mode="border", p=spec.rotated)
        steps.append(turn)
    steps += _colours(k, spec, plan)
    if plan.blur:
        steps.append(k.RandomGaussianBlur((2 * RADIUS + 1,) * 2, SIGMA, p=plan.blur))
    if spec.solarise:
        steps.append(k.RandomSolarize(thresholds=(0.5, 0.5), additions=(0.0, 0.0), p=spec.solarise))
    return k.AugmentationSequential(*steps, same_on_batch=False) if steps else torch.nn.Identity()


def _colours(k: Any, spec: PictureViewSpec, plan: Plan) -> list[Any]:
    jitter, steps = plan.jitter, []
    if jitter.brightness or jitter.contrast or jitter.coloured:
        strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        steps.append(k.ColorJitter(*strengths, p=spec.jittered))
    if plan.grey:
        steps.append(k.RandomGrayscale(p=plan.grey))
    return steps


def through(steps: Any, pictures: Tensor, rng: torch.Generator) -> Tensor:
    """(B, C, H, W) through kornia's augmentations, which draw from PyTorch's global generator: it is seeded from `rng`
    and given back as it was."""
    seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
    devices = [pictures.device] if pictures.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        changed: Tensor = steps(pictures)
    return changed
