"""Changes of structures: turned, mirrored, shaken, in another conformer.

Turns are uniform over all rotations of the strength asked for; noise moves atoms, so neighbours are found anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from exapt.batch import Batch
from exapt.domains.atom_batch import CONFORMERS, turned, with_neighbours
from exapt.domains.views import Changed, Transformation


@dataclass(frozen=True)
class AtomViews:
    """The changes of structures whose neighbours lie within a cut-off."""

    cutoff: float

    def all(self) -> list[Transformation]:
        """Every change."""
        return [
            Transformation("rotation", rotated, (15.0, 45.0, 180.0), "degrees at most"),
            Transformation("reflection", reflected, (0.5, 1.0), "share mirrored", either=0.5),
            Transformation("noise", self.shaken, (0.02, 0.1, 0.3), "Å, standard deviation"),
        ]

    def shaken(self, batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        """Every coordinate moved by normal noise of `strength` Å."""
        assert batch.positions is not None
        noise = torch.randn(batch.positions.shape, generator=rng, device=rng.device).to(batch.positions)
        return Changed(with_neighbours(replace(batch, positions=batch.positions + strength * noise), self.cutoff))

    def another_conformer(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Every structure in a random one of its conformers, where the batch carries several."""
        found = batch.element_targets.get(CONFORMERS)
        if found is None or batch.positions is None:
            return batch
        places = found.unflatten(1, (-1, 3))
        there = places[batch.offsets[:-1].to(found.device)].isfinite().all(-1)
        draws = torch.rand(there.shape, generator=rng, device=rng.device).to(found.device)
        chosen = draws.masked_fill(~there, -1.0).argmax(1)[batch.segments.to(found.device)]
        moved = places[torch.arange(len(places), device=found.device), chosen]
        return with_neighbours(replace(batch, positions=moved.to(batch.positions)), self.cutoff)


def rotated(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """Every structure turned about a random axis by up to `strength` degrees."""
    count = len(batch)
    axis = torch.randn(count, 3, generator=rng, device=rng.device, dtype=torch.float64)
    angle = torch.rand(count, generator=rng, device=rng.device, dtype=torch.float64) * math.radians(strength)
    turns = about(axis / axis.norm(dim=1, keepdim=True).clamp(min=1e-12), angle)
    return Changed(turned(batch, turns), torch.rad2deg(angle)[:, None].float())


def reflected(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
    """A share of the structures mirrored in the plane x = 0."""
    draws = torch.rand(len(batch), generator=rng, device=rng.device) < strength
    signs = torch.ones(len(batch), 3, dtype=torch.float64, device=draws.device)
    signs[:, 0] = torch.where(draws, -1.0, 1.0)
    return Changed(turned(batch, torch.diag_embed(signs)), draws[:, None].float())


def random_turns(count: int, rng: torch.Generator) -> Tensor:
    """(count, 3, 3) rotations, uniform over all: a random quaternion each (Shoemake 1992)."""
    q = torch.randn(count, 4, generator=rng, device=rng.device, dtype=torch.float64)
    q = q / q.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return about(q[:, 1:] / q[:, 1:].norm(dim=1, keepdim=True).clamp(min=1e-12), 2 * torch.acos(q[:, 0].clamp(-1, 1)))


def about(axis: Tensor, angle: Tensor) -> Tensor:
    """(count, 3, 3) rotations about unit axes (count, 3) by angles (count,) (Rodrigues' formula)."""
    zero = torch.zeros_like(angle)
    x, y, z = axis.unbind(1)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).unflatten(1, (3, 3))
    same = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return same + angle.sin()[:, None, None] * cross + (1 - angle.cos())[:, None, None] * (cross @ cross)
