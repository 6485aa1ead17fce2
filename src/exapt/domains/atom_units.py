"""What numbers of a file count: units made of known ones, turned into eV, Å and elementary charges."""

from __future__ import annotations

import re
from collections.abc import Mapping

from exapt.errors import InputError, nearest

HARTREE, BOHR = 27.211386245988, 0.529177210903
"""eV and Å (CODATA 2018)."""
MOLE = 6.02214076e23
JOULE = 1 / 1.602176634e-19

UNITS = {
    "ev": 1.0,
    "mev": 1e-3,
    "ha": HARTREE,
    "hartree": HARTREE,
    "eh": HARTREE,
    "ry": HARTREE / 2,
    "rydberg": HARTREE / 2,
    "j": JOULE,
    "kj": 1e3 * JOULE,
    "cal": 4.184 * JOULE,
    "kcal": 4184 * JOULE,
    "mol": MOLE,
    "a": 1.0,
    "å": 1.0,
    "ang": 1.0,
    "angstrom": 1.0,
    "nm": 10.0,
    "bohr": BOHR,
    "e": 1.0,
    "debye": 0.2081943,
    "d": 0.2081943,
    "gpa": 1e9 * JOULE * 1e-30,
    "kbar": 1e8 * JOULE * 1e-30,
    "k": 1.0,
}
"""One of each in eV, Å, e; kelvin stays. Case does not matter: MeV is not met here."""
PART = re.compile(r"([a-zå]+)\^?(-?\d+)?", re.IGNORECASE)


def factor(unit: str, where: str = "domain.units") -> float:
    """What one of a unit such as `kcal/mol/Å` or `eV/Å^3` is in eV, Å and e; raises `InputError` for an unknown one."""
    total = 1.0
    for place, part in enumerate(unit.replace("³", "^3").replace("²", "^2").replace(" ", "").split("/")):
        for word in part.replace("·", "*").split("*"):
            found = PART.fullmatch(word)
            if found is None or found[1].lower() not in UNITS:
                raise InputError(
                    f"{where}: unknown unit '{word}' in '{unit}'; "
                    f"{nearest(word.lower(), UNITS)}, joined by /, * and powers as in eV/Å^3"
                )
            total *= UNITS[found[1].lower()] ** (int(found[2] or 1) * (-1 if place else 1))
    return total


def factors(units: Mapping[str, str]) -> dict[str, float]:
    """The factor of every column."""
    return {name: factor(unit, f"domain.units.{name}") for name, unit in units.items()}
