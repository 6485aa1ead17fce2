"""Structures of atoms: one by itself, and many end to end.

Shapes: n atoms of one structure, N of all, K conformers. Lengths are in Å, charges in elementary charges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from exapt.domains.neighbours import closer_than
from exapt.domains.stores import JoinedStore
from exapt.errors import InputError

HEAD = 4
"""Rows of a packed structure before its atoms: charge and spin, and three of the cell."""
ELEMENTS = 118
"""Elements that are known; 0 is the mask."""


@dataclass(frozen=True)
class Structure:
    """A molecule, a protein or a crystal."""

    numbers: np.ndarray
    """(n,) int64 atomic numbers, 1 … 118."""
    positions: np.ndarray
    """(K, n, 3) float64, one set a conformer; most have one."""
    cell: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    """(3, 3) float64 rows are cell vectors; a row of zeros where a direction is not periodic."""
    charge: float = 0.0
    """Total charge."""
    unpaired: float = 0.0
    """Number of unpaired electrons: spin multiplicity − 1."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def periodic(self) -> np.ndarray:
        """(3,) whether each direction repeats."""
        return np.asarray(self.cell.any(axis=1))


def packed(structure: Structure) -> np.ndarray:
    """(n + 4, 1 + 3 K) float64: charge and spin, the cell, then a row an atom: its number, and its place in each
    conformer."""
    count, conformers = len(structure), len(structure.positions)
    flat = np.zeros((count + HEAD, 1 + 3 * conformers))
    flat[0, 1:3] = structure.charge, structure.unpaired
    flat[1:HEAD, 1:4] = structure.cell
    flat[HEAD:, 0] = structure.numbers
    flat[HEAD:, 1:] = structure.positions.transpose(1, 0, 2).reshape(count, -1)
    return flat


def unpacked(flat: np.ndarray) -> Structure:
    """What `packed` made."""
    flat = np.asarray(flat)
    return Structure(
        flat[HEAD:, 0].astype(np.int64),
        flat[HEAD:, 1:].reshape(len(flat) - HEAD, -1, 3).transpose(1, 0, 2),
        flat[1:HEAD, 1:4],
        float(flat[0, 1]),
        float(flat[0, 2]),
    )


class AtomStore:
    """Structures end to end."""

    def __init__(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        lengths: np.ndarray,
        cells: np.ndarray,
        whole: np.ndarray,
        smiles: Sequence[str],
    ) -> None:
        self.numbers, self.positions = numbers, positions
        """(N,) int64, and (N, 3 K) float64: conformers that a structure lacks are NaN."""
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.starts = np.concatenate([[0], self.lengths.cumsum()])
        self.cells, self.whole = cells, whole
        """(n, 3, 3), and (n, 2) charge and unpaired electrons."""
        self.smiles = np.array(smiles, dtype=object)
        """(n,) the molecule behind each structure, '' where it is not known."""
        self.counted: dict[float, np.ndarray] = {}
        """(n,) edges within a cut-off, once they were counted."""
        self._content = ""

    @classmethod
    def of(cls, structures: Sequence[Structure], smiles: Sequence[str] | None = None) -> AtomStore:
        """From structures one by one."""
        conformers = max((len(s.positions) for s in structures), default=1)
        lengths = np.array([len(s) for s in structures], dtype=np.int64)
        positions = np.full((int(lengths.sum()), 3 * conformers), np.nan)
        for s, start in zip(structures, np.concatenate([[0], lengths.cumsum()]), strict=False):
            flat = s.positions.transpose(1, 0, 2).reshape(len(s), -1)
            positions[start : start + len(s), : flat.shape[1]] = flat
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(s.numbers for s in structures)]),
            positions,
            lengths,
            np.array([s.cell for s in structures]).reshape(-1, 3, 3),
            np.array([(s.charge, s.unpaired) for s in structures]).reshape(-1, 2),
            smiles if smiles is not None else [""] * len(structures),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        return packed(self.structure(index))

    def structure(self, index: int) -> Structure:
        """One structure with the conformers it has."""
        part = slice(int(self.starts[index]), int(self.starts[index + 1]))
        places = self.positions[part].reshape(int(self.lengths[index]), -1, 3).transpose(1, 0, 2)
        there = np.isfinite(places).all(axis=(1, 2))
        return Structure(self.numbers[part], places[there], self.cells[index], *self.whole[index].tolist())

    def fingerprint(self) -> str:
        """A hash of atoms, places, cells, charges and SMILES."""
        if not self._content:
            parts = hashlib.sha256(repr(self.smiles.tolist()).encode())
            for array in (self.numbers, self.positions, self.lengths, self.cells, self.whole):
                parts.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
            self._content = parts.hexdigest()[:32]
        return self._content


class JoinedAtoms(AtomStore):
    """Several stores one after another; the places of atoms stay where they are."""

    def __init__(self, stores: Sequence[AtomStore]) -> None:
        joined = {n: np.concatenate([getattr(s, n) for s in stores]) for n in ("numbers", "lengths", "cells", "whole")}
        smiles = [text for store in stores for text in store.smiles.tolist()]
        super().__init__(positions=np.zeros((0, 3)), smiles=smiles, **joined)
        self.parts = JoinedStore(stores)

    def structure(self, index: int) -> Structure:
        """One structure with the conformers it has."""
        store, row = self.parts.place(index)
        assert isinstance(store, AtomStore)
        return store.structure(row)

    def fingerprint(self) -> str:
        """A hash of the stores' own."""
        return self.parts.fingerprint()


def check(structure: Structure, where: str, longest: int, closest: float) -> None:
    """Raise `InputError` for a structure that is empty, too large, of unknown elements, not finite or overlapping."""
    count = len(structure)
    if not 0 < count <= longest:
        raise InputError(f"{where}: {count} atoms; valid: 1 to domain.length = {longest}")
    unknown = (structure.numbers < 1) | (structure.numbers > ELEMENTS)
    if unknown.any():
        raise InputError(
            f"{where}: atom {int(unknown.argmax()) + 1} has atomic number {int(structure.numbers[unknown][0])}; "
            f"valid: 1 to {ELEMENTS}"
        )
    bad = ~np.isfinite(structure.positions).all(axis=(0, 2))
    if bad.any() or not np.isfinite(structure.cell).all():
        what = f"atom {int(bad.argmax()) + 1}" if bad.any() else "the cell"
        raise InputError(f"{where}: a coordinate of {what} is not a finite number; valid: numbers in Å")
    for places in structure.positions if closest else ():
        _refuse_overlap(structure, places, where, closest)


def _refuse_overlap(structure: Structure, places: np.ndarray, where: str, closest: float) -> None:
    found = closer_than(places, structure.cell, closest)
    if found is not None:
        first, second, distance = found
        raise InputError(
            f"{where}: atoms {first + 1} and {second + 1} are {distance:.2f} Å apart; valid: {closest} Å or more "
            "(are lengths in another unit? Set domain.units.positions, or domain.closest)"
        )
