"""Protein Data Bank files: every atom given, with the residue it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np

from exapt.domains.atom_frames import NUMBERS, Frame
from exapt.domains.base import MISSING
from exapt.domains.structure import Structure
from exapt.errors import InputError

LETTERS = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V", "MSE": "M",
}  # fmt: skip
"""Amino acids by their three letters."""


class Line(NamedTuple):
    """What an ATOM line says."""

    number: int
    place: tuple[float, float, float]
    name: str
    residue: str
    key: str
    """Chain, number and insertion of the residue."""


BACKBONE = frozenset({"N", "CA", "C", "O"})
"""What every residue has, whatever its side chain."""


def read_pdb(lines: IO[str], name: str, backbone_only: bool = False) -> Iterator[Frame | InputError]:
    """A frame for every model, of all its atoms or of amino acids' backbones alone.

    Columns: `residue` (n,) which residue each atom is of, counted from 0; `amino_acid` one letter an atom, the amino
    acid at each Cα and '?' elsewhere; `sequence` a letter a residue.
    """
    atoms: list[Line] = []
    model = 1
    for number, text in enumerate(lines, 1):
        if text.startswith("ENDMDL"):
            yield _frame(atoms, f"{name}: model {model}")
            atoms, model = [], model + 1
        elif text.startswith(("ATOM  ", "HETATM")) and text[16] in " A1":
            if backbone_only and (text[12:16].strip() not in BACKBONE or text[17:20].strip() not in LETTERS):
                continue
            try:
                atoms.append(_line(text, f"{name}: line {number}"))
            except InputError as mistake:
                yield mistake
                return
    if atoms or model == 1:
        yield _frame(atoms, name if model == 1 else f"{name}: model {model}")


def _line(text: str, where: str) -> Line:
    text = text.rstrip("\n").ljust(80)
    try:
        place = (float(text[30:38]), float(text[38:46]), float(text[46:54]))
    except ValueError:
        raise InputError(f"{where}: columns 31 to 54 hold no coordinates: '{text[30:54]}'") from None
    name = text[12:16]
    element = text[76:78].strip().capitalize() or name[:2].strip(" 0123456789").capitalize()
    number = NUMBERS.get(element) or NUMBERS.get(name.strip(" 0123456789")[:1], 0)
    if not number:
        raise InputError(f"{where}: the unknown element '{element}'; valid: H to Og in columns 77 and 78")
    return Line(number, place, name.strip(), text[17:20].strip(), text[21:27])


def _frame(lines: list[Line], where: str) -> Frame | InputError:
    if not lines:
        return InputError(f"{where}: no ATOM line in it")
    keys = [line.key for line in lines]
    first = np.array([i == 0 or key != keys[i - 1] for i, key in enumerate(keys)])
    residue = first.cumsum() - 1
    letters = [LETTERS.get(line.residue, MISSING) for line in lines]
    at_alpha = "".join(c if line.name == "CA" else MISSING for c, line in zip(letters, lines, strict=True))
    sequence = "".join(c for c, begins in zip(letters, first, strict=True) if begins)
    numbers = np.array([line.number for line in lines], dtype=np.int64)
    places = np.array([line.place for line in lines], dtype=np.float64)
    columns = {"residue": residue, "amino_acid": at_alpha, "sequence": sequence}
    return Frame(Structure(numbers, places[None]), where, columns)
