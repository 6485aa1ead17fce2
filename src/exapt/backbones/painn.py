"""PaiNN's parts (Schütt et al. 2021, arXiv 2102.03150, Fig. 2): what neighbours tell, and what an atom makes of it.

Shapes: N atoms, E pairs, D width, K radial functions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.radial import bessel
from exapt.batch import Batch
from exapt.errors import InputError

EPS = 1e-4
"""Added to a squared length before its root: its derivatives stay finite at 0."""
SHARE = 0.2
"""What a message counts: with some tens of neighbours, sums then stay of the size of what they are added to."""
NEAREST = 1e-3
"""Å that two atoms count as apart at least."""


class Pairs(NamedTuple):
    """What a batch's edges are to every layer."""

    origin: Tensor
    """(E,) the atom a message comes from."""
    to: Tensor
    """(E,) the atom it goes to."""
    direction: Tensor
    """(E, 3, 1) unit vectors from `to` to `origin`."""
    basis: Tensor
    """(E, K) radial functions, zero from the cut-off on."""

    @classmethod
    def of(cls, batch: Batch, cutoff: float, radial: int, dtype: torch.dtype) -> Pairs:
        """Directions and distances from positions, shifts and edges; raises `InputError` where there are none."""
        if batch.edges is None or batch.positions is None:
            raise InputError("backbone.kind=equivariant: the batch has no positions or edges; set domain.kind=atoms")
        origin, to = batch.edges
        vectors = batch.positions.index_select(0, origin) - batch.positions.index_select(0, to)
        if batch.edge_inputs is not None:
            vectors = vectors + batch.edge_inputs
        vectors = vectors.to(dtype)
        distances = (vectors.square().sum(1) + NEAREST**2).sqrt()
        basis = SHARE * bessel(distances, cutoff, radial)
        return cls(origin, to, (vectors / distances[:, None])[:, :, None], basis)


class AtomEmbed(nn.Module):
    """A vector for every element, and optionally for charge and unpaired electrons."""

    def __init__(self, vocabulary: int, width: int, charge: bool) -> None:
        super().__init__()
        self.elements = nn.Embedding(vocabulary, width)
        self.whole = nn.Linear(2, width, bias=False) if charge else None

    def forward(self, batch: Batch) -> Tensor:
        scalars = self.elements(batch.inputs)
        if self.whole is None:
            return scalars
        if batch.whole is None:
            raise InputError("backbone.charge: the batch does not say the charges of its structures")
        told = self.whole(batch.whole.to(scalars))
        return scalars + told[batch.segments.to(scalars.device)]


class Layer(nn.Module):
    """A message and an update. The first layer's atoms have no vectors yet, so none are passed on."""

    def __init__(self, width: int, radial: int, first: bool) -> None:
        super().__init__()
        self.parts = 2 if first else 3
        self.inner = nn.Linear(width, width)
        self.message = nn.Linear(width, self.parts * width)
        self.filter = nn.Linear(radial, self.parts * width, bias=False)
        self.mix = nn.Linear(width, 2 * width, bias=False)
        self.gate = nn.Linear(2 * width, width)
        self.update = nn.Linear(width, 3 * width)

    def forward(self, scalars: Tensor, vectors: Tensor | None, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """(N, D) scalars and (N, 3, D) vectors to the next."""
        scalars, vectors = self._hear(scalars, vectors, pairs)
        return self._settle(scalars, vectors)

    def _hear(self, scalars: Tensor, vectors: Tensor | None, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Messages from neighbours, summed (Eq. 7 and 8)."""
        said = self.message(F.silu(self.inner(scalars)))
        heard = said.index_select(0, pairs.origin) * self.filter(pairs.basis)
        told, *along = heard.chunk(self.parts, 1)
        pointing = pairs.direction * along[0][:, None]
        if vectors is not None:
            pointing = pointing + vectors.index_select(0, pairs.origin) * along[1][:, None]
        summed = scalars.new_zeros(len(scalars), *pointing.shape[1:]).index_add(0, pairs.to, pointing)
        return scalars.index_add(0, pairs.to, told), summed if vectors is None else vectors + summed

    def _settle(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars and vectors of one atom tell each other (Eq. 9 and 10)."""
        left, right = self.mix(vectors).chunk(2, -1)
        length = (right.square().sum(1) + EPS).sqrt()
        gates = self.update(F.silu(self.gate(torch.cat([scalars, length], 1))))
        along, across, plain = gates.chunk(3, 1)
        inner = (left * right).sum(1)
        return scalars + plain + across * inner, vectors + along[:, None] * left
