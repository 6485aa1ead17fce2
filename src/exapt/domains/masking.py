"""Choosing what to hide: exact shares of every example of a packed batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from exapt.batch import offsets_of, segments

KEEP_MASK, KEEP_RANDOM = 0.8, 0.9
"""Of the hidden tokens 80 % become the mask token, 10 % a random one, 10 % stay (Devlin et al. 2019, §3.1)."""


def choose(allowed: Tensor, offsets: Tensor, ratio: float, rng: torch.Generator) -> Tensor:
    """(M,) sorted places of a random max(1, round(ratio · n)) of the n allowed elements (N,) of each example.

    Every set of that size is equally likely; an example without an allowed element gives none.
    """
    places = allowed.nonzero().squeeze(1)
    owners = segments(offsets).to(places.device)[places]
    counts = torch.bincount(owners, minlength=offsets.numel() - 1)
    shares = (counts * ratio).round().long().clamp(min=1)
    keys = torch.rand(len(places), generator=rng, device=rng.device, dtype=torch.float64).to(places.device)
    order = (owners + keys).argsort()
    rank = torch.arange(len(places), device=places.device) - offsets_of(counts)[owners]
    return places[order[rank < shares[owners]]].sort().values


def corrupt(tokens: Tensor, where: Tensor, mask: int, first: int, vocabulary: int, rng: torch.Generator) -> Tensor:
    """The tokens with those at `where` masked, replaced by a random one of [first, vocabulary), or left alone."""
    fate = torch.rand(len(where), generator=rng, device=rng.device).to(tokens.device)
    other = torch.randint(first, vocabulary, (len(where),), generator=rng, device=rng.device).to(tokens)
    old = tokens[where]
    new = torch.where(fate < KEEP_MASK, mask, torch.where(fate < KEEP_RANDOM, other, old))
    return tokens.index_put((where,), new)
