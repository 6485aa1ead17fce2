"""Scaffolds: the ring systems of a molecule and what joins them (Bemis & Murcko 1996, 10.1021/jm9602928)."""

from __future__ import annotations

from exapt.domains.atom_molecules import rdkit
from exapt.errors import InputError


def scaffold(smiles: str, where: str) -> str:
    """The scaffold's SMILES, without stereo; a molecule without rings is its own.

    Raises `InputError` where no molecule is known, or RDKit is not installed.
    """
    if not smiles:
        raise InputError(f"{where}: no molecule is known here (no SMILES), and split.by=scaffold needs one")
    chem = rdkit()
    from rdkit import rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    with rdBase.BlockLogs():
        molecule = chem.MolFromSmiles(smiles)
        found = "" if molecule is None else MurckoScaffold.MurckoScaffoldSmiles(mol=molecule, includeChirality=False)
    return found or smiles
