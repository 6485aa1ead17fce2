"""Crystals as a JSON list in the form of JARVIS and mlearn: `atoms` with a lattice, and numbers beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from exapt.domains.atom_frames import Frame, cell_of, numbers_of, voigt
from exapt.domains.structure import Structure
from exapt.errors import InputError


def read_jarvis(text: IO[str], name: str) -> Iterator[Frame | InputError]:
    """Every entry of the list; raises `InputError` where the file is no such list."""
    try:
        entries = json.load(text)
    except ValueError as error:
        raise InputError(f"{name}: not valid JSON ({error})") from None
    if not isinstance(entries, list):
        raise InputError(f"{name}: expected a list of entries with the key 'atoms', found {type(entries).__name__}")
    for number, entry in enumerate(entries, 1):
        try:
            yield _frame(entry, f"{name}: entry {number}")
        except InputError as mistake:
            yield mistake


def _frame(entry: Any, where: str) -> Frame:
    try:
        atoms = entry["atoms"]
        cell = np.asarray(atoms["lattice_mat"], dtype=np.float64)
        places = np.asarray(atoms["coords"], dtype=np.float64).reshape(-1, 3)
        symbols = [str(s) for s in atoms["elements"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: no atoms with lattice_mat, coords and elements ({error})") from None
    if cell.shape != (3, 3) or len(symbols) != len(places):
        raise InputError(f"{where}: {len(symbols)} elements, {len(places)} coords and a lattice of shape {cell.shape}")
    if not atoms.get("cartesian", False):
        places = places @ cell
    structure = Structure(numbers_of(symbols, where), places[None], cell_of(cell, np.ones(3, dtype=bool), where))
    columns = {
        n: np.asarray(v, dtype=np.float64) if isinstance(v, list) else v for n, v in entry.items() if n != "atoms"
    }
    if "stresses" in columns:
        columns["stresses"] = voigt(columns["stresses"])
    return Frame(structure, where, columns)
