"""Masked pictures: the encoder sees the visible patches only, a light decoder fills in the rest.

He et al. 2022, "Masked autoencoders are scalable vision learners" (arXiv 2111.06377). Shapes: V visible and M hidden
patches of all examples together, D the backbone's width, W the decoder's, F = patch · patch · C pixel values a patch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.backbones.layers import EPS, Stack
from exapt.backbones.layout import Rule
from exapt.batch import Batch, Features, segments
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective
from exapt.objectives.guess import Guess

THETA = 100.0
"""Base of the frequencies of positions: pictures have few rows and columns."""


class MaskedPatches(Objective):
    """Mean squared error of the hidden patches' pixels, each patch normalised by its own mean and deviation."""

    squared: ClassVar[bool] = True

    def __init__(
        self,
        domain: Domain,
        backbone: Backbone,
        *,
        ratio: float,
        width: int | None = None,
        depth: int = 2,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.domain = domain
        self.ratio = ratio
        pixels = domain.inputs.patch**2 * domain.inputs.channels
        with torch.device("meta"):
            self.decoder = Decoder(backbone.width, width or default_width(backbone.width), depth, pixels)
        self.decoder.to_empty(device="cpu")
        _start(self.decoder, None if seed is None else torch.Generator().manual_seed(seed))

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        found = self.guess(backbone, batch, rng)
        target = found.target
        errors = (found.output.float() - target).square()
        value = errors.mean() if len(target) else errors.sum()
        spread = target.square().sum().clamp(min=1e-12)
        return Loss(value, len(target), {"explained": 1 - errors.detach().sum() / spread})

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        masked = self.domain.mask(batch, self.ratio, rng)
        if masked.queries is None:
            raise InputError("objective.kind=masked over pictures needs a domain that takes the hidden patches out")
        pixels = self.decoder(backbone(masked.batch), masked.batch.positions, masked.queries)
        return Guess("values", pixels, masked.target.float(), segments(masked.queries.offsets))


class Decoder(nn.Module):
    """Narrow the features, put a learnt vector at every hidden place, look around in both, read off the pixels."""

    def __init__(self, features: int, width: int, depth: int, pixels: int) -> None:
        super().__init__()
        heads = max(1, width // 64)
        if width % (4 * heads):
            raise InputError(f"objective.decoder_width: {width} is not a multiple of {4 * heads}; choose one that is")
        self.enter = nn.Linear(features, width, bias=False)
        self.hidden = nn.Parameter(torch.empty(width))
        self.norm = nn.LayerNorm(width, EPS, bias=False)
        self.stack = Stack(width, heads, width * 3 // 2, [Rule(THETA)] * depth)
        self.out = nn.Linear(width, pixels)

    def forward(self, seen: Features, places: Tensor | None, queries: Batch) -> Tensor:
        """Features of the visible patches and their places (V, 2), and the hidden ones to their pixels (M, F)."""
        assert places is not None and queries.positions is not None
        values = self.enter(seen.elements)
        visible, hidden = (part.to(values.device) for part in beside(seen.offsets, queries.offsets))
        count = len(visible) + len(hidden)
        elements = self.hidden.to(values.dtype).repeat(count, 1).index_copy(0, visible, values)
        positions = places.new_zeros(count, 2).index_copy(0, visible, places)
        positions = positions.index_copy(0, hidden, queries.positions)
        elements = self.norm(elements) + waves(positions, len(self.hidden)).to(values.dtype)
        decoded = self.stack(elements, seen.offsets + queries.offsets, positions)
        return self.out(decoded.index_select(0, hidden))


def beside(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Where two packings with offsets (B + 1,) go when each example's first run is followed by its second."""
    owner, other = segments(first), segments(second)
    one = torch.arange(len(owner), device=first.device) + second[owner]
    two = torch.arange(len(other), device=first.device) + first[other + 1]
    return one, two


def waves(positions: Tensor, width: int) -> Tensor:
    """(n, width) fixed sines and cosines of rows and columns (n, 2).

    Rotary positions alone are relative: with them all hidden places start out alike and are slow to come apart.
    """
    steps = torch.arange(width // 4, device=positions.device, dtype=torch.float32)
    along = torch.arange(int(positions.max()) + 1 if len(positions) else 0, device=positions.device)
    angles = along[:, None].float() * THETA ** (-4 * steps / width)
    table = torch.cat([angles.sin(), angles.cos()], -1)  # of each row or column once, for many patches share it
    return table[positions].flatten(1)


@torch.no_grad()
def _start(decoder: nn.Module, rng: torch.Generator | None) -> None:
    """Weights of variance 1 / fan-in, those that write to the residual stream less by the number of writers."""
    writers = sum(name.endswith(".Wo") for name, _ in decoder.named_modules())
    for name, part in decoder.named_modules():
        if isinstance(part, nn.Linear):
            deviation = part.in_features**-0.5 / (max(writers, 1) ** 0.5 if name.endswith(".Wo") else 1)
            nn.init.normal_(part.weight, std=deviation, generator=rng)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
    nn.init.normal_(decoder.get_parameter("hidden"), std=0.02, generator=rng)
    nn.init.zeros_(decoder.get_parameter("out.bias"))


def default_width(features: int) -> int:
    """Half the backbone's width, rounded up to what its heads can share."""
    half = -(-features // 2)
    step = 4 * max(1, half // 64)
    return -(-half // step) * step
