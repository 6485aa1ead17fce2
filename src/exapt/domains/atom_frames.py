"""What reading atoms yields: one structure with its numbers, and where it stands; elements by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exapt.domains.structure import Structure
from exapt.errors import InputError

SYMBOLS = (  # noqa: SIM905
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og"
).split()
"""Names of elements 1 … 118; X stands for none."""
NUMBERS = {name: number for number, name in enumerate(SYMBOLS) if number}

CHARGE = ("charge", "total_charge")
MULTIPLICITY = ("multiplicity", "spin_multiplicity")


@dataclass
class Frame:
    """One structure of a file."""

    structure: Structure
    where: str
    """File and record, for messages."""
    columns: dict[str, Any] = field(default_factory=dict)
    """Numbers, words, and arrays; those per atom are (n, …)."""
    smiles: str = ""


def numbers_of(symbols: list[str], where: str) -> np.ndarray:
    """(n,) atomic numbers of names or of numbers; raises `InputError` naming the atom of an unknown one."""
    found = np.zeros(len(symbols), dtype=np.int64)
    for place, symbol in enumerate(symbols):
        name = symbol.strip().capitalize()
        number = NUMBERS.get(name, int(name) if name.isdecimal() else 0)
        if not 1 <= number < len(SYMBOLS):
            raise InputError(
                f"{where}: atom {place + 1} is of the unknown element '{symbol}'; valid: H to Og, or 1 to 118"
            )
        found[place] = number
    return found


def charge_and_spin(columns: Mapping[str, Any]) -> tuple[float, float]:
    """Total charge and unpaired electrons, where the columns say them; else 0."""
    charge = next((float(columns[n]) for n in CHARGE if isinstance(columns.get(n), int | float)), 0.0)
    spin = next((float(columns[n]) - 1 for n in MULTIPLICITY if isinstance(columns.get(n), int | float)), 0.0)
    return charge, spin


def cell_of(vectors: np.ndarray | None, periodic: np.ndarray, where: str) -> np.ndarray:
    """(3, 3) cell, zero where it does not repeat; raises `InputError` where a repeating direction has no vector."""
    if vectors is None or not np.asarray(vectors).any():
        if periodic.any():
            raise InputError(
                f"{where}: periodic ({' '.join('FT'[int(p)] for p in periodic)}), but no cell is given; "
                'give Lattice, or pbc="F F F"'
            )
        return np.zeros((3, 3))
    cell = np.where(periodic[:, None], np.asarray(vectors, dtype=np.float64).reshape(3, 3), 0.0)
    flat = periodic.any() and np.linalg.matrix_rank(cell, tol=1e-6) < int(periodic.sum())
    if flat:
        raise InputError(f"{where}: the cell's vectors are zero or lie in one plane; give independent ones")
    return cell


def voigt(stress: Any) -> Any:
    """A stress as (6,) xx yy zz yz xz xy, from that or from a matrix (3, 3) or (9,); anything else as it is."""
    values = np.asarray(stress, dtype=np.float64).reshape(-1) if isinstance(stress, np.ndarray | list) else None
    if values is None or len(values) != 9:
        return stress if values is None else values
    matrix = values.reshape(3, 3)
    even = (matrix + matrix.T) / 2
    return np.array([even[0, 0], even[1, 1], even[2, 2], even[1, 2], even[0, 2], even[0, 1]])
