"""What random views of pictures are made of: the keys, and what they come to for one domain's pictures."""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PositiveFloat, model_validator

from exapt.errors import InputError
from exapt.spec import Spec

Share = Annotated[float, Field(ge=0, le=1)]

COLOURED = (3, 4)
"""Numbers of channels that are red, green, blue, and perhaps opacity."""
SMALL = 64
"""Pictures with no side beyond this are not blurred by default: there is nothing left of them (SimCLR leaves blur out
on CIFAR's 32 pixels)."""
SIGMA = (0.1, 2.0)
"""Least and most standard deviation of the blur in pixels (SimCLR)."""
USUAL = 0.5
"""SimCLR's colour strength for small pictures."""


class Jitter(Spec):
    """Strengths of the four colour changes; each picture draws its own."""

    brightness: Share = 0.0
    """All channels times 1 ± this."""
    contrast: Share = 0.0
    """Distance from the picture's mean grey times 1 ± this."""
    saturation: Share = 0.0
    """Distance from the pixel's own grey times 1 ± this."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """The colour circle turned by up to this share of a full turn, either way."""

    @property
    def coloured(self) -> bool:
        """Whether it needs pictures in colour."""
        return self.saturation > 0 or self.hue > 0

    @property
    def on(self) -> bool:
        """Whether it changes anything."""
        return self.coloured or self.brightness > 0 or self.contrast > 0


class PictureViewSpec(Spec):
    """Random views for contrastive pre-training. What changes between views is what the network learns to ignore."""

    path: Literal["fused", "kornia"] = "fused"
    """`fused`: one resampling and one map of the channels for every picture. `kornia`: step by step through kornia."""
    crop: tuple[Share, Share] | None = (0.2, 1.0)
    """Least and most share of the area that a view shows, scaled to the whole; null: no cropping."""
    ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)
    """Least and most width over height of a crop, in pixels."""
    flip: Share = 0.5
    """Probability of mirroring left to right."""
    rotation: float = Field(default=0.0, ge=0, le=180)
    """Degrees at most, either way, that a view is turned; 0: never."""
    rotated: Share = 1.0
    """Probability of turning, where `rotation` is on."""
    jitter: Annotated[float, Field(ge=0, le=1)] | Jitter | None = None
    """Colour jitter: one strength s for brightness, contrast and saturation 0.8 s and hue 0.2 s (SimCLR), or each by
    name; 0: none. null: 0.5, of pictures without colour only brightness and contrast."""
    jittered: Share = 0.8
    """Probability of colour jitter."""
    grey: Share | None = None
    """Probability of taking all colour out. null: 0.2 where colour is jittered, else 0."""
    blur: Share | None = None
    """Probability of a Gaussian blur, of 0.1 to 2 pixels. null: 0.5 for pictures beyond 64 pixels, else 0."""
    solarise: Share = 0.0
    """Probability of inverting what is brighter than half."""

    @model_validator(mode="after")
    def _ordered(self) -> PictureViewSpec:
        for name in ("crop", "ratio"):
            pair = getattr(self, name)
            if pair and not 0 < pair[0] <= pair[1]:
                raise ValueError(f"{name} is least and most, above 0 (found {list(pair)})")
        return self

    def plan(self, height: int, width: int, channels: int) -> Plan:
        """What the keys come to for pictures of one shape; raises `InputError` where they ask for what cannot be."""
        jitter = self._jitter(channels)
        grey = self.grey if self.grey is not None else 0.2 * jitter.coloured
        if channels not in COLOURED and (jitter.coloured or grey):
            key = "jitter" if jitter.coloured else "grey"
            raise InputError(
                f"domain.views.{key}: pictures of {channels} channel{'s' * (channels > 1)} have no colour to change; "
                "valid here: grey: 0, and jitter: {brightness: …, contrast: …} or 0"
            )
        blur = self.blur if self.blur is not None else 0.5 * (max(height, width) > SMALL)
        moves = self.crop is not None or self.flip > 0 or self.rotation > 0
        return Plan(height, width, moves, jitter, grey, blur, self.solarise)

    def _jitter(self, channels: int) -> Jitter:
        if isinstance(self.jitter, Jitter):
            return self.jitter
        strength = USUAL if self.jitter is None else self.jitter
        light = Jitter(brightness=0.8 * strength, contrast=0.8 * strength)
        if channels not in COLOURED and self.jitter is None:
            return light
        return light.model_copy(update={"saturation": 0.8 * strength, "hue": 0.2 * strength})


class Plan(NamedTuple):
    """What is done to pictures of one shape."""

    height: int
    width: int
    moves: bool
    """Whether any view is cropped, mirrored or turned."""
    jitter: Jitter
    grey: float
    blur: float
    solarise: float

    @property
    def colours(self) -> bool:
        """Whether anything but places changes."""
        return self.jitter.on or self.grey + self.blur + self.solarise > 0


def blur_radius(height: int, width: int) -> int:
    """Half the width of the blur's kernel in pixels: three deviations, or as far as a picture can be mirrored."""
    return min(math.ceil(3 * SIGMA[1]), height - 1, width - 1)
