"""ASE's atoms as frames, and the file formats that ASE reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from exapt.domains.atom_frames import Frame, cell_of, charge_and_spin, voigt
from exapt.domains.structure import Structure
from exapt.errors import InputError

OWN = ("numbers", "positions", "tags", "momenta", "masses", "initial_magmoms", "initial_charges", "spacegroup_kinds")
"""Arrays that ASE keeps for itself."""


def ase() -> Any:
    """The ase package; raises `InputError` where it is not installed."""
    try:
        import ase.io
    except ImportError:
        raise InputError("this format needs ASE: pip install 'exapt[chem]'") from None
    return ase


def frame_of(atoms: Any, where: str) -> Frame:
    """Atoms with what their calculator holds and their info and arrays say."""
    columns = {n: _plain(v) for n, v in atoms.info.items() if isinstance(n, str) and _known(v)}
    columns |= {n: np.array(v) for n, v in atoms.arrays.items() if n not in OWN}
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    columns |= {n: _plain(v) for n, v in results.items() if _known(v)}
    if "stress" in columns:
        columns["stress"] = voigt(columns["stress"])
    periodic = np.asarray(atoms.pbc, dtype=bool)
    vectors = np.asarray(atoms.cell[:], dtype=np.float64)
    structure = Structure(
        np.asarray(atoms.numbers, dtype=np.int64),
        np.asarray(atoms.positions, dtype=np.float64)[None],
        cell_of(vectors, periodic, where),
        *charge_and_spin(columns),
    )
    return Frame(structure, where, columns)


def read_by_ase(text: IO[str], name: str, form: str) -> Iterator[Frame | InputError]:
    """Every structure of a file in one of ASE's formats."""
    reader = ase().io
    try:
        found = list(reader.iread(text, ":", format=form))
    except Exception as error:  # ASE's readers raise many unrelated kinds; each means the file is not what it says
        raise InputError(
            f"{name}: not a {form} file that ASE can read ({str(error)[:120] or type(error).__name__})"
        ) from None
    for number, atoms in enumerate(found, 1):
        try:
            yield frame_of(atoms, f"{name}: structure {number}")
        except InputError as mistake:
            yield mistake


def _known(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | np.generic | np.ndarray)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
