"""Simple features of structures: the baseline that pre-training must beat, and hashes for finding repeats.

Morgan fingerprints and descriptors (Rogers & Hahn 2010) where the molecule is known; else what elements there are and
how far apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from exapt.domains.atom_warnings import composition
from exapt.domains.base import Dataset
from exapt.domains.hashing import MULTIPLIER, mix
from exapt.domains.neighbours import cell_pairs
from exapt.domains.structure import ELEMENTS, AtomStore, Structure, unpacked
from exapt.errors import InputError

BITS, RADIUS = 2048, 2
"""Morgan's fingerprint (ECFP4) folded to so many counts."""
BINS = 32
"""Distances up to the cut-off are counted in so many bins, for each kind of pair among light, middle and heavy."""
ROUNDED = 0.01
"""Å to which places are rounded before they are compared."""
BOND = 1.3
"""Two atoms are bonded up to so many times the sum of their radii."""


def classical_features(datasets: Sequence[Dataset], cutoff: float) -> list[Any]:
    """(n, p) a matrix for each data set; scaled on the first, the training one.

    Raises `InputError` where molecules are known in the first, and not in another.
    """
    stores = [atom_store(dataset) for dataset in datasets]
    if not all(stores[0].smiles):
        return _standard([_geometric(store, d, cutoff) for store, d in zip(stores, datasets, strict=True)])
    return molecular_features([_smiles(store, d) for store, d in zip(stores, datasets, strict=True)])


def _smiles(store: AtomStore, dataset: Dataset) -> list[str]:
    found: list[str] = store.smiles[dataset.rows].tolist()
    if not all(found):
        raise InputError(
            f"{dataset.where(found.index(''))}: which molecule it is is not known, and the baseline was learnt on "
            "fingerprints of molecules; give SMILES or SDF, or extended XYZ with a key smiles"
        )
    return found


def atom_store(dataset: Dataset) -> AtomStore:
    """The structures of a data set, unpacked anew where they were remembered without their store."""
    store = dataset.store
    if isinstance(store, AtomStore):
        return store
    structures = [unpacked(np.asarray(store[row], dtype=np.float64)) for row in range(len(store))]
    return AtomStore.of(structures, getattr(store, "smiles", None) or [""] * len(structures))


def molecular_features(parts: Sequence[list[str]]) -> list[sp.csr_matrix]:
    """Of SMILES: square roots of fingerprint counts, rows of length 1, beside standardised descriptors."""
    prints = [_prints(smiles) for smiles in parts]
    described = _standard([np.array([_descriptors(s) for s in smiles]).reshape(len(smiles), -1) for smiles in parts])
    return [
        sp.hstack([p, sp.csr_matrix(d / max(1, d.shape[1]) ** 0.5)], format="csr")
        for p, d in zip(prints, described, strict=True)
    ]


def _prints(smiles: Sequence[str]) -> sp.csr_matrix:
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    counts = np.zeros((len(smiles), BITS), dtype=np.float32)
    for row, text in enumerate(smiles):
        counts[row] = maker.GetCountFingerprintAsNumPy(_molecule(text))
    lengths = np.maximum(counts.sum(1, keepdims=True), 1)
    return sp.csr_matrix(np.sqrt(counts / lengths))


@lru_cache(maxsize=1 << 16)
def _descriptors(smiles: str) -> list[float]:
    """RDKit's descriptors that are finite numbers of moderate size; the others count as 0."""
    from rdkit import rdBase
    from rdkit.Chem import Descriptors

    with rdBase.BlockLogs():
        values = Descriptors.CalcMolDescriptors(_molecule(smiles), missingVal=0.0)
    return [float(v) if np.isfinite(v) and abs(v) < 1e6 else 0.0 for v in values.values()]


def _molecule(smiles: str) -> Any:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def _geometric(store: AtomStore, dataset: Dataset, cutoff: float) -> np.ndarray:
    """(n, p) counts of elements and their shares, and pairs by distance and by weight."""
    counts = composition(store)[dataset.rows, 1:]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    spread = np.array([_distances(store.structure(int(row)), cutoff) for row in dataset.rows])
    return np.hstack([counts, shares, spread.reshape(len(dataset), -1)])


def _distances(structure: Structure, cutoff: float) -> np.ndarray:
    """(6 · BINS,) pairs an atom in each bin of distance, for the six pairs of hydrogen, second row and heavier."""
    vectors, origin, to = pair_vectors(structure, cutoff)
    kind = np.digitize(structure.numbers, [2, 11])
    low, high = np.minimum(kind[origin], kind[to]), np.maximum(kind[origin], kind[to])
    pair = low * 3 + high - low * (low + 1) // 2
    at = np.minimum((np.linalg.norm(vectors, axis=1) / cutoff * BINS).astype(int), BINS - 1)
    return np.bincount(pair * BINS + at, minlength=6 * BINS) / len(structure)


def pair_vectors(structure: Structure, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every pair within the cut-off the vector from one to the other (E, 3), and their numbers (E,) each."""
    places = structure.positions[0]
    origin, to, shifts = cell_pairs(places, structure.cell, cutoff)
    return places[origin] + shifts @ structure.cell - places[to], origin, to


def _standard(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each column less its mean over its deviation in the first part; columns that do not vary there are dropped."""
    mean, spread = parts[0].mean(0), parts[0].std(0)
    vary = spread > 1e-9 * (1 + np.abs(mean))
    return [np.clip((part[:, vary] - mean[vary]) / spread[vary], -10, 10).astype(np.float32) for part in parts]


def in_one_form(structure: Structure) -> np.ndarray:
    """(n + 4, 2) rows sorted by element and distance from the middle, and the cell's shape, rounded to 0.01 Å.

    Of a periodic structure, whose middle is nowhere, the distances are those to the nearest other atoms summed.
    """
    if structure.periodic.any():
        vectors, _, to = pair_vectors(structure, 4.0)
        weight = np.exp(-np.linalg.norm(vectors, axis=1))
        far = np.bincount(to, weights=weight, minlength=len(structure))
    else:
        places = structure.positions[0] - structure.positions[0].mean(0)
        far = np.linalg.norm(places, axis=1)
    rows = np.column_stack([structure.numbers, np.round(far / ROUNDED)])
    shape = np.round((structure.cell @ structure.cell.T)[np.triu_indices(3)] / ROUNDED).reshape(3, 2)
    head = np.array([[structure.charge, structure.unpaired]])
    return np.concatenate([head, shape, rows[np.lexsort(rows.T[::-1])]])


def fingerprint(structure: Structure, smiles: str) -> np.ndarray:
    """(k,) uint64 hashes of the molecule's environments (Morgan), or of those that bonds by distance show."""
    if smiles:
        return molecular_fingerprint(smiles)
    colours, (origin, to) = mix(structure.numbers.astype(np.uint64)), bonds(structure)
    kept = [colours]
    for _ in range(RADIUS):
        around = np.zeros_like(colours)
        np.add.at(around, to, mix(colours[origin]))
        colours = mix(colours * MULTIPLIER + around)
        kept.append(colours)
    return np.unique(np.concatenate(kept))


def molecular_fingerprint(smiles: str) -> np.ndarray:
    """(k,) uint64 hashes of Morgan's environments."""
    from rdkit.Chem import rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS)
    found = np.array(sorted(maker.GetSparseCountFingerprint(_molecule(smiles)).GetNonzeroElements()))
    return mix(found.astype(np.uint64))


def bonds(structure: Structure, longest: float = BOND) -> tuple[np.ndarray, np.ndarray]:
    """From and to of atoms nearer than `longest` times their covalent radii, both directions."""
    reach = RADII[structure.numbers]
    vectors, origin, to = pair_vectors(structure, max(0.1, 2 * longest * float(reach.max())))
    near = np.linalg.norm(vectors, axis=1) < longest * (reach[origin] + reach[to])
    return origin[near], to[near]


_KNOWN = (
    "0.31 0.28 1.28 0.96 0.84 0.76 0.71 0.66 0.57 0.58 1.66 1.41 1.21 1.11 1.07 1.05 1.02 1.06 2.03 1.76 1.70 "
    "1.60 1.53 1.39 1.39 1.32 1.26 1.24 1.32 1.22 1.22 1.20 1.19 1.20 1.20 1.16 2.20 1.95 1.90 1.75 1.64 1.54 "
    "1.47 1.46 1.42 1.39 1.45 1.44 1.42 1.39 1.39 1.38 1.39 1.40 2.44 2.15 2.07 2.04 2.03 2.01 1.99 1.98 1.98 "
    "1.96 1.94 1.92 1.92 1.89 1.90 1.87 1.87 1.75 1.70 1.62 1.51 1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.40 "
    "1.50 1.50 2.60 2.21 2.15 2.06 2.00 1.96 1.90 1.87 1.80 1.69 "
)
RADII = np.full(ELEMENTS + 1, 1.6)
"""(119,) covalent radii in Å of elements 1 to 96 (Cordero et al. 2008); 1.6 beyond."""
RADII[1:97] = [float(r) for r in _KNOWN.split()]
