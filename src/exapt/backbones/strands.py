"""Both strands of DNA through one network: reverse-complement equivariance by shared parameters.

A network reads every example and its reverse complement with the same weights, and the second reading is turned round
again, so that an element's two vectors belong to one place. This is what Caduceus-PS computes (Schiff et al. 2024,
arXiv 2403.03234; after Zhou et al. 2022, PMLR 165:1-33): weights shared between strands that never mix inside. With
`join: evaluation` it is the conjoined network of Zhou et al. 2020 instead. Shapes: N elements, B examples, D the inner
width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from exapt.backbones.base import Backbone, not_taken
from exapt.backbones.dilated import Dilated, DilatedSpec
from exapt.backbones.transformer import Transformer, TransformerSpec
from exapt.batch import Batch, Features, offsets_of
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec


class StrandsSpec(Spec):
    """A network over tokens that reads both strands of DNA with the same weights; twice the work, no weight more."""

    causal: ClassVar[bool] = False

    kind: Literal["strands"] = "strands"
    of: Annotated[TransformerSpec | DilatedSpec, Field(discriminator="kind")] = TransformerSpec()
    """The network."""
    join: Literal["mean", "channels", "evaluation"] = "mean"
    """`mean`: an element's features are the mean of both readings, so that pooled features are the same for both
    strands. `channels`: they stand side by side, twice as wide; the other strand gives the same with the halves
    exchanged, and nothing of where an example was read is lost. `evaluation`: training reads the one strand it is
    given (`domain.reverse_complement` draws it), and only evaluation takes the mean. A masked head always predicts
    from both readings, but for `evaluation` in training."""

    @model_validator(mode="after")
    def _both_ways(self) -> Self:
        if self.of.causal:
            raise ValueError("of.causal: the other strand shows what comes next; leave it false")
        return self

    def build(self, inputs: Inputs, seed: int | None = None) -> Strands:
        """Fresh weights; the same seed gives the same weights, None draws from torch's global generator.

        Raises `InputError` where tokens have no reverse complement.
        """
        if inputs.kind != "tokens":
            raise not_taken("strands", "tokens", inputs.kind)
        if not inputs.complement:
            raise InputError(
                "backbone.kind=strands: these tokens have no reverse complement (byte-pair tokens are cut from one "
                "strand and mean nothing on the other); valid: domain.kind=dna with domain.tokens base or kmer"
            )
        return Strands(self, inputs, self.of.build(inputs, seed))

    fresh = build
    """What pre-trained weights are compared with; the same as `build` for a backbone that starts from nothing."""


class Strands(Backbone):
    """See `StrandsSpec`."""

    complement: Tensor
    """(V,) the id on the other strand of every id."""

    def __init__(self, spec: StrandsSpec, inputs: Inputs, inner: Transformer | Dilated) -> None:
        super().__init__()
        self.spec, self.inputs, self.causal = spec, inputs, False
        self.inner = inner
        self.width = inner.width * (2 if spec.join == "channels" else 1)
        self.register_buffer("complement", torch.tensor(inputs.complement), persistent=False)

    @property
    def embedding(self) -> nn.Embedding | None:
        """The token embedding, which a head over tokens shares."""
        return self.inner.embedding

    @property
    def token_width(self) -> int:
        return self.inner.width

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return self.inner.blocks

    def forward(self, batch: Batch) -> Features:
        if self._one_strand:
            return self.inner(batch)
        both = self.pairs(batch)
        elements = both.flatten(1) if self.spec.join == "channels" else both.mean(1)
        return Features(elements, batch.offsets)

    def for_tokens(self, batch: Batch) -> Tensor:
        return self.inner(batch).elements if self._one_strand else self.pairs(batch).flatten(1)

    def pairs(self, batch: Batch) -> Tensor:
        """(N, 2, D) every element as read on the strand given, and on the other."""
        twice, mirrored = both_strands(batch, self.complement)
        elements = self.inner(twice).elements
        first, second = elements.chunk(2)
        return torch.stack([first, second[mirrored]], 1)

    @property
    def _one_strand(self) -> bool:
        return self.training and self.spec.join == "evaluation"


def both_strands(batch: Batch, complement: Tensor) -> tuple[Batch, Tensor]:
    """The examples and after them their other strands, and (N,) where each element stands among the latter."""
    ids, offsets = batch.inputs, batch.offsets.to(batch.inputs.device)
    lengths = offsets.diff()
    place = torch.arange(len(ids), device=ids.device)
    mirrored = (offsets[:-1] + offsets[1:] - 1).repeat_interleave(lengths) - place
    positions = batch.positions
    if positions is not None:
        positions = torch.cat([positions, -positions[mirrored]])
    inputs = torch.cat([ids, complement[ids][mirrored]])
    twice = offsets_of(batch.offsets.diff().repeat(2))
    return replace(batch, inputs=inputs, offsets=twice, positions=positions, targets={}, element_targets={}), mirrored
