"""PaiNN's parts (Schütt et al. 2021, arXiv 2102.03150, Fig. 2): what neighbours tell, and what an atom makes of it.

Shapes: N atoms, E pairs, D width, K radial functions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.carry import Carry, Gate, plain_carry, plain_gate
from exapt.backbones.radial import bessel
from exapt.backbones.spread import Links, Spread, plain_spread
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
    links: Links
    """The atoms they go to, in ascending order."""
    harmonics: Tensor
    """(E, 4) ones, and unit vectors from where a message goes to where it comes from."""
    basis: Tensor
    """(E, K) radial functions, zero from the cut-off on."""
    fast: bool
    """Whether sums over directions are sparse products."""

    @classmethod
    def of(cls, batch: Batch, cutoff: float, radial: int, dtype: torch.dtype, fast: bool) -> Pairs:
        """Directions and distances from positions, shifts and edges; raises `InputError` where there are none."""
        if batch.edges is None or batch.positions is None:
            raise InputError("backbone.kind=equivariant: the batch has no positions or edges; set domain.kind=atoms")
        (origin, to), shifts = in_order(batch.edges, batch.edge_inputs)
        vectors = batch.positions.index_select(0, origin) - batch.positions.index_select(0, to)
        if shifts is not None:
            vectors = vectors + shifts
        vectors = vectors.to(dtype)
        distances = (vectors.square().sum(1) + NEAREST**2).sqrt()
        basis = SHARE * bessel(distances, cutoff, radial)
        harmonics = torch.cat([torch.ones_like(distances[:, None]), vectors / distances[:, None]], 1)
        return cls(origin, Links(to, len(batch.inputs), 4), harmonics, basis, fast)

    def spread(self, values: Tensor, filters: Tensor) -> Tensor:
        """(4, N, D) values (N, D) of neighbours times filters (E, D), as they are and along the pairs, summed."""
        gate, spread = (Gate.apply, Spread.apply) if self.fast else (plain_gate, plain_spread)
        return spread(self.harmonics, gate(values, filters, self.origin), self.links)

    def carried(self, values: Tensor, filters: Tensor) -> Tensor:
        """(3, N, D) values (3, N, D) of neighbours times filters (E, D), summed."""
        carry = Carry.apply if self.fast else plain_carry
        return carry(values, filters, self.origin, self.links.to)


def in_order(edges: Tensor, shifts: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Edges (2, E) and shifts (E, 3) sorted by where they go to, as the atoms' domain gives them."""
    if bool((edges[1].diff() >= 0).all()):
        return edges, shifts
    order = edges[1].argsort(stable=True)
    return edges[:, order], None if shifts is None else shifts[order]


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
    """A message and an update. The first layer's atoms have no vectors yet, so none are passed on.

    As PaiNN, but one message serves scalars and vectors, which are told apart by a matrix after the sum: per atom,
    where the paper's are per pair.
    """

    def __init__(self, width: int, radial: int, first: bool) -> None:
        super().__init__()
        self.parts = 1 if first else 2
        self.inner = nn.Linear(width, width)
        self.message = nn.Linear(width, self.parts * width)
        self.filter = nn.Linear(radial, self.parts * width, bias=False)
        self.heard = nn.Linear(width, width, bias=False)
        self.pointed = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(width, 2 * width, bias=False)
        self.gate = nn.Linear(2 * width, width)
        self.update = nn.Linear(width, 3 * width)

    def forward(self, scalars: Tensor, vectors: Tensor | None, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """(N, D) scalars and (3, N, D) vectors to the next."""
        return self._settle(*self._hear(scalars, vectors, pairs))

    def _hear(self, scalars: Tensor, vectors: Tensor | None, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Messages from neighbours, summed (Eq. 7 and 8)."""
        said, *gates = self.message(F.silu(self.inner(scalars))).chunk(self.parts, 1)
        filters, *carry = (F.linear(pairs.basis, weight) for weight in self.filter.weight.chunk(self.parts))
        summed = pairs.spread(said, filters)
        scalars = scalars + self.heard(summed[0])
        pointing = self.pointed(summed[1:])
        if vectors is None:
            return scalars, pointing
        return scalars, vectors + pointing + pairs.carried(gates[0] * vectors, carry[0])

    def _settle(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars and vectors of one atom tell each other (Eq. 9 and 10)."""
        left, right = self.mix(vectors).chunk(2, -1)
        length = (right.square().sum(0) + EPS).sqrt()
        along, across, plain = self.update(F.silu(self.gate(torch.cat([scalars, length], 1)))).chunk(3, 1)
        return scalars + plain + across * (left * right).sum(0), vectors + along * left
