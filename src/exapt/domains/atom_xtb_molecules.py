"""Molecules of RDKit's own list with electronic properties by GFN2-xTB (Bannwarth et al. 2019), worked out by tblite.

They stand at the place that ETKDG gives them, which is no minimum of any energy: the labels are those of that very
structure. The same molecules come every time; some fifty labels a second on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from exapt.domains.atom_frames import Frame
from exapt.domains.atom_molecules import NCI, Embedding, carried_smiles, from_smiles, rdkit
from exapt.domains.atom_units import BOHR, HARTREE
from exapt.errors import InputError

PARTS = {"xtb:dipoles": (2500, 3500, 500), "xtb:gaps": (3500, 5000, 700)}
"""The first and last line of NCI's list that each set is drawn from, and how many molecules it has at most: they have
none in common with each other, or with the first 2,500 of `rdkit:nci`."""
HEAVY = 16
"""The most atoms beside hydrogens."""
ELEMENTS = frozenset({1, 6, 7, 8, 9, 16, 17})
EMBEDDING = Embedding(hydrogens=True, conformers=1, seed=0, embed_length=300)


def labelled_molecules(path: str) -> Iterator[Frame]:
    """Every molecule of a set, with its dipole moment (e Å) and the gap between its frontier orbitals (eV)."""
    found = (_labelled(smiles, f"{path}: {smiles}") for smiles in _chosen(path))
    yield from islice((frame for frame in found if frame is not None), PARTS[path][2])


def _chosen(path: str) -> Iterator[str]:
    """Neutral molecules of one part, closed shells and usual elements, that have few atoms."""
    chem = rdkit()
    from rdkit import rdBase

    first, last, _ = PARTS[path]
    for smiles, _ in islice(carried_smiles(NCI), first, last):
        with rdBase.BlockLogs():
            molecule = chem.MolFromSmiles(smiles)
        if molecule is not None and "." not in smiles and _usual(molecule) and not chem.GetFormalCharge(molecule):
            yield smiles


def _usual(molecule: Any) -> bool:
    atoms = list(molecule.GetAtoms())
    alike = all(a.GetAtomicNum() in ELEMENTS and not a.GetNumRadicalElectrons() for a in atoms)
    return alike and len(atoms) <= HEAVY


def _labelled(smiles: str, where: str) -> Frame | None:
    """A molecule with its labels; None where it finds no place, or its energy no minimum over the electrons."""
    try:
        frame = from_smiles(smiles, where, EMBEDDING)
    except InputError:
        return None
    try:
        frame.columns = properties(frame.structure.numbers, frame.structure.positions[0])
    except RuntimeError:
        return None
    return frame


def properties(numbers: np.ndarray, positions: np.ndarray) -> dict[str, float]:
    """Dipole moment in e Å and gap in eV of a neutral closed shell; raises `InputError` where tblite is missing, and
    `RuntimeError` where it finds no answer."""
    try:
        from tblite.interface import Calculator
    except ImportError:
        raise InputError("labels by GFN2-xTB need tblite: pip install 'exapt[chem]'") from None
    calculator = Calculator("GFN2-xTB", numbers, positions / BOHR)
    calculator.set("verbosity", 0)
    found = calculator.singlepoint()
    energies, filled = np.asarray(found.get("orbital-energies")), np.asarray(found.get("orbital-occupations"))
    highest = int(np.flatnonzero(filled > 1)[-1])
    dipole = float(np.linalg.norm(found.get("dipole"))) * BOHR
    return {"dipole": dipole, "gap": float(energies[highest + 1] - energies[highest]) * HARTREE}
