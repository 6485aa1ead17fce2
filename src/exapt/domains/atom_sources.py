"""From what a user names (a file, a folder, SMILES or ASE atoms in memory, a built-in set) to frames."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from exapt.domains.atom_ase import frame_of, read_by_ase
from exapt.domains.atom_builtin import BUILT_IN, built_in
from exapt.domains.atom_extxyz import read_extxyz
from exapt.domains.atom_frames import Frame
from exapt.domains.atom_jarvis import read_jarvis
from exapt.domains.atom_molecules import from_smiles, read_sdf
from exapt.domains.atom_pdb import read_pdb
from exapt.domains.base import Arrays, Source
from exapt.domains.opening import TABLES, File, ending, find_files
from exapt.domains.pieces import Piece, from_file, require
from exapt.domains.records import Format, open_source
from exapt.domains.structure import Structure
from exapt.errors import InputError
from exapt.spec import digest

if TYPE_CHECKING:
    from exapt.domains.atom_reading import Reading

SMILES = frozenset({".smi", ".smiles", ".txt"})
XYZ = frozenset({".xyz", ".extxyz"})
PDB = frozenset({".pdb", ".ent"})
SDF = frozenset({".sdf", ".mol"})
BY_ASE = {".cif": "cif", ".vasp": "vasp", ".poscar": "vasp", ".xsf": "xsf", ".gen": "gen"}
"""Endings that ASE reads, and its names of the formats: none of them holds Python objects."""
ENDINGS = SMILES | XYZ | PDB | SDF | TABLES | frozenset(BY_ASE) | {".json"}
WHAT = "SMILES (.csv, .smi, .txt), .sdf, .xyz, .pdb, .cif, .vasp, .json"
UNSAFE = frozenset({".traj", ".db", ".pckl", ".pkl", ".pickle", ".bundle"})
"""Formats that may hold Python objects; reading them could run a stranger's code."""
USUAL = ("smiles", "canonical_smiles", "smile", "mol", "structure")
ROWS = Format(usual=USUAL, endings=TABLES, record="line", what=WHAT, whole=True)

Frames = Generator[Frame | InputError, None, None]
"""Structures, and the mistakes of those that cannot be read. Closing it closes the file."""


def frames_of(source: Source | Arrays, reading: Reading) -> Frames:
    """Every structure of a source; one that cannot be read is given as its mistake."""
    if isinstance(source, Arrays):
        yield from _in_memory(source, reading)
    elif source.path.startswith("hf:"):
        yield from _of_table(source, reading)
    elif source.path.startswith(BUILT_IN):
        yield from _built_in(source, reading)
    else:
        for file in _files(source):
            yield from _with_file_columns(file, source, _of_file(file, source, reading))


def contents_of(source: Source) -> str:
    """A hash of what a source names, without where it lies."""
    if source.path.startswith(("hf:", *BUILT_IN)):
        return digest(source.path)
    return digest([[str(file.within), file.checksum()] for file in _files(source)])


def _files(source: Source) -> list[File]:
    suffix = ending(source.path.partition("::")[2] or source.path)
    if suffix in UNSAFE:
        raise InputError(
            f"{source.path}: '{suffix}' files may hold Python objects and are not opened; write it as extended XYZ "
            f"(ase convert {PurePosixPath(source.path).name} atoms.extxyz)"
        )
    return find_files(source.path, ENDINGS, WHAT)


def _of_file(file: File, source: Source, reading: Reading) -> Frames:
    suffix = file.suffix
    if suffix in TABLES:
        yield from _of_table(source.model_copy(update={"path": file.name}), reading)
        return
    with file.open() as raw:
        if suffix in SDF:
            yield from read_sdf(raw, file.name, reading.embedding)
            return
        text = io.TextIOWrapper(raw, encoding="utf-8-sig")
        if suffix in XYZ:
            yield from read_extxyz(text, file.name)
        elif suffix in PDB:
            yield from read_pdb(text, file.name, reading.backbone_only)
        elif suffix in SMILES:
            yield from _of_lines(text, file.name, reading)
        elif suffix == ".json":
            yield from read_jarvis(text, file.name)
        else:
            yield from read_by_ase(text, file.name, BY_ASE[suffix])


def _with_file_columns(file: File, source: Source, frames: Frames) -> Frames:
    """Frames with the columns that every file of a folder gives, where they are asked for."""
    asked = {source.group, source.split, *([source.label] if isinstance(source.label, str) else source.label or ())}
    given = {n: v for n, v in from_file(file).items() if n in asked} if file.root else {}
    with closing(frames):
        for frame in frames:
            if isinstance(frame, Frame):
                frame.columns = given | frame.columns
            yield frame


def _of_lines(lines: io.TextIOBase, name: str, reading: Reading) -> Frames:
    """A SMILES a line, whatever follows it being its name; a first line that says `smiles` is passed over."""
    for number, line in enumerate(lines, 1):
        words = line.split(None, 1)
        if not words or (number == 1 and words[0].lower().startswith("smiles")):
            continue
        columns = {"name": words[1].strip()} if len(words) > 1 else {}
        yield _molecule(words[0], f"{name}: line {number}", columns, reading)


def _of_table(source: Source, reading: Reading) -> Frames:
    """A molecule a row; every other column is kept."""
    for piece in open_source(source, ROWS).pieces():
        column = _smiles_column(piece, source)
        for row, text in enumerate(piece.columns[column]):
            others = {n: v[row] for n, v in piece.columns.items() if n != column}
            yield _molecule(str(text or "").strip(), piece.where(row), others, reading)


def _smiles_column(piece: Piece, source: Source) -> str:
    if source.column is not None:
        return require(source.column, piece.columns, piece.file)
    lower = {name.lower(): name for name in reversed(list(piece.columns))}
    found = next((lower[name] for name in USUAL if name in lower), None)
    if found is None:
        raise InputError(f"{piece.file}: no column named smiles; set column to one of: {', '.join(piece.columns)}")
    return found


def _molecule(text: str, where: str, columns: dict[str, Any], reading: Reading) -> Frame | InputError:
    try:
        frame = from_smiles(text, where, reading.embedding)
    except InputError as mistake:
        return mistake
    frame.columns = columns
    return frame


def _built_in(source: Source, reading: Reading) -> Frames:
    for number, item in enumerate(built_in(source.path), 1):
        where = f"{source.path}: structure {number}"
        yield replace(item, where=where) if isinstance(item, Frame) else _of_value(item[0], where, item[1], reading)


def _in_memory(arrays: Arrays, reading: Reading) -> Frames:
    for name, column in arrays.columns.items():
        if len(column) != len(arrays.values):
            raise InputError(f"{arrays.path}: {len(arrays.values)} examples but {len(column)} values of '{name}'")
    for row, value in enumerate(arrays.values):
        columns = {name: _plain(column[row]) for name, column in arrays.columns.items()}
        yield _of_value(value, f"{arrays.path}: example {row + 1}", columns, reading)


def _of_value(value: Any, where: str, columns: dict[str, Any], reading: Reading) -> Frame | InputError:
    """A SMILES, ASE's atoms, or a `Structure`."""
    if isinstance(value, str):
        return _molecule(value, where, columns, reading)
    if isinstance(value, Structure):
        return Frame(value, where, columns)
    if hasattr(value, "get_atomic_numbers"):
        try:
            frame = frame_of(value, where)
        except InputError as mistake:
            return mistake
        frame.columns |= columns
        return frame
    return InputError(f"{where}: {type(value).__name__}; valid: a SMILES, ase.Atoms, or a Structure")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
