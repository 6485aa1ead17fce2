"""What lies beyond a cut-off: latent charges that feel each other everywhere (Cheng 2024, arXiv 2408.15165).

Written from the paper. Each atom has C latent charges, blurred to Gaussians. Two of them at distance r interact by
erf(r / √2σ) / r; in a periodic cell their sum over all images is taken in reciprocal space (Ewald 1921), neutralised
by a uniform background, and less each charge's interaction with itself. Shapes: N atoms, C charges, n atoms of one
structure, G reciprocal vectors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from exapt.batch import Batch, element_index, offsets_of, pad
from exapt.errors import InputError

SMALLEST = 1e-6
"""Reciprocal vectors whose weight exp(−σ²k²/2) is below this are left out."""

TOGETHER = 100
"""Open structures up to so many atoms are padded to one size and worked out at once."""


class LongRange(nn.Module):
    """Adds to an atom's scalars what its latent charges feel: charge times potential, C numbers."""

    def __init__(self, width: int, charges: int, blur: float) -> None:
        super().__init__()
        self.blur = blur
        self.charge = nn.Linear(width, charges, bias=False)
        self.tell = nn.Linear(charges, width, bias=False)

    def forward(self, scalars: Tensor, batch: Batch) -> Tensor:
        charges = self.charge(scalars)
        return scalars + self.tell(charges * potentials(charges, batch, self.blur))


def potentials(charges: Tensor, batch: Batch, blur: float) -> Tensor:
    """(N, C) the potential that all other charges (N, C), and all images, make at every atom, in charges per Å.

    Raises `InputError` for a cell that repeats in one or two directions only.
    """
    assert batch.positions is not None
    count = len(batch)
    repeats = torch.zeros(count, dtype=torch.long)
    if batch.cell is not None:
        repeats = batch.cell.detach().ne(0).any(2).sum(1).cpu()
    if bool(((repeats == 1) | (repeats == 2)).any()):
        raise InputError("backbone.long_range: cells must be periodic in all three directions or in none")
    places, offsets = batch.positions.to(charges.dtype), batch.offsets.cpu()
    found = charges.new_zeros(charges.shape)
    for group in _groups(repeats == 0, offsets.diff()):
        atoms = element_index(offsets, group).to(charges.device)
        own = offsets_of(offsets.diff()[group])
        found = found.index_add(0, atoms, open_potentials(charges[atoms], places[atoms], own, blur))
    for b in (repeats == 3).nonzero().flatten():
        assert batch.cell is not None
        atoms = element_index(offsets, b[None]).to(charges.device)
        here = ewald_potentials(charges[atoms], places[atoms], batch.cell[int(b)].to(charges.dtype), blur)
        found = found.index_add(0, atoms, here)
    return found


def _groups(free: Tensor, lengths: Tensor) -> list[Tensor]:
    """Open structures: the small ones together, each large one by itself, so that padding stays cheap."""
    small = (free & (lengths <= TOGETHER)).nonzero().flatten()
    large = (free & (lengths > TOGETHER)).nonzero().flatten()
    return [group for group in (small, *large.split(1)) if len(group)]


def open_potentials(charges: Tensor, places: Tensor, offsets: Tensor, blur: float) -> Tensor:
    """(N, C) by all pairs of each structure."""
    padded, real = pad(places, offsets)
    sources, _ = pad(charges, offsets)
    pairs = real[:, :, None] & real[:, None]
    pairs = pairs & ~torch.eye(real.shape[1], dtype=torch.bool, device=real.device)
    squared = (padded[:, :, None] - padded[:, None]).square().sum(-1)
    distances = torch.where(pairs, squared, torch.ones_like(squared)).sqrt()
    kernel = torch.erf(distances / (math.sqrt(2) * blur)) / distances
    return (torch.where(pairs, kernel, torch.zeros_like(kernel)) @ sources)[real]


def ewald_potentials(charges: Tensor, places: Tensor, cell: Tensor, blur: float) -> Tensor:
    """(n, C) in one periodic cell: 4π/V Σ_k exp(−σ²k²/2)/k² Re[S*(k) exp(ik·r)], less what a charge does to itself."""
    waves = reciprocal(cell, blur)
    squared = waves.square().sum(1)
    weight = 8 * math.pi / torch.linalg.det(cell).abs() * torch.exp(-(blur**2) * squared / 2) / squared
    phase = places @ waves.T
    cos, sin = phase.cos(), phase.sin()
    far = cos @ (weight[:, None] * (cos.T @ charges)) + sin @ (weight[:, None] * (sin.T @ charges))
    return far - charges * (math.sqrt(2 / math.pi) / blur)


def reciprocal(cell: Tensor, blur: float) -> Tensor:
    """(G, 3) one of each pair k, −k of reciprocal vectors that matter; they move with the cell under strain."""
    vectors = 2 * math.pi * torch.linalg.inv(cell).T
    reach = math.sqrt(-2 * math.log(SMALLEST)) / blur
    most = (reach * cell.detach().norm(dim=1) / (2 * math.pi)).floor().long().tolist()
    axes = [torch.arange(-m, m + 1, device=cell.device) for m in most]
    whole = torch.cartesian_prod(*axes)
    first = (whole != 0).long().argmax(1, keepdim=True)
    whole = whole[whole.gather(1, first).squeeze(1) > 0]
    near = (whole.to(cell.dtype) @ vectors.detach()).square().sum(1) <= reach**2
    return whole[near].to(cell.dtype) @ vectors
