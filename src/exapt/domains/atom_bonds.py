"""Which atoms of a structure are bonded: as its SMILES says where that is the structure's own, else by distances.

Shapes: n atoms of a structure, N of all, E bonds (both directions), K the most bonds of one atom.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from exapt.domains.atom_features import BOND, RADII, bonds
from exapt.domains.base import Dataset
from exapt.domains.hashing import MULTIPLIER, mix
from exapt.domains.structure import AtomStore, Structure, unpacked

KINDS = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3, "AROMATIC": 4}
"""RDKit's names of bonds; 0 is a bond that distances show, whose order is not known, or one of another kind."""
MOST = 5
"""Kinds of bonds, the unknown one among them."""


LONGEST = 1.2
"""Two atoms are taken as bonded up to so many times the sum of their radii. Of 5,000 molecules of QM9 98.6 % get
their bonds so, by 1.3 95.2 % (across small cages it sees too many), by 1.15 all but two, but aluminium none."""


class Bonds(NamedTuple):
    """The bonds of one structure, each in both directions."""

    edges: np.ndarray
    """(2, E) int64 from and to."""
    kinds: np.ndarray
    """(E,) int64, see `KINDS`."""


def bonds_of(structure: Structure, smiles: str = "") -> Bonds:
    """The bonds of a molecule with their orders where its SMILES gives the structure's atoms in order, and no bond is
    longer than 1.3 times the sum of covalent radii; else those that distances up to 1.2 times it show, images of a cell
    too."""
    told = _told(structure, smiles) if smiles else None
    if told is not None:
        return told
    origin, to = bonds(structure, LONGEST)
    return Bonds(np.stack([origin, to]).astype(np.int64), np.zeros(len(to), dtype=np.int64))


def _told(structure: Structure, smiles: str) -> Bonds | None:
    """What a SMILES says, if its atoms are those of the structure, with or without hydrogens, and its bonds fit."""
    from exapt.domains.atom_molecules import rdkit

    chem = rdkit()
    molecule = chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    full = chem.AddHs(molecule)
    numbers = np.array([atom.GetAtomicNum() for atom in full.GetAtoms()])
    shown = np.ones(len(numbers), dtype=bool) if len(structure) == len(numbers) else numbers > 1
    if not np.array_equal(numbers[shown], structure.numbers):
        return None
    place = np.where(shown, shown.cumsum() - 1, -1)
    rows = [(place[b.GetBeginAtomIdx()], place[b.GetEndAtomIdx()], b.GetBondType().name) for b in full.GetBonds()]
    rows = [(one, two, name) for one, two, name in rows if one >= 0 and two >= 0]
    ends = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
    places, reach = structure.positions[0], RADII[structure.numbers]
    length = np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1)
    if (length > BOND * reach[ends].sum(1)).any():
        return None
    kinds = np.array([KINDS.get(name, 0) for *_, name in rows], dtype=np.int64)
    return Bonds(np.concatenate([ends, ends[:, ::-1]]).T, np.concatenate([kinds, kinds]))


def bond_table(dataset: Dataset, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) an object array of (atoms, 2 K) int64: the places of each atom's bonded neighbours within its structure and
    the kinds of these bonds, −1 where it has fewer than K; and (n,) a number that is the same for equal bond graphs.

    Graphs are equal as far as `rounds` of colour refinement tell (Weisfeiler & Leman 1968), and so does a network that
    passes messages as often.
    """
    store = dataset.store
    structures = [_structure(store, int(row)) for row in dataset.rows]
    smiles = [store.smiles[int(row)] if isinstance(store, AtomStore) else "" for row in dataset.rows]
    found = [bonds_of(one, said) for one, said in zip(structures, smiles, strict=True)]
    most = max((int(np.bincount(b.edges[1]).max()) for b in found if b.edges.size), default=1)
    tables = [_table(b, len(s), most) for b, s in zip(found, structures, strict=True)]
    return np.fromiter(tables, dtype=object, count=len(tables)), graph_keys(structures, found, rounds)


def _structure(store: object, row: int) -> Structure:
    if isinstance(store, AtomStore):
        return store.structure(row)
    return unpacked(store[row])  # type: ignore[index]


def _table(found: Bonds, atoms: int, most: int) -> np.ndarray:
    table = np.full((atoms, 2 * most), -1, dtype=np.int64)
    order = np.argsort(found.edges[1], kind="stable")
    origin, to = found.edges[:, order]
    counts = np.bincount(to, minlength=atoms)
    slot = np.arange(len(to)) - np.repeat(counts.cumsum() - counts, counts)
    table[to, slot], table[to, most + slot] = origin, found.kinds[order]
    return table


def graph_keys(structures: list[Structure], found: list[Bonds], rounds: int) -> np.ndarray:
    """(n,) int64 hashes, 0 or more, of atoms, bonds and their kinds."""
    sizes = np.array([len(s) for s in structures], dtype=np.int64)
    starts = sizes.cumsum() - sizes
    colours = mix(np.concatenate([np.zeros(0, np.int64), *(s.numbers for s in structures)]).astype(np.uint64))
    moved = [b.edges + start for b, start in zip(found, starts, strict=True)]
    edges = np.concatenate([np.zeros((2, 0), np.int64), *moved], 1)
    kinds = np.concatenate([np.zeros(0, np.int64), *(b.kinds for b in found)]).astype(np.uint64)
    for _ in range(rounds):
        around = np.zeros_like(colours)
        np.add.at(around, edges[1], mix(colours[edges[0]] * MULTIPLIER + kinds))
        colours = mix(colours * MULTIPLIER + around)
    whole = np.zeros(len(sizes), dtype=np.uint64)
    np.add.at(whole, np.repeat(np.arange(len(sizes)), sizes), mix(colours))
    return (mix(whole) >> np.uint64(1)).astype(np.int64)
