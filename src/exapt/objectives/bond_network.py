"""A small network of a molecule's bonds, without its places: GIN with kinds of bonds.

Xu et al. 2019 (arXiv 1810.00826), with bonds as Hu et al. 2020 (arXiv 1905.12265) add them. Shapes: N atoms, E bonds,
B structures, K the most bonds of one atom, W width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.batch import segment_sum


class BondNetwork(nn.Module):
    """Atomic numbers and bonds -> (B, W), a sum over atoms."""

    def __init__(self, width: int, depth: int, numbers: int, kinds: int, rng: torch.Generator | None) -> None:
        super().__init__()
        self.atoms = nn.Embedding(numbers, width)
        self.layers = nn.ModuleList(BondLayer(width, kinds) for _ in range(depth))
        for part in self.modules():
            if isinstance(part, nn.Embedding):
                nn.init.normal_(part.weight, generator=rng)
            elif isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=(2 / part.in_features) ** 0.5, generator=rng)
                nn.init.zeros_(part.bias)

    def forward(self, numbers: Tensor, table: Tensor, offsets: Tensor) -> Tensor:
        """From atomic numbers (N,), neighbours and kinds of bonds (N, 2 K) as `bond_table` gives them, and offsets."""
        edges, kinds = joined(table, offsets)
        atoms = self.atoms(numbers)
        for layer in self.layers:
            atoms = layer(atoms, edges, kinds)
        return segment_sum(atoms, offsets)


class BondLayer(nn.Module):
    """h + MLP(norm(h + Σ over bonds of ReLU(neighbour + kind))): a sum tells how many neighbours there are."""

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        self.kinds = nn.Embedding(kinds, width)
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, atoms: Tensor, edges: Tensor, kinds: Tensor) -> Tensor:
        """(N, W) from (N, W), edges (2, E) from and to, and kinds (E,)."""
        told = F.relu(atoms[edges[0]] + self.kinds(kinds))
        around = atoms.index_add(0, edges[1], told)
        return atoms + self.outer(F.relu(self.inner(self.norm(around))))


def joined(table: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Edges (2, E) and kinds (E,) of a batch from the tables of its structures (N, 2 K)."""
    places, kinds = table.chunk(2, 1)
    to, slot = (places >= 0).nonzero(as_tuple=True)
    first = offsets[:-1].repeat_interleave(offsets.diff()).to(table.device)
    return torch.stack([places[to, slot] + first[to], to]), kinds[to, slot]
