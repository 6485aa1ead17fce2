"""Molecules by RDKit: SMILES to conformers (ETKDG), and SDF.

Riniker & Landrum 2015, "Better informed distance geometry". The same molecule gets the same places however its SMILES
is written, for it is embedded in its canonical form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from exapt.domains.atom_frames import Frame
from exapt.domains.structure import Structure
from exapt.errors import InputError

GAP = 4.0
"""Å between the atoms nearest to each other of parts that no bond joins."""
NCI = "NCI/first_5K.smi"
"""RDKit's list of 5,000 molecules of the National Cancer Institute."""
TRIES = 10
"""Embeddings tried from distances, and as many from random places, before a molecule is given up."""


@dataclass(frozen=True)
class Embedding:
    """How molecules get their places; see `AtomsSpec`."""

    hydrogens: bool
    conformers: int
    seed: int
    embed_length: int


def rdkit() -> Any:
    """RDKit's Chem, with AllChem; raises `InputError` where it is not installed."""
    try:
        from rdkit import Chem
        from rdkit.Chem import rdDistGeom  # noqa: F401
    except ImportError:
        raise InputError("molecules (SMILES, SDF) need RDKit: pip install 'exapt[chem]'") from None
    return Chem


def carried_smiles(file: str) -> Iterator[tuple[str, str]]:
    """SMILES and name of every line of a file that RDKit carries."""
    rdkit()
    from rdkit import RDConfig

    for line in (Path(RDConfig.RDDataDir) / file).read_text().splitlines():
        words = line.split(None, 1)
        if words:
            yield words[0], words[1].strip() if len(words) > 1 else ""


def from_smiles(text: str, where: str, how: Embedding) -> Frame:
    """A molecule in so many conformers; raises `InputError` for a SMILES that is none, or that cannot be embedded."""
    chem = rdkit()
    from rdkit import rdBase

    with rdBase.BlockLogs():
        molecule = chem.MolFromSmiles(text) if text else None
        if molecule is None or not molecule.GetNumAtoms():
            raise InputError(
                f"{where}: '{text[:60]}' is no SMILES that RDKit can read; correct it, or set on_error=skip"
            )
        smiles = chem.MolToSmiles(molecule)
        again = chem.MolFromSmiles(smiles)
        full = chem.AddHs(again if again is not None else molecule)
        if full.GetNumAtoms() > how.embed_length:
            raise InputError(
                f"{where}: a molecule of {full.GetNumAtoms()} atoms; conformers are embedded up to domain.embed_length "
                f"= {how.embed_length}, for it takes minutes; raise that, or set on_error=skip"
            )
        places = embed(full, how.conformers, how.seed)
    if places is None:
        raise InputError(
            f"{where}: no conformer of '{text[:60]}' was found (ETKDG); leave it out, or set on_error=skip"
        )
    return Frame(structure_of(full, places, how.hydrogens), where, {}, smiles)


def same_molecule(text: str, numbers: np.ndarray) -> str:
    """The canonical SMILES of a text, where RDKit is there and reads it as a molecule of just these atoms; else ''."""
    try:
        chem = rdkit()
    except InputError:
        return ""
    from rdkit import rdBase

    with rdBase.BlockLogs():
        molecule = chem.MolFromSmiles(text)
    if molecule is None:
        return ""
    there = sorted(a.GetAtomicNum() for a in chem.AddHs(molecule).GetAtoms())
    return str(chem.MolToSmiles(molecule)) if there == sorted(numbers.tolist()) else ""


def embed(molecule: Any, conformers: int, seed: int) -> np.ndarray | None:
    """(K, n, 3) conformers of a molecule with its hydrogens, unbonded parts set apart; None where none is found."""
    from rdkit.Chem import GetMolFrags, rdDistGeom

    if molecule.GetNumAtoms() == 1:
        return np.zeros((1, 1, 3))
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = seed % (1 << 31)
    settings.numThreads, settings.maxIterations = 1, TRIES
    for random in (False, True):
        settings.useRandomCoords = random
        try:
            found = list(rdDistGeom.EmbedMultipleConfs(molecule, conformers, settings))
        except RuntimeError:  # its bounds contradict each other, as those of a sulphur with too many bonds
            return None
        if found:
            places = np.array([molecule.GetConformer(i).GetPositions() for i in found])
            return apart(places, [list(part) for part in GetMolFrags(molecule)])
    return None


def apart(places: np.ndarray, parts: list[list[int]]) -> np.ndarray:
    """The conformers (K, n, 3) with parts one after another along x, `GAP` Å between them."""
    if len(parts) < 2:
        return places
    moved = places.copy()
    for conformer in moved:
        end = 0.0
        for part in parts:
            conformer[part] -= conformer[part].mean(0)
            conformer[part, 0] += end - conformer[part, 0].min()
            end = conformer[part, 0].max() + GAP
    return moved


def structure_of(molecule: Any, places: np.ndarray, hydrogens: bool) -> Structure:
    """Atoms, charge and radical electrons of a molecule."""
    atoms = list(molecule.GetAtoms())
    numbers = np.array([a.GetAtomicNum() for a in atoms], dtype=np.int64)
    shown = np.ones(len(numbers), dtype=bool) if hydrogens else numbers > 1
    if not shown.any():
        shown[:] = True  # hydrogen itself
    charge = float(sum(a.GetFormalCharge() for a in atoms))
    unpaired = float(sum(a.GetNumRadicalElectrons() for a in atoms))
    return Structure(numbers[shown], places[:, shown], charge=charge, unpaired=unpaired)


def read_sdf(raw: IO[bytes], name: str, how: Embedding) -> Iterator[Frame | InputError]:
    """Every molecule of an SDF with its properties; a flat drawing is embedded. A bad one is given as its mistake."""
    chem = rdkit()
    from rdkit import rdBase

    with rdBase.BlockLogs():
        for number, molecule in enumerate(chem.ForwardSDMolSupplier(raw, removeHs=False), 1):
            where = f"{name}: molecule {number}"
            try:
                yield _sdf_frame(chem, molecule, where, how)
            except InputError as mistake:
                yield mistake


def _sdf_frame(chem: Any, molecule: Any, where: str, how: Embedding) -> Frame:
    if molecule is None or not molecule.GetNumAtoms():
        raise InputError(f"{where}: RDKit cannot read it; correct it, or set on_error=skip")
    smiles = chem.MolToSmiles(chem.RemoveHs(molecule))
    columns = molecule.GetPropsAsDict()
    if not molecule.GetNumConformers() or not molecule.GetConformer().Is3D():
        frame = from_smiles(smiles, where, how)
        frame.columns = columns
        return frame
    if how.hydrogens and not any(a.GetAtomicNum() == 1 for a in molecule.GetAtoms()):
        molecule = chem.AddHs(molecule, addCoords=True)
    places = molecule.GetConformer().GetPositions()[None]
    return Frame(structure_of(molecule, places, how.hydrogens), where, columns, smiles)
