"""What a batch of random views is made of: one resampling, one affine map of the channels, and two rarer changes."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from exapt.domains.colours import GREY, coloured
from exapt.domains.drawing import Drawn
from exapt.domains.scale import Scale
from exapt.domains.viewing import COLOURED, blur_radius
from exapt.domains.warping import after, turn, window


class Maps(NamedTuple):
    """What is done to the places and the channels of B standardised pictures of C channels."""

    places: Tensor
    """(B, 2, 3) where the places of each view lie in its picture."""
    pixel: Tensor
    """(B, C, C) what a pixel is multiplied by."""
    average: Tensor
    """(B, C, C) what the picture's mean is multiplied by before it is added."""
    shift: Tensor
    """(B, C, 1) what is added besides."""

    def part(self, rows: slice) -> Self:
        """The maps of some of the pictures."""
        return type(self)(*(each[rows] for each in self))


def maps_of(drawn: Drawn, like: Tensor, scale: Scale) -> Maps:
    """The maps for standardised pictures (…, C, H, W).

    With a pixel x split into its picture's mean μ and the distance from it, contrast multiplies the distance and turns
    into a linear map like the others: with D the product of what happens to the distance, and M of what happens to the
    mean, x becomes D x + (M − D) μ. The step from standardised pictures to the scale from 0 to 1 goes into D and M.
    """
    channels, height, width = like.shape[-3:]
    gain, offset = scale.gain(like), scale.offset(like)[:, None]
    of_pixel, of_mean = (part.to(like) for part in colour_maps(drawn, channels))
    places = place_maps(drawn, height, width).to(like)
    return Maps(places, of_pixel * gain, of_mean * gain, (of_pixel + of_mean) @ offset)


def colour_maps(drawn: Drawn, channels: int) -> tuple[Tensor, Tensor]:
    """(B, C, C) D and M − D: jitter and grey.

    Contrast and brightness multiply distances from the mean, brightness alone the mean; saturation and hue change
    what the two have beyond their grey, which contrast takes none of from the mean.
    """
    brightness, contrast, saturation, hue = drawn.jitter.unbind(1)
    pixel, mean = brightness * contrast, brightness * (1 - contrast)
    if channels not in COLOURED:
        own = torch.eye(channels, device=pixel.device)
        return pixel[:, None, None] * own, mean[:, None, None] * own
    of_pixel = coloured(pixel, pixel * saturation * ~drawn.grey, hue)
    return _widened(of_pixel, channels, 1.0), _widened(mean[:, None, None] * GREY.to(pixel), channels, 0.0)


def _widened(maps: Tensor, channels: int, opacity: float) -> Tensor:
    """(B, C, C) with opacity, the fourth channel where there is one, multiplied by a number of its own."""
    if channels == 3:
        return maps
    wide = maps.new_zeros(len(maps), 4, 4)
    wide[:, :3, :3], wide[:, 3, 3] = maps, opacity
    return wide


def place_maps(drawn: Drawn, height: int, width: int) -> Tensor:
    """(B, 2, 3) cropped, then mirrored, then turned: a place of the view is turned, then mirrored, then in the window.

    A window is never larger than the picture, so nothing is made smaller and reading between four neighbours cannot
    alias. Turned corners show what lies around the window, and beyond the picture its border.
    """
    whole = torch.tensor([width, height], device=drawn.size.device, dtype=drawn.size.dtype)
    size = drawn.size / whole
    mirrored = torch.stack([torch.where(drawn.flip, -size[:, 0], size[:, 0]), size[:, 1]], 1)
    crop = window((2 * drawn.corner + drawn.size) / whole - 1, mirrored)
    return after(crop, turn(drawn.angle, height / width))


def recolour(pictures: Tensor, maps: Maps) -> Tensor:
    """Standardised (B, C, H, W) with jitter and grey, on the scale from 0 to 1; clipped once, at the end."""
    count, channels = pictures.shape[:2]
    rest = (maps.average @ pictures.mean((2, 3))[:, :, None]).add_(maps.shift)
    return torch.bmm(maps.pixel, pictures.reshape(count, channels, -1)).add_(rest).clamp_(0, 1).view_as(pictures)


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Those of (B, C, H, W) whose standard deviation (B,) is above 0 pixels smoothed by a Gaussian, edges mirrored."""
    rows = sigma.nonzero()[:, 0]
    if not len(rows):
        return pictures
    some = pictures[rows]
    radius, planes = blur_radius(*some.shape[2:]), some.shape[0] * some.shape[1]
    kernel = _kernel(sigma[rows].to(pictures), radius).repeat_interleave(some.shape[1], 0)[:, None]
    flat = pad(some.reshape(1, planes, *some.shape[2:]), [radius] * 4, mode="reflect")
    across = conv2d(flat, kernel[:, :, None, :], groups=planes)
    down = conv2d(across, kernel[:, :, :, None], groups=planes)
    return pictures.index_copy(0, rows, down.reshape(some.shape))


def _kernel(sigma: Tensor, radius: int) -> Tensor:
    """(B, 2 r + 1) weights that sum to one."""
    at = torch.arange(-radius, radius + 1, device=sigma.device)
    weight = (-0.5 * (at / sigma[:, None]) ** 2).exp()
    return weight / weight.sum(1, keepdim=True)


def solarise(pictures: Tensor, chosen: Tensor) -> Tensor:
    """Those of (B, C, H, W) chosen (B,) with what is at least half bright inverted, opacity left alone."""
    bright = (pictures >= 0.5) & chosen[:, None, None, None]
    bright[:, 3:] = False
    return torch.where(bright, 1 - pictures, pictures)
