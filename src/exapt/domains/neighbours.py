"""Which atoms lie within a cut-off of each other, periodic images included.

Shapes: N atoms, B structures, E pairs. A pair stands once in each direction, sorted by the atom it goes to; the vector
of a pair from j to i is `positions[j] + shift − positions[i]`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from exapt.batch import pad
from exapt.errors import InputError

DENSE = 150
"""Open structures up to so many atoms are compared all with all, many at once; larger ones by cells."""
CHUNK = 1 << 22
"""Distances worked out at once."""


class Pairs(NamedTuple):
    """Neighbours."""

    edges: Tensor
    """(2, E) from and to."""
    shifts: Tensor
    """(E, 3) what to add to the place of the atom a pair comes from, in Å."""


def neighbours(positions: Tensor, offsets: Tensor, cell: Tensor | None, cutoff: float) -> Pairs:
    """All pairs closer than the cut-off, from positions (N, 3), offsets (B + 1,) and cells (B, 3, 3)."""
    lengths = offsets.diff()
    open_ones = torch.ones_like(lengths, dtype=torch.bool)
    if cell is not None:
        open_ones = ~cell.detach().flatten(1).ne(0).any(1).to(offsets.device)
    small = open_ones & (lengths <= DENSE)
    places = positions.detach()
    found = [_dense(places, offsets, small.nonzero().squeeze(1), cutoff)]
    for at in (~small).nonzero().squeeze(1).tolist():
        found.append(_by_cells(places, offsets, at, None if cell is None else cell[at], cutoff))
    edges = torch.cat([pairs.edges for pairs in found], 1)
    shifts = torch.cat([pairs.shifts for pairs in found])
    if len(found) == 1:
        return found[0]
    order = edges[1].argsort(stable=True)
    return Pairs(edges[:, order], shifts[order])


def _dense(positions: Tensor, offsets: Tensor, which: Tensor, cutoff: float) -> Pairs:
    """Pairs of small open structures, all with all."""
    lengths = offsets.diff()[which]
    found = []
    longest = int(lengths.max()) if len(lengths) else 1
    step = max(1, CHUNK // max(1, longest * longest))
    for part in which.split(step):
        size = offsets.diff()[part]
        rows = torch.repeat_interleave(offsets[:-1][part], size)
        own = torch.nn.functional.pad(size.cumsum(0), (1, 0))
        atoms = rows + torch.arange(len(rows), device=rows.device) - own[:-1].repeat_interleave(size)
        places, real = pad(positions[atoms.to(positions.device)], own)
        names, _ = pad(atoms.to(positions.device), own)
        near = (places[:, :, None] - places[:, None]).square().sum(-1) < cutoff * cutoff
        near &= real[:, :, None] & real[:, None]
        near.diagonal(dim1=1, dim2=2).fill_(False)
        b, to, origin = near.nonzero(as_tuple=True)
        found.append(torch.stack([names[b, origin], names[b, to]]))
    edges = torch.cat([torch.zeros(2, 0, dtype=torch.long, device=positions.device), *found], 1)
    return Pairs(edges, positions.new_zeros(edges.shape[1], 3))


def _by_cells(positions: Tensor, offsets: Tensor, at: int, cell: Tensor | None, cutoff: float) -> Pairs:
    """Pairs of one large or periodic structure."""
    first, last = int(offsets[at]), int(offsets[at + 1])
    box = np.zeros((3, 3)) if cell is None else cell.detach().double().cpu().numpy()
    origin, to, shift = cell_pairs(positions[first:last].double().cpu().numpy(), box, cutoff)
    order = np.argsort(to, kind="stable")
    edges = torch.from_numpy(np.stack([origin[order], to[order]]) + first)
    shifts = torch.from_numpy(shift[order] @ box)
    return Pairs(edges.to(positions.device), shifts.to(positions))


def cell_pairs(positions: np.ndarray, cell: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From (E,), to (E,) and whole cells (E, 3) of the pairs of one structure, by vesin, or a tree where it is open."""
    periodic = cell.any(axis=1)
    if not periodic.any():
        pairs = _open_pairs(positions, cutoff)
        both = np.concatenate([pairs, pairs[:, ::-1]])
        return both[:, 0], both[:, 1], np.zeros((len(both), 3))
    try:
        from vesin import NeighborList
    except ImportError:
        raise InputError("periodic cells need vesin: pip install 'exapt[chem]'") from None
    to, origin, shifts = NeighborList(cutoff=cutoff, full_list=True).compute(
        points=positions, box=completed(cell), periodic=periodic, quantities="ijS"
    )
    return origin.astype(np.int64), to.astype(np.int64), shifts.astype(np.float64)


def _open_pairs(positions: np.ndarray, cutoff: float) -> np.ndarray:
    """(E / 2, 2) atoms closer than the cut-off, each pair once."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(positions).query_pairs(cutoff, output_type="ndarray").astype(np.int64)
    distances = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return np.asarray(pairs[distances < cutoff])


def completed(cell: np.ndarray) -> np.ndarray:
    """A cell whose missing vectors are unit vectors across the others."""
    there = cell.any(axis=1)
    if there.all():
        return cell
    across = np.linalg.svd(cell[there] if there.any() else np.zeros((1, 3)))[2][int(there.sum()) :]
    whole = np.array(cell)
    whole[~there] = across[: int((~there).sum())]
    return whole


def closer_than(positions: np.ndarray, cell: np.ndarray, least: float) -> tuple[int, int, float] | None:
    """The closest two atoms (n, 3) and their distance, if that is below `least`."""
    if cell.any():
        origin, to, shifts = cell_pairs(positions, cell, least)
        vectors = positions[origin] + shifts @ cell - positions[to]
    else:
        pairs = _open_pairs(positions, least)
        origin, to = pairs[:, 0], pairs[:, 1]
        vectors = positions[origin] - positions[to]
    if not len(origin):
        return None
    distances = np.linalg.norm(vectors, axis=1)
    worst = int(distances.argmin())
    first, second = sorted((int(origin[worst]), int(to[worst])))
    return (first, second, float(distances[worst])) if distances[worst] < least else None


class Skin:
    """Neighbours through dynamics: found within cut-off and skin, and anew only once that may miss a pair (Verlet
    1967).

    Under a deformation F of the cell an atom's own move is what F does not explain. A pair outside of the list was at
    least cut-off and skin apart, so it stays outside of the cut-off as long as F's smallest stretch times that, less
    twice the largest own move, is no less than the cut-off.
    """

    def __init__(self, cutoff: float, skin: float = 0.5) -> None:
        self.cutoff, self.skin = cutoff, skin
        self.searches = 0
        """How often neighbours had to be searched."""
        self._at: tuple[Tensor, Tensor, Tensor | None] | None = None
        self._pairs: Pairs | None = None

    def __call__(self, positions: Tensor, offsets: Tensor, cell: Tensor | None) -> Pairs:
        """The pairs within the cut-off, as `neighbours` gives them."""
        places, box = positions.detach(), None if cell is None else cell.detach()
        bent = None if self._pairs is None else self._kept(places, offsets, box)
        if bent is None:
            self._pairs = neighbours(places, offsets, box, self.cutoff + self.skin)
            self._at = places.clone(), offsets.clone(), None if box is None else box.clone()
            self.searches += 1
            bent = _unbent(len(offsets) - 1, places)
        assert self._pairs is not None
        origin, to = self._pairs.edges
        owner = torch.bucketize(to, offsets.to(to.device), right=True) - 1
        shifts = torch.einsum("ei,eij->ej", self._pairs.shifts, bent[owner])
        near = (places[origin] + shifts - places[to]).square().sum(1) < self.cutoff**2
        return Pairs(self._pairs.edges[:, near], shifts[near])

    def _kept(self, places: Tensor, offsets: Tensor, cell: Tensor | None) -> Tensor | None:
        """(B, 3, 3) what cells were multiplied by since the search; None where neighbours must be searched."""
        assert self._at is not None
        before, same, box = self._at
        if before.shape != places.shape or not torch.equal(same, offsets) or (box is None) != (cell is None):
            return None
        bent = _unbent(len(offsets) - 1, places)
        if box is not None and cell is not None and not torch.equal(box, cell):
            if not torch.equal(box.ne(0).any(2), cell.ne(0).any(2)) or not bool(cell.ne(0).any(2).all()):
                return None
            bent = torch.linalg.solve(box, cell)
        owner = torch.bucketize(torch.arange(len(places)), offsets.cpu(), right=True) - 1
        own = (places - torch.einsum("ni,nij->nj", before, bent[owner])).norm(dim=1)
        least = torch.linalg.svdvals(bent).min(1).values
        moved = pad(own, offsets)[0].amax(1)
        return bent if bool((least * (self.cutoff + self.skin) - 2 * moved >= self.cutoff).all()) else None


def _unbent(count: int, like: Tensor) -> Tensor:
    return torch.eye(3, dtype=like.dtype, device=like.device).expand(count, 3, 3)
