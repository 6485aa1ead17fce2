"""Random views step by step through kornia: the reference for the fused ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exapt.domains.viewing import SIGMA, PictureViewSpec, Plan, blur_radius
from exapt.errors import InputError


class Chain:
    """kornia's augmentations for the keys, in the order of the fused ones."""

    def __init__(self, spec: PictureViewSpec, plan: Plan) -> None:
        try:
            import kornia.augmentation
        except ImportError:
            raise InputError(
                "domain.views.path: kornia is not installed: pip install 'exapt[vision]'; valid without it: fused"
            ) from None
        self.moves = nn.Sequential(*_moves(kornia.augmentation, spec, plan))
        self.colours = nn.Sequential(*_colours(kornia.augmentation, spec, plan))

    def __call__(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        """A view of (B, C, H, W) on the scale from 0 to 1.

        kornia draws from PyTorch's global generator: it is seeded from `rng`, and given back as it was.
        """
        seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
        with torch.random.fork_rng(devices=[pictures.device] if pictures.is_cuda else []):
            torch.manual_seed(seed)
            moved = self.moves(pictures)
            return torch.cat([self.colours(moved[:, :3]), moved[:, 3:]], 1)


def _moves(kornia: Any, spec: PictureViewSpec, plan: Plan) -> list[nn.Module]:
    steps: list[nn.Module] = []
    if spec.crop is not None:
        # align_corners=False reads between pixels as the fused path does; only `slice` then scales by pixel areas
        steps.append(kornia.RandomResizedCrop((plan.height, plan.width), spec.crop, spec.ratio, align_corners=False))
    if spec.flip:
        steps.append(kornia.RandomHorizontalFlip(p=spec.flip))
    if spec.rotation:
        steps.append(kornia.RandomAffine(spec.rotation, align_corners=False, padding_mode="border", p=spec.rotated))
    return steps


def _colours(kornia: Any, spec: PictureViewSpec, plan: Plan) -> list[nn.Module]:
    jitter = plan.jitter
    steps: list[nn.Module] = []
    if jitter.on:
        strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        steps.append(kornia.ColorJitter(*strengths, p=spec.jittered))
    if plan.grey:
        steps.append(kornia.RandomGrayscale(p=plan.grey))
    if plan.blur:
        side = 2 * blur_radius(plan.height, plan.width) + 1
        steps.append(kornia.RandomGaussianBlur((side, side), SIGMA, p=plan.blur))
    if plan.solarise:
        steps.append(kornia.RandomSolarize(thresholds=(0.5, 0.5), additions=(0.0, 0.0), p=plan.solarise))
    return steps
