"""Extended XYZ, read frame by frame: ASE's reader takes about 6 ms a molecule, this one some hundredths of that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from exapt.domains.atom_frames import Frame, cell_of, charge_and_spin, numbers_of, voigt
from exapt.domains.structure import Structure
from exapt.errors import InputError

PAIR = re.compile(
    r"""([^\s="'{}\[\]]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|\{([^}]*)\}|(\[[^\]]*(?:\],?\s*)*\])|(\S+)))?"""
)
PLAIN = "species:S:1:pos:R:3"
SPECIES, PLACES = ("species", "symbols", "Z", "numbers"), ("pos", "positions")
TRUE, FALSE = ("T", "True", "TRUE", "true"), ("F", "False", "FALSE", "false")


def read_extxyz(lines: IO[str], name: str) -> Iterator[Frame | InputError]:
    """Every frame; one that cannot be read is given as its mistake. Raises `InputError` where a file ends early."""
    number = 0
    for line in lines:
        if not line.strip():
            continue
        number += 1
        where = f"{name}: frame {number}"
        if not line.strip().isdecimal():
            raise InputError(f"{where}: expected the number of atoms, found '{line.strip()[:40]}'")
        count = int(line)
        comment = next(lines, "")
        rows = [row for _, row in zip(range(count), lines, strict=False)]
        if len(rows) < count:
            raise InputError(f"{where}: the file ends after {len(rows)} of {count} atoms")
        try:
            yield _frame(comment, rows, where)
        except InputError as mistake:
            yield mistake


STRESSES = ("stress", "virial", "REF_stress", "REF_virial", "dft_stress", "dft_virial")
"""What holds a symmetric 3 × 3 matrix, which is kept as six numbers."""


def _frame(comment: str, rows: list[str], where: str) -> Frame:
    info = parse_comment(comment)
    atoms = _atoms(str(info.pop("Properties", PLAIN)), rows, where)
    symbols = next((atoms.pop(n) for n in SPECIES if n in atoms), None)
    places = next((atoms.pop(n) for n in PLACES if n in atoms), None)
    if symbols is None or places is None:
        raise InputError(f"{where}: Properties names no species or no pos; found {', '.join(atoms) or 'nothing'}")
    lattice = info.pop("Lattice", None)
    given = info.pop("pbc", None)
    periodic = np.full(3, lattice is not None) if given is None else np.asarray(given, dtype=bool).reshape(-1)
    if (lattice is not None and np.size(lattice) != 9) or periodic.shape != (3,):
        raise InputError(f"{where}: Lattice takes 9 numbers and pbc 3 of T or F; found '{comment.strip()[:60]}'")
    for name in STRESSES:
        if name in info:
            info[name] = voigt(info[name])
    structure = Structure(
        numbers_of([str(s) for s in symbols.tolist()], where),
        places.reshape(1, -1, 3),
        cell_of(lattice, periodic, where),
        *charge_and_spin(info),
    )
    return Frame(structure, where, {**info, **atoms})


def _atoms(properties: str, rows: list[str], where: str) -> dict[str, np.ndarray]:
    """Columns per atom by name, as `Properties` says."""
    parts = properties.split(":")
    fields = [row.split() for row in rows]
    widths = [int(w) for w in parts[2::3]] if all(w.isdecimal() for w in parts[2::3]) else []
    if len(parts) % 3 or not widths:
        raise InputError(f"{where}: Properties '{properties[:60]}' is not name:type:columns, repeated")
    short = next((i for i, f in enumerate(fields) if len(f) < sum(widths)), None)
    if short is not None:
        raise InputError(f"{where}: atom {short + 1} has {len(fields[short])} columns, Properties {sum(widths)}")
    found, at = {}, 0
    for name, kind, width in zip(parts[::3], parts[1::3], widths, strict=True):
        found[name] = _column([f[at : at + width] for f in fields], kind, width, f"{where}: '{name}'")
        at += width
    return found


def _column(cells: list[list[str]], kind: str, width: int, where: str) -> np.ndarray:
    try:
        if kind == "R":
            values = np.array([[float(c) for c in row] for row in cells], dtype=np.float64)
        elif kind == "I":
            values = np.array([[int(c) for c in row] for row in cells], dtype=np.int64)
        else:
            values = np.array([[c in TRUE for c in row] if kind == "L" else row for row in cells])
    except ValueError as error:
        raise InputError(f"{where} holds what is no number ({error})") from None
    return values.reshape(-1) if width == 1 else values.reshape(-1, width)


def parse_comment(line: str) -> dict[str, Any]:
    """The `key=value` pairs of a comment line; a word alone is True, and a line without any pair gives nothing."""
    if "=" not in line:
        return {}
    found: dict[str, Any] = {}
    for match in PAIR.finditer(line):
        key, *values = match.groups()
        text = next((v for v in values if v is not None), None)
        found[key] = True if text is None else value_of(text, quoted=values[0] is not None)
    return found


def value_of(text: str, quoted: bool = False) -> Any:
    """A number, an array of numbers or of T and F, JSON after `_JSON`, or the words themselves."""
    if text.startswith("_JSON"):
        try:
            held = json.loads(text.removeprefix("_JSON").replace('\\"', '"'))
        except ValueError:
            return text
        return np.array(held, dtype=np.float64) if _numeric(held) else held
    words = text.strip("[]").replace(",", " ").split() if text[:1] == "[" or " " in text.strip() else [text]
    parsed = [_word(word) for word in words]
    if not parsed or any(p is None for p in parsed):
        return text.replace('\\"', '"')
    if len(parsed) == 1 and text[:1] != "[":
        return parsed[0]
    return np.array(parsed)


def _word(word: str) -> int | float | bool | None:
    if word in TRUE or word in FALSE:
        return word in TRUE
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return None


def _numeric(held: Any) -> bool:
    if isinstance(held, list):
        return bool(held) and all(_numeric(h) for h in held)
    return isinstance(held, int | float) and not isinstance(held, bool)
