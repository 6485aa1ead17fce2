"""Gated dilated convolutions over tokens: what is seen doubles with every layer, and the work grows with the length.

Residual layers of a dilated convolution and a gated linear unit (van den Oord et al. 2016, arXiv 1609.03499; Dauphin et
al. 2017, arXiv 1612.08083), normalised first, as gated convolutions still serve DNA well (ConvNova, Bo et al. 2025).
Shapes: N elements, B examples, L the longest of them, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone, not_taken
from exapt.backbones.embed import TokenEmbed
from exapt.backbones.layers import EPS
from exapt.backbones.layout import lay_out
from exapt.backbones.precision import autocast_dtype
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec


class DilatedShape(NamedTuple):
    """The numbers that fix every weight's shape."""

    width: int
    depth: int


DILATED_SIZES = {
    "nano": DilatedShape(64, 6),
    "micro": DilatedShape(128, 6),
    "tiny": DilatedShape(192, 8),
    "mini": DilatedShape(256, 8),
    "small": DilatedShape(384, 12),
}


class DilatedSpec(Spec):
    """Gated dilated convolutions over tokens, bidirectional or causal: linear in the length, without positions."""

    kind: Literal["dilated"] = "dilated"
    size: Literal["nano", "micro", "tiny", "mini", "small"] = "micro"
    """Width × depth: nano 64 × 6, micro 128 × 6, tiny 192 × 8, mini 256 × 8, small 384 × 12."""
    width: PositiveInt | None = None
    """Features an element; None: the size's."""
    depth: PositiveInt | None = None
    """Number of layers; None: the size's."""
    kernel: int = Field(default=9, ge=1)
    """Elements that a convolution looks at, an odd number."""
    cycle: int = Field(default=6, ge=1, le=20)
    """The dilations are 1, 2, 4 … over so many layers, then from 1 again. The default sees 252 places to each side."""
    causal: bool = False
    """Whether an element sees only itself and those before it."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of features dropped after the embedding and inside each layer."""

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no middle; choose an odd number")
        return self

    @property
    def shape(self) -> DilatedShape:
        """The size with what was given beside it."""
        size = DILATED_SIZES[self.size]
        return DilatedShape(self.width or size.width, self.depth or size.depth)

    @property
    def dilations(self) -> list[int]:
        """The dilation of each layer."""
        return [2 ** (number % self.cycle) for number in range(self.shape.depth)]

    @property
    def reach(self) -> int:
        """How many places away an element sees; a causal one sees twice as far, to its left alone."""
        return self.kernel // 2 * sum(self.dilations)

    def build(self, inputs: Inputs, seed: int | None = None) -> Dilated:
        """Fresh weights; the same seed gives the same weights, None draws from torch's global generator.

        Raises `InputError` for elements that are no tokens.
        """
        if inputs.kind != "tokens":
            raise not_taken("dilated", "tokens", inputs.kind)
        if inputs.vocabulary < 1:
            raise InputError(f"backbone.kind=dilated: a vocabulary of {inputs.vocabulary} tokens; valid: 1 or more")
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.device("meta"):
            backbone = Dilated(self, inputs)
        backbone.to_empty(device="cpu")
        initialise(backbone, rng)
        return backbone

    fresh = build
    """What pre-trained weights are compared with; the same as `build` for a backbone that starts from nothing."""


class Dilated(Backbone):
    """See `DilatedSpec`. Takes token ids (N,)."""

    def __init__(self, spec: DilatedSpec, inputs: Inputs) -> None:
        super().__init__()
        self.spec, self.inputs, self.causal = spec, inputs, spec.causal
        self.width = spec.shape.width
        self.embed = TokenEmbed(inputs.vocabulary, self.width, spec.dropout)
        self.layers = nn.ModuleList(
            GatedConvolution(self.width, spec.kernel, dilation, spec.causal, spec.dropout)
            for dilation in spec.dilations
        )
        self.final_norm = nn.LayerNorm(self.width, EPS, bias=False)

    @property
    def embedding(self) -> nn.Embedding:
        """The token embedding, which a head over tokens shares."""
        return self.embed.tokens

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.embed, *self.layers, self.final_norm]

    def forward(self, batch: Batch) -> Features:
        """Padded inside the layers, where places past an example's end always count as zeros."""
        elements, _ = self.embed(batch)
        elements = elements.to(autocast_dtype(elements))
        if not len(elements):
            return Features(self.final_norm(elements), batch.offsets)
        layout = lay_out(batch.offsets, elements.device, "plain")
        real = None if layout.slots is None else layout.pad_with_zeros(elements.new_ones(len(elements), 1))
        values = layout.pad_with_zeros(elements)
        for layer in self.layers:
            values = layer(values, real)
        return Features(self.final_norm(layout.unpad(values)), batch.offsets)


class GatedConvolution(nn.Module):
    """(B, L, D) to the same: norm, dilated convolution to twice the width, one half gates the other, linear, beside.

    The convolution is two-dimensional over pictures one pixel high, whose channels lie beside each other in memory as
    the elements' do: the fastest form on a processor, 1.1 to 1.6 times that of one dimension.
    """

    def __init__(self, width: int, kernel: int, dilation: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, EPS, bias=False)
        self.before = (kernel - 1) * dilation if causal else 0
        beside = 0 if causal else kernel // 2 * dilation
        self.conv = nn.Conv2d(width, 2 * width, (1, kernel), padding=(0, beside), dilation=(1, dilation), bias=False)
        self.drop = nn.Dropout(dropout)
        self.Wo = nn.Linear(width, width, bias=False)

    def forward(self, values: Tensor, real: Tensor | None) -> Tensor:
        """`real` (B, L, 1) is 0 past an example's end; None where all examples are equally long."""
        ready = self.norm(values)
        ready = ready if real is None else ready * real
        if self.before:
            ready = F.pad(ready, (0, 0, self.before, 0))
        found = self.conv(ready.transpose(1, 2)[:, :, None])[:, :, 0].transpose(1, 2)
        return values + self.Wo(self.drop(F.glu(found, -1)))


@torch.no_grad()
def initialise(model: nn.Module, rng: torch.Generator | None) -> None:
    """Normal weights of variance 1 / fan-in, cut at two deviations; what writes to the residual stream by 1/√depth."""
    depth = max(1, sum(isinstance(module, GatedConvolution) for module in model.modules()))
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
            spread: float = module.weight[0].numel() ** -0.5 / (depth**0.5 if name.endswith(".Wo") else 1.0)
            nn.init.trunc_normal_(module.weight, 0.0, spread, -2 * spread, 2 * spread, generator=rng)
