"""A transformer of ModernBERT's architecture (Warner et al. 2024, arXiv 2412.13663) over tokens or patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import nn

from exapt.backbones.base import Backbone
from exapt.backbones.embed import PatchEmbed, TokenEmbed
from exapt.backbones.layers import Layer, Stack
from exapt.backbones.layout import Rule
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec


class Shape(NamedTuple):
    """The numbers that fix every weight's shape."""

    width: int
    depth: int
    heads: int
    hidden: int


SIZES = {
    "nano": Shape(64, 4, 2, 96),
    "micro": Shape(128, 4, 2, 192),
    "tiny": Shape(192, 6, 3, 288),
    "mini": Shape(256, 6, 4, 384),
    "small": Shape(384, 12, 6, 576),
    "base": Shape(768, 22, 12, 1152),
}
"""Heads of 64 features and a hidden width of 1.5 times the width, as ModernBERT-base; nano's heads have 32."""


class TransformerSpec(Spec):
    """A transformer: rotary positions, GeGLU, pre-norm, no biases; bidirectional, or causal by one switch."""

    kind: Literal["transformer"] = "transformer"
    size: Literal["nano", "micro", "tiny", "mini", "small", "base"] = "micro"
    """Width × depth: nano 64 × 4, micro 128 × 4, tiny 192 × 6, mini 256 × 6, small 384 × 12, base 768 × 22."""
    width: PositiveInt | None = None
    """Features an element; None: the size's."""
    depth: PositiveInt | None = None
    """Number of layers; None: the size's."""
    heads: PositiveInt | None = None
    """Attention heads; None: the size's, or one for each 64 features of another width."""
    hidden: PositiveInt | None = None
    """Width inside the MLP; None: 1.5 times the width."""
    head_width: PositiveInt | None = None
    """Features of one head; None: width / heads. A network some of whose heads were removed keeps theirs."""
    causal: bool = False
    """Whether an element sees only itself and those before it."""
    local: int = Field(default=0, ge=0)
    """Width of the sliding window of local layers, in elements; 0: every layer sees all. As in ModernBERT an element
    sees `local // 2` places to each side; a causal one itself and the `local // 2 − 1` before it. On a picture the
    window is square."""
    global_every: PositiveInt = 3
    """With `local`, layers 0, n, 2 n … see all."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of features dropped after the embedding, after attention and inside the MLP."""
    theta_global: float = Field(default=160_000.0, gt=1)
    """Base of the rotary frequencies of layers that see all."""
    theta_local: float = Field(default=10_000.0, gt=1)
    """Base of the rotary frequencies of local layers."""
    theta_patches: float = Field(default=100.0, gt=1)
    """Base of the rotary frequencies over pictures, which have few rows and columns."""

    @property
    def shape(self) -> Shape:
        """The size with what was given beside it."""
        size = SIZES[self.size]
        width = self.width or size.width
        heads = self.heads or (size.heads if width == size.width else max(1, width // 64))
        hidden = self.hidden or (size.hidden if width == size.width else width * 3 // 2)
        return Shape(width, self.depth or size.depth, heads, hidden)

    @property
    def head(self) -> int:
        """Features of one head."""
        return self.head_width or self.shape.width // self.shape.heads

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        width, _, heads, _ = self.shape
        if self.head_width is not None and self.head_width % 4:
            raise ValueError(f"head_width {self.head_width} is not a multiple of 4; choose one that is")
        if self.head_width is None and width % (4 * heads):
            raise ValueError(
                f"width {width} is not a multiple of 4 × {heads} heads; choose width or heads so that it is"
            )
        if self.causal and self.local == 1:
            raise ValueError("a causal window of 1 sees nothing; valid: 0 (no window), or 2 and more")
        return self

    def rules(self, pictures: bool = False) -> list[Rule]:
        """How each layer looks about it."""
        wide, near = (self.theta_patches,) * 2 if pictures else (self.theta_global, self.theta_local)
        everywhere = Rule(wide, self.causal)
        window = Rule(near, self.causal, self.local // 2 - (1 if self.causal else 0))
        is_local = [bool(self.local and i % self.global_every) for i in range(self.shape.depth)]
        return [window if local else everywhere for local in is_local]

    def build(self, inputs: Inputs, seed: int | None = None) -> Transformer:
        """Fresh weights; the same seed gives the same weights, None draws from torch's global generator."""
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.device("meta"):
            backbone = Transformer(self, inputs)
        backbone.to_empty(device="cpu")
        initialise(backbone, rng)
        return backbone

    fresh = build
    """What pre-trained weights are compared with; the same as `build` for a backbone that starts from nothing."""


class Transformer(Backbone):
    """See `TransformerSpec`. Takes token ids (N,), pictures (B, C, H, W), or patches (N, F) with positions (N, 2)."""

    def __init__(self, spec: TransformerSpec, inputs: Inputs) -> None:
        super().__init__()
        self.spec, self.inputs, self.causal = spec, inputs, spec.causal
        width, _, heads, hidden = spec.shape
        self.width = width
        self.embed = _embed(inputs, width, spec.dropout)
        self.stack = Stack(width, heads, hidden, spec.rules(inputs.kind == "pictures"), spec.dropout, spec.head)

    @property
    def embedding(self) -> nn.Embedding | None:
        """The token embedding, which a head over tokens shares; None over pictures."""
        return self.embed.tokens if isinstance(self.embed, TokenEmbed) else None

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.embed, *self.stack.layers, self.stack.final_norm]

    def forward(self, batch: Batch) -> Features:
        elements, positions = self.embed(batch)
        return Features(self.stack(elements, batch.offsets, positions), batch.offsets)


def _embed(inputs: Inputs, width: int, dropout: float) -> TokenEmbed | PatchEmbed:
    if inputs.kind == "tokens":
        if inputs.vocabulary < 1:
            raise InputError(f"backbone.kind=transformer: a vocabulary of {inputs.vocabulary} tokens; valid: 1 or more")
        return TokenEmbed(inputs.vocabulary, width, dropout)
    if inputs.kind != "pictures":
        raise InputError(f"backbone.kind=transformer: takes tokens or pictures, not {inputs.kind}; choose another kind")
    return PatchEmbed(inputs.patch, inputs.channels, width, dropout)


@torch.no_grad()
def initialise(model: nn.Module, rng: torch.Generator | None) -> None:
    """Normal weights cut at two deviations; what writes to the residual stream scaled by 1/√(2·depth), as ModernBERT.

    The deviation is the width's −½ power, where ModernBERT has 0.02 for every width: at widths of 64 and 128 that
    start leaves training measurably behind (0.08 to 0.10 nats after 400 steps on characters).
    """
    depth = max(1, sum(isinstance(module, Layer) for module in model.modules()))
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, nn.Linear | nn.Embedding):
            deviation = module.weight.shape[1] ** -0.5 / (math.sqrt(2.0 * depth) if name.endswith(".Wo") else 1.0)
            nn.init.trunc_normal_(module.weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=rng)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
