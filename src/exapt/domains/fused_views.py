"""Random views of a batch in two passes over its pixels: one resampling, one affine map of the channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from exapt.domains.colours import gained, hued, saturated
from exapt.domains.drawing import SIGMA, STEPS, Drawn
from exapt.domains.warping import after, moved, turn, window

RADIUS = math.ceil(3 * SIGMA[1])
"""Half the width of the blur's kernel in pixels."""


def warp(pictures: Tensor, drawn: Drawn) -> Tensor:
    """Cropped, then mirrored, then turned, in one resampling of (B, C, H, W).

    A window is never larger than the picture, so nothing is made smaller and reading between four neighbours cannot
    alias. Turned corners show what lies around the window, and beyond the picture its border.
    """
    if _still(drawn, pictures):
        return pictures
    return moved(pictures, place_maps(drawn, *pictures.shape[2:]))


def place_maps(drawn: Drawn, height: int, width: int) -> Tensor:
    """(B, 2, 3) where the places of each view lie in its picture: turned, then mirrored, then in the window."""
    whole = torch.tensor([width, height], device=drawn.size.device, dtype=torch.float32)
    size = drawn.size / whole
    mirrored = torch.stack([torch.where(drawn.flip, -size[:, 0], size[:, 0]), size[:, 1]], 1)
    crop = window((2 * drawn.corner + drawn.size) / whole - 1, mirrored)
    return after(crop, turn(drawn.angle, height / width))


def _still(drawn: Drawn, pictures: Tensor) -> bool:
    whole = torch.tensor(pictures.shape[:1:-1], device=drawn.size.device)
    return not (drawn.flip.any() or drawn.angle.any() or (drawn.size != whole).any())


def recolour(pictures: Tensor, drawn: Drawn) -> Tensor:
    """Jitter and grey of (B, C, H, W) on the scale from 0 to 1, opacity left alone; clipped once, at the end.

    Brightness, saturation, hue and grey are linear in the channels. Contrast scales the distance from the picture's
    mean grey: linear too, once a pixel is split into the picture's mean and its distance from that. So with D the
    product of what happens to the distance, and M of what happens to the mean μ, a pixel x becomes D x + (M − D) μ.
    """
    if not (drawn.grey.any() or (drawn.jitter != _idle(drawn.jitter)).any()):
        return pictures
    if pictures.shape[1] < 3:
        return _relit(pictures, drawn)
    of_distance, of_mean = colour_maps(drawn)
    colours = pictures[:, :3]
    mean = colours.mean((2, 3))[:, :, None]
    maps = of_distance.to(pictures)
    new = torch.einsum("bij,bjhw->bihw", maps, colours).add_(((of_mean.to(pictures) - maps) @ mean)[..., None])
    return torch.cat([new.clamp_(0, 1), pictures[:, 3:]], 1) if pictures.shape[1] > 3 else new.clamp_(0, 1)


def colour_maps(drawn: Drawn) -> tuple[Tensor, Tensor]:
    """(B, 3, 3) what happens to a pixel's distance from the picture's mean, and to the mean itself."""
    brightness, contrast, saturation, hue = drawn.jitter.unbind(1)
    shared = [gained(brightness), saturated(saturation), hued(hue)]
    distance = torch.stack([shared[0], gained(contrast), *shared[1:]], 1)
    mean = torch.stack([shared[0], saturated(contrast), *shared[1:]], 1)
    last = saturated(1 - drawn.grey.to(brightness))
    return last @ _product(distance, drawn.order), last @ _product(mean, drawn.order)


def _product(steps: Tensor, order: Tensor) -> Tensor:
    """(B, 3, 3) the product of steps (B, 4, 3, 3) taken in each picture's order (B, 4)."""
    rows = torch.arange(len(steps), device=steps.device)
    found = steps[rows, order[:, 0]]
    for place in range(1, STEPS):
        found = steps[rows, order[:, place]] @ found
    return found


def _relit(pictures: Tensor, drawn: Drawn) -> Tensor:
    """Brightness and contrast of pictures without colour; they commute."""
    brightness, contrast = (drawn.jitter[:, k, None, None, None].to(pictures) for k in (0, 1))
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return (brightness * (mean + contrast * (pictures - mean))).clamp_(0, 1)


def _idle(jitter: Tensor) -> Tensor:
    return torch.tensor([1.0, 1.0, 1.0, 0.0], device=jitter.device)


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Those of (B, C, H, W) with a standard deviation (B,) above 0 pixels smoothed by a Gaussian, mirrored edges."""
    rows = sigma.nonzero()[:, 0].to(pictures.device)
    if not len(rows):
        return pictures
    some = pictures[rows]
    count, channels = some.shape[:2]
    kernel = _kernel(sigma[sigma > 0].to(pictures)).repeat_interleave(channels, 0)[:, None]
    radius = kernel.shape[-1] // 2
    flat = pad(some.reshape(1, count * channels, *some.shape[2:]), [radius] * 4, mode="reflect")
    across = conv2d(flat, kernel[:, :, None, :], groups=count * channels)
    down = conv2d(across, kernel[:, :, :, None], groups=count * channels)
    return pictures.index_copy(0, rows, down.reshape(some.shape))


def _kernel(sigma: Tensor) -> Tensor:
    """(B, 2 r + 1) weights that sum to one."""
    at = torch.arange(-RADIUS, RADIUS + 1, device=sigma.device)
    weight = (-0.5 * (at / sigma[:, None]) ** 2).exp()
    return weight / weight.sum(1, keepdim=True)


def solarise(pictures: Tensor, chosen: Tensor) -> Tensor:
    """Those of (B, C, H, W) chosen (B,) with what is brighter than half inverted, opacity left alone."""
    if not chosen.any():
        return pictures
    colours = pictures[:, :3]
    inverted = torch.where((colours >= 0.5) & chosen.to(pictures.device)[:, None, None, None], 1 - colours, colours)
    return torch.cat([inverted, pictures[:, 3:]], 1)
