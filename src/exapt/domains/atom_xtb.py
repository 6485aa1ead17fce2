"""Sets of distorted molecules with energies and forces by GFN2-xTB (Bannwarth et al. 2019), worked out by tblite.

Every molecule is embedded (ETKDG), relaxed, and then displaced along its normal modes, as classical mechanics has it at
a temperature between 300 and 600 K (as ANI's sets were, Smith et al. 2017). The same structures come every time, up to
rounding; some hundred labels a second on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from exapt.domains.atom_ase import ase
from exapt.domains.atom_molecules import rdkit
from exapt.domains.atom_units import BOHR, HARTREE
from exapt.errors import InputError, nearest

ORGANICS = """
CCO CC(C)O COC CC=O CC(C)=O CCN CN(C)C CCC CC=C C1CC1 OCCO NCCO CO CN C=O CC C=C C#CC CC#N CNC CC=N C1CO1 C1CN1 CC(=O)O
COC=O C=CC=O OCC=O CON c1ccoc1 c1cc[nH]c1 c1ccccc1 NCC#N
"""
FAMILIES = {"small-organics": ORGANICS.split(), "amides": ["NC=O", "CC(N)=O", "CNC=O", "NC(N)=O"]}
"""SMILES of each set. Amides hold the same elements in a group that none of the others has."""
COPIES = {"small-organics": 100, "amides": 150}
"""Structures of each molecule."""
LEVELS = {"GFN2": "GFN2-xTB", "GFN1": "GFN1-xTB"}
COLDEST, HOTTEST = 300.0, 600.0
BOLTZMANN = 8.617333262e-5
"""eV/K."""
SOFTEST = 0.147
"""The least curvature of a mode, in eV/(Å² amu): that of 200 cm⁻¹. Softer ones would be displaced beyond reason."""
STEP = 0.005
"""Å, of the differences that the Hessian is taken by."""
SEED = 0


def families() -> list[str]:
    """The names of all sets; `xtb:NAME/GFN1` has the same structures with GFN1-xTB's labels."""
    return [f"xtb:{name}{level}" for name in FAMILIES for level in ("", "/GFN1")]


def by_xtb(path: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every structure of a set, with energy (eV), forces (eV/Å), molecule and temperature (K)."""
    name, _, level = path.removeprefix("xtb:").partition("/")
    if name not in FAMILIES or (level or "GFN2") not in LEVELS:
        raise InputError(f"{path}: no such built-in set; {nearest(path, families())}")
    for number, smiles in enumerate(FAMILIES[name]):
        rng = np.random.default_rng([SEED, sorted(FAMILIES).index(name), number])
        atoms = _relaxed(smiles)
        modes = _modes(atoms)
        for _ in range(COPIES[name]):
            kelvin = float(rng.uniform(COLDEST, HOTTEST))
            moved = atoms.copy()
            moved.positions += _displacement(modes, kelvin, rng)
            energy, forces = label(moved.numbers, moved.positions, LEVELS[level or "GFN2"])
            yield moved, {"energy": energy, "forces": forces, "molecule": smiles, "kelvin": kelvin}


def label(numbers: np.ndarray, positions: np.ndarray, level: str = "GFN2-xTB") -> tuple[float, np.ndarray]:
    """Energy in eV and forces (n, 3) in eV/Å; raises `InputError` where tblite is not installed."""
    try:
        from tblite.interface import Calculator
    except ImportError:
        raise InputError("labels by GFN2-xTB need tblite: pip install 'exapt[chem]'") from None
    calculator = Calculator(level, numbers, positions / BOHR)
    calculator.set("verbosity", 0)
    found = calculator.singlepoint()
    return float(found.get("energy")) * HARTREE, -np.asarray(found.get("gradient")) * (HARTREE / BOHR)


def _relaxed(smiles: str) -> Any:
    """ASE's atoms at a minimum of GFN2-xTB's energy."""
    ase()
    rdkit()
    from ase import Atoms
    from rdkit import Chem
    from rdkit.Chem import AllChem
    from scipy.optimize import minimize

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=SEED)  # type: ignore[attr-defined]
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    start = molecule.GetConformer().GetPositions()

    def energy(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, forces = label(numbers, flat.reshape(-1, 3))
        return value, -forces.reshape(-1)

    found = minimize(energy, start.reshape(-1), jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 0.01})
    return Atoms(numbers, found.x.reshape(-1, 3))


def _modes(atoms: Any) -> tuple[np.ndarray, np.ndarray]:
    """(3 n − 6,) curvatures in eV/(Å² amu), none below the softest, and modes (3 n − 6, n, 3) over √mass."""
    start, count = atoms.positions, len(atoms)
    hessian = np.zeros((3 * count, 3 * count))
    for place in range(3 * count):
        slopes = []
        for sign in (1, -1):
            moved = start.reshape(-1).copy()
            moved[place] += sign * STEP
            slopes.append(-label(atoms.numbers, moved.reshape(-1, 3))[1].reshape(-1))
        hessian[place] = (slopes[0] - slopes[1]) / (2 * STEP)
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    curvature, modes = np.linalg.eigh((hessian + hessian.T) / 2 / np.outer(root, root))
    inner = np.argsort(np.abs(curvature))[6:]  # the six smallest move or turn the whole
    shapes = (modes[:, inner] / root[:, None]).T
    return np.maximum(curvature[inner], SOFTEST), shapes.reshape(len(inner), count, 3)


def _displacement(modes: tuple[np.ndarray, np.ndarray], kelvin: float, rng: np.random.Generator) -> np.ndarray:
    curvature, shapes = modes
    sizes = rng.normal(size=len(curvature)) * np.sqrt(BOLTZMANN * kelvin / curvature)
    return np.asarray(np.einsum("m,mij->ij", sizes, shapes))
