"""A network of atoms whose vectors turn with them: PaiNN (Schütt et al. 2021, arXiv 2102.03150) in plain torch.

Shapes: N atoms, E pairs of neighbours, D width, K radial functions. Every operation can be differentiated twice, so
that forces (the gradient of an energy) can be learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.backbones.long_range import LongRange
from exapt.backbones.painn import AtomEmbed, Layer, Pairs
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec


class Shape(NamedTuple):
    """Width and depth."""

    width: int
    depth: int


SIZES = {"nano": Shape(32, 3), "micro": Shape(64, 3), "tiny": Shape(128, 3), "mini": Shape(256, 4)}


class EquivariantSpec(Spec):
    """A PaiNN-like network: scalars and vectors of every atom, passed between neighbours within a cut-off."""

    kind: Literal["equivariant"] = "equivariant"
    size: Literal["nano", "micro", "tiny", "mini"] = "micro"
    """Width × depth: nano 32 × 3, micro 64 × 3, tiny 128 × 3, mini 256 × 4."""
    width: PositiveInt | None = None
    """Scalars, and vectors, of an atom; None: the size's."""
    depth: PositiveInt | None = None
    """Number of layers; None: the size's."""
    radial: PositiveInt = 20
    """Radial functions of a distance."""
    cutoff: float | None = Field(default=None, gt=0, le=20)
    """Å at which neighbours stop to matter, at most the domain's `cutoff`; None: the domain's."""
    charge: bool = False
    """Whether the total charge and the unpaired electrons of a structure are told to its atoms."""
    long_range: bool = False
    """Whether latent charges interact beyond the cut-off: by Ewald's sum in periodic cells, all with all otherwise."""
    charges: PositiveInt = 4
    """With `long_range`, latent charges of an atom."""
    blur: float = Field(default=1.0, gt=0)
    """With `long_range`, the width of a latent charge in Å."""

    @property
    def shape(self) -> Shape:
        """The size with what was given beside it."""
        size = SIZES[self.size]
        return Shape(self.width or size.width, self.depth or size.depth)

    def build(self, inputs: Inputs, seed: int | None = None) -> Equivariant:
        """Fresh weights; the same seed gives the same weights, None draws from torch's global generator."""
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.device("meta"):
            backbone = Equivariant(self, inputs)
        backbone.to_empty(device="cpu")
        initialise(backbone, rng)
        return backbone

    fresh = build
    """What pre-trained weights are compared with."""


class Equivariant(Backbone):
    """See `EquivariantSpec`. Takes atomic numbers (N,), 0 for a hidden atom, positions (N, 3) in Å and edges (2, E)."""

    vectors: ClassVar[bool] = True
    fast: bool | None = None
    """Whether sums over directions are sparse products; None: on processors that have Intel's library. Set it to False
    for `torch.func`."""

    def __init__(self, spec: EquivariantSpec, inputs: Inputs) -> None:
        super().__init__()
        if inputs.kind != "atoms":
            raise InputError(f"backbone.kind=equivariant: takes atoms, found {inputs.kind}; set domain.kind=atoms")
        self.cutoff = spec.cutoff or inputs.cutoff
        if not 0 < self.cutoff <= inputs.cutoff:
            raise InputError(
                f"backbone.cutoff: {self.cutoff} Å, but the domain finds neighbours within domain.cutoff = "
                f"{inputs.cutoff} Å only; lower the one or raise the other"
            )
        self.spec, self.inputs = spec, inputs
        width, depth = spec.shape
        self.width = width
        self.embed = AtomEmbed(inputs.vocabulary, width, spec.charge)
        self.layers = nn.ModuleList(Layer(width, spec.radial, first=i == 0) for i in range(depth))
        self.far = LongRange(width, spec.charges, spec.blur) if spec.long_range else None

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.embed, *self.layers, *([self.far] if self.far is not None else [])]

    def forward(self, batch: Batch) -> Features:
        """Scalars as `elements` (N, D) and `vectors` (N, 3, D). Autocast is left out: halves do not turn exactly."""
        with torch.autocast(batch.inputs.device.type, enabled=False):
            scalars = self.embed(batch)
            pairs = Pairs.of(batch, self.cutoff, self.spec.radial, scalars.dtype, self._fast(batch))
            vectors: Tensor | None = None
            for layer in self.layers:
                scalars, vectors = layer(scalars, vectors, pairs)
            if self.far is not None:
                scalars = self.far(scalars, batch)
        return Features(scalars, batch.offsets, None if vectors is None else vectors.transpose(0, 1))

    def _fast(self, batch: Batch) -> bool:
        here = batch.inputs.device.type == "cpu" and torch.backends.mkl.is_available()
        return here if self.fast is None else self.fast


@torch.no_grad()
def initialise(model: nn.Module, rng: torch.Generator | None) -> None:
    """Normal weights of variance 1 / fan-in, zero biases; embeddings of variance 1; the long range starts silent."""
    silent: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=rng)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, LongRange):
            silent.append(module.tell.weight)
    for weight in silent:
        nn.init.zeros_(weight)
