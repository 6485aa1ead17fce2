"""Simple features of single atoms, for the baseline of per-atom labels: what is around, and how far.

Histograms of distances by kind of neighbour: radial symmetry functions (Behler & Parrinello 2007,
10.1103/PhysRevLett.98.146401) with hard bins. Shapes: n atoms of one structure, N of all.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from exapt.domains.atom_features import atom_store, pair_vectors
from exapt.domains.base import Dataset
from exapt.domains.structure import Structure

BINS = 12
KINDS = np.array([1, 6, 7, 8, 16])
"""Neighbours are counted by these elements, all others together."""
REACH = 3
"""Residues before and after an atom's own whose surroundings count, where the file names residues."""


def element_features(dataset: Dataset, cutoff: float) -> sp.csr_matrix:
    """(N, …) of all atoms of at least one structure, end to end."""
    store = atom_store(dataset)
    rows = [surroundings(store.structure(row), cutoff) for row in dataset.rows.tolist()]
    residues = dataset.columns.get("residue")
    if residues is not None:
        pairs = zip(rows, residues, strict=True)
        rows = [sp.hstack([row, *_window(row, np.asarray(number))], format="csr") for row, number in pairs]
    return sp.vstack(rows, format="csr")


def surroundings(structure: Structure, cutoff: float) -> sp.csr_matrix:
    """(n, 6 + 6 · BINS) the kind of each atom, and the square roots of how many neighbours of a kind each bin has."""
    vectors, origin, to = pair_vectors(structure, cutoff)
    kinds = len(KINDS) + 1
    own = _kind(structure.numbers)
    bins = np.minimum((np.linalg.norm(vectors, axis=1) / cutoff * BINS).astype(int), BINS - 1)
    shape = (len(structure), kinds * BINS)
    ones = np.ones(len(to), dtype=np.float32)
    counts = sp.coo_matrix((ones, (to, own[origin] * BINS + bins)), shape).tocsr()
    shown = sp.csr_matrix((np.ones(len(own), np.float32), (np.arange(len(own)), own)), (len(own), kinds))
    return sp.hstack([shown, counts.sqrt()], format="csr")


def _kind(numbers: np.ndarray) -> np.ndarray:
    """(n,) the place in `KINDS`, and one more for the others."""
    place = np.searchsorted(KINDS, numbers).clip(max=len(KINDS) - 1)
    return np.where(KINDS[place] == numbers, place, len(KINDS))


def _window(around: sp.csr_matrix, residue: np.ndarray) -> list[sp.csr_matrix]:
    """For each of the residues about an atom's own, the mean surroundings of its atoms; zeros beyond the ends, and
    where a structure has no residues."""
    if not np.isfinite(residue).all():
        return [sp.csr_matrix(around.shape, dtype=np.float32)] * (2 * REACH + 1)
    number = residue.astype(np.int64)
    count = int(number.max()) + 1
    members = sp.csr_matrix((np.ones(len(number), np.float32), (number, np.arange(len(number)))), (count, len(number)))
    mean = sp.diags(1 / np.maximum(np.asarray(members.sum(1)).ravel(), 1)).astype(np.float32) @ members @ around
    found = []
    for step in range(-REACH, REACH + 1):
        at = number + step
        inside = (at >= 0) & (at < count)
        pick = sp.csr_matrix((inside.astype(np.float32), (np.arange(len(at)), at.clip(0, count - 1))), (len(at), count))
        found.append(pick @ mean)
    return found
