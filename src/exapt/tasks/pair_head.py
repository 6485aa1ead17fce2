"""A head over pairs of elements: low-rank products of their features, then a few convolutions over the map.

Shapes: L elements of a chain, D width, r channels of the map, P = L (L − 1) / 2 pairs.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.batch import Features
from exapt.spec import Spec
from exapt.tasks.pairs import SHORTEST, from_square

RARE = 0.03
"""The share of far pairs that touch, where training starts."""
BINS = 12
"""Runs of separations that are told apart, each √2 times as wide as the one before, from 6 on."""


class PairHeadSpec(Spec):
    """How pairs are asked: r products of the two residues' features, how far apart they stand, and what is around."""

    rank: PositiveInt = 16
    """Channels of the map."""
    depth: int = Field(default=2, ge=0, le=16)
    """Convolutions of 3 × 3 over the map, each added to what it was given; 0: every pair on its own."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the features dropped in training."""


class PairHead(nn.Module):
    """Features to one logit a pair (B, P), NaN past a chain's own pairs. The map is symmetric by construction."""

    def __init__(self, spec: PairHeadSpec, width: int, seed: int | None = None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(spec.dropout)
        self.left = nn.Linear(width, spec.rank)
        self.right = nn.Linear(width, spec.rank)
        self.apart = nn.Embedding(BINS, spec.rank)
        self.around = nn.ModuleList(nn.Conv2d(spec.rank, spec.rank, 3, padding=1) for _ in range(spec.depth))
        self.out = nn.Linear(spec.rank, 1)
        self._start(seed)

    def forward(self, features: Features) -> Tensor:
        values = self.dropout(self.norm(features.elements))
        lengths = features.offsets.diff().tolist()
        rows = [from_square(self.square(part)) for part in values.split(lengths)]
        return filled(rows, values)

    def square(self, values: Tensor) -> Tensor:
        """(L, D) to the symmetric map (L, L) of logits."""
        left, right = self.left(values), self.right(values)
        both = left[:, None] * right[None] + right[:, None] * left[None]
        grid = (both + self.apart(separation_bins(len(values), values.device))).permute(2, 0, 1)[None]
        for layer in self.around:
            grid = grid + nn.functional.gelu(layer(grid))
        logits = self.out(grid[0].permute(1, 2, 0)).squeeze(-1)
        return (logits + logits.T) / 2

    def _start(self, seed: int | None) -> None:
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        for part in (self.left, self.right):
            nn.init.normal_(part.weight, std=part.in_features**-0.5, generator=rng)
            nn.init.zeros_(part.bias)
        nn.init.normal_(self.apart.weight, std=0.5, generator=rng)
        for layer in self.around:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            nn.init.normal_(layer.weight, std=math.sqrt(1 / layer.weight[0].numel()), generator=rng)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, math.log(RARE / (1 - RARE)))


def filled(rows: list[Tensor], like: Tensor) -> Tensor:
    """(B, P) from rows of unlike lengths, NaN where one ends."""
    if not rows:
        return like.new_zeros(0, 0)
    lengths = torch.tensor([len(row) for row in rows], device=like.device)
    longest = int(lengths.max())
    out = like.new_full((len(rows), longest), float("nan"), dtype=rows[0].dtype)
    return out.masked_scatter(torch.arange(longest, device=like.device) < lengths[:, None], torch.cat(rows))


def separation_bins(length: int, device: torch.device) -> Tensor:
    """(L, L) the run of separations that each pair belongs to."""
    along = torch.arange(length, device=device)
    apart = (along[:, None] - along).abs().clamp(min=SHORTEST).float()
    return (2 * torch.log2(apart / SHORTEST)).long().clamp(max=BINS - 1)
