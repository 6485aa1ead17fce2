"""Sets of structures that need no file: ASE's molecules and dimers, RDKit's own SMILES, and built crystals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from exapt.domains.atom_ase import ase
from exapt.domains.atom_frames import Frame
from exapt.domains.atom_molecules import NCI, carried_smiles
from exapt.domains.atom_xtb import by_xtb, families
from exapt.domains.atom_xtb_molecules import PARTS, labelled_molecules
from exapt.errors import InputError, nearest

BUILT_IN = ("ase:", "rdkit:", "built:", "xtb:")
"""How the names of built-in sets begin."""
METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
COPIES = 20
"""Strained and rattled cells of each element."""
STRAIN, RATTLE = 0.04, 0.08
"""Standard deviations: of a cell's entries, and of a coordinate in Å."""
SEED = 0

Item = tuple[Any, dict[str, Any]] | Frame
"""A SMILES or ASE's atoms, and its columns; or all of it."""


def built_in(path: str) -> Iterator[Item]:
    """Every structure of `ase:g2` (molecules of 1 to 14 atoms), `ase:s22` (dimers), `rdkit:nci` (5,000 SMILES of the
    National Cancer Institute), `built:crystals`, `built:crystals/1` (others, made in the same way), or a set of
    `atom_xtb` or `atom_xtb_molecules`."""
    known: dict[str, Callable[[], Iterator[Item]]] = {
        "ase:g2": _g2,
        "ase:s22": _s22,
        "rdkit:nci": _nci,
        "built:crystals": crystals,
        "built:crystals/1": lambda: crystals(1),
        **{name: partial(labelled_molecules, name) for name in PARTS},
        **{name: partial(by_xtb, name) for name in families()},
    }
    if path not in known:
        raise InputError(f"{path}: no such built-in set; {nearest(path, known)}")
    yield from known[path]()


def _g2() -> Iterator[Item]:
    ase()
    from ase.build import molecule
    from ase.collections import g2

    for name in g2.names:
        yield molecule(name), {"name": name}


def _s22() -> Iterator[Item]:
    ase()
    from ase.collections import s22

    for name in s22.names:
        yield s22[name], {"name": name}


def _nci() -> Iterator[Item]:
    for smiles, name in carried_smiles(NCI):
        yield smiles, {"name": name}


def crystals(seed: int = SEED) -> Iterator[Item]:
    """Strained and rattled 2 × 2 × 2 cells of metals and their alloys, the same ones every time, with energy, forces
    and stress by ASE's effective medium theory (Jacobsen et al. 1996): a stand-in for labels, no measurement."""
    ase()
    from ase.build import bulk
    from ase.calculators.emt import EMT

    rng = np.random.default_rng(seed)
    for element in METALS:
        for copy in range(COPIES):
            atoms = bulk(element, cubic=True) * (2, 2, 1)
            if copy or seed:
                mixed = rng.random(len(atoms)) < rng.uniform(0, 0.5)
                atoms.symbols[mixed] = str(rng.choice(METALS))
                bend = rng.normal(0, STRAIN, (3, 3))
                atoms.set_cell(atoms.cell[:] @ (np.eye(3) + (bend + bend.T) / 2), scale_atoms=True)
                atoms.positions += rng.normal(0, RATTLE, atoms.positions.shape)
            atoms.calc = EMT()
            labels = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces()}
            labels["stress"] = atoms.get_stress()
            atoms.calc = None
            yield atoms, {"element": element} | labels
