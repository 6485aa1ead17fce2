"""From sources to a data set of structures: read, turn units, refuse or leave out what is wrong, cache the result."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from exapt.domains.atom_frames import Frame
from exapt.domains.atom_molecules import Embedding, same_molecule
from exapt.domains.atom_sources import contents_of, frames_of
from exapt.domains.atom_units import factor, factors
from exapt.domains.atom_warnings import energy_warning
from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.caching import cached
from exapt.domains.pieces import Piece, Wanted, as_column, as_objects, finish_columns, require
from exapt.domains.structure import AtomStore, Structure, check
from exapt.errors import InputError
from exapt.files import read_json, write_json
from exapt.spec import digest

VERSION = 2
"""Raise it when what is written changes: older caches are then not found."""
STORED = ("numbers", "positions", "lengths", "cells", "whole")
"""The arrays of a store."""
LEFT_OUT = "cannot be read"
"""The reason that skipped structures are counted under."""


@dataclass(frozen=True)
class Reading:
    """What decides how files become structures; see `AtomsSpec`."""

    hydrogens: bool
    conformers: int
    seed: int
    embed_length: int
    units: Mapping[str, str]
    closest: float
    length: int
    on_error: Literal["stop", "skip"]
    backbone_only: bool

    @property
    def embedding(self) -> Embedding:
        """How molecules get their places."""
        return Embedding(self.hydrogens, self.conformers, self.seed, self.embed_length)


def read_atoms(source: Source | Arrays, reading: Reading, cache: Path | None = None) -> Dataset:
    """Every structure of a source with its columns; with a cache, read once and found again by content."""
    scale = factors(reading.units)
    if cache is None or isinstance(source, Arrays):
        return _gather(source, reading, scale)

    def write(folder: Path) -> None:
        _save(_gather(source, reading, scale), folder)

    asked = source.model_dump(exclude={"path"})
    key = digest([VERSION, asdict(reading), asked, contents_of(source)])
    return replace(_open(cached(cache, f"atoms-{key}", write)), source=source.path, roles=Wanted.of(source, ()).roles)


def _gather(source: Source | Arrays, reading: Reading, scale: Mapping[str, float]) -> Dataset:
    limit = source.limit if isinstance(source, Source) else None
    frames: list[Frame] = []
    bad = 0
    with closing(frames_of(source, reading)) as every:
        for found in islice(every, limit):
            try:
                frames.append(_checked(found, reading, scale))
            except InputError:
                if reading.on_error == "stop":
                    raise
                bad += 1
    if not frames:
        raise InputError(f"{source.path}: no structure in it{f' can be read ({bad} cannot)' if bad else ''}")
    columns = _finished(_columns(frames), source)
    store = AtomStore.of([f.structure for f in frames], [f.smiles for f in frames])
    warning = energy_warning(store, columns)
    if warning:
        warnings.warn(f"{source.path}: {warning}", stacklevel=1)  # from one place, so that it is said once
    skipped = {LEFT_OUT: bad} if bad else {}
    roles = Wanted.of(source, ()).roles
    return Dataset(store, np.arange(len(store)), columns, source=source.path, skipped=skipped, roles=roles)


def _checked(found: Frame | InputError, reading: Reading, scale: Mapping[str, float]) -> Frame:
    """A frame in eV and Å; raises `InputError` for one that is wrong."""
    if isinstance(found, InputError):
        raise found
    columns = _turned(found, scale)
    structure = found.structure
    if "positions" in scale:
        by = scale["positions"]
        structure = replace(structure, positions=structure.positions * by, cell=structure.cell * by)
    check(structure, found.where, reading.length, reading.closest)
    forces = columns.get("forces")
    if isinstance(forces, np.ndarray) and not np.isfinite(forces).all() and not np.isnan(forces).all():
        atom = int((~np.isfinite(forces.reshape(len(structure), -1))).any(1).argmax())
        raise InputError(
            f"{found.where}: the force on atom {atom + 1} is not a finite number; correct it, or leave all forces out"
        )
    return Frame(structure, found.where, columns, found.smiles or _said(columns, structure))


def _said(columns: Mapping[str, Any], structure: Structure) -> str:
    """The molecule that a column `smiles` names, where it has the structure's atoms; '' where nothing names one."""
    text = columns.get("smiles")
    return same_molecule(text, structure.numbers) if isinstance(text, str) and text else ""


def _turned(frame: Frame, scale: Mapping[str, float]) -> dict[str, Any]:
    """The columns in eV and Å: by `domain.units`, else by what a file says as `energy_unit` and the like."""
    said = {n.removesuffix("_unit"): u for n, u in frame.columns.items() if n.endswith("_unit") and isinstance(u, str)}
    columns = {n: v for n, v in frame.columns.items() if n.removesuffix("_unit") not in said or n in said}
    for name, value in columns.items():
        by = scale.get(name) or (factor(said[name], f"{frame.where}: {name}_unit") if name in said else 1.0)
        if by == 1.0 or value is None:
            continue
        columns[name] = by * (_number(value, f"{frame.where}: '{name}'") if isinstance(value, str) else value)
    return columns


def _number(text: str, where: str) -> float:
    try:
        return float(text) if text.strip() else float("nan")
    except ValueError:
        raise InputError(f"{where} is '{text[:40]}'; domain.units needs a number") from None


def _columns(frames: Sequence[Frame]) -> dict[str, np.ndarray]:
    """(n,) every column of any frame; what a frame lacks is missing."""
    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    return {name: _column([frame.columns.get(name) for frame in frames], frames) for name in names}


def _column(values: list[Any], frames: Sequence[Frame]) -> np.ndarray:
    """Plain values as every field has them; arrays as objects of one type, missing ones of NaN."""
    arrays = [(v, f) for v, f in zip(values, frames, strict=True) if isinstance(v, np.ndarray)]
    if not arrays:
        return as_column(values)
    if not all(np.issubdtype(v.dtype, np.number) or v.dtype == bool for v, _ in arrays):
        return as_column([v.tolist() if isinstance(v, np.ndarray) else v for v in values])
    each = all(len(v) == len(f.structure) for v, f in arrays)
    whole = len(arrays) == len(values) and all(not np.issubdtype(v.dtype, np.floating) for v, _ in arrays)
    shape = arrays[0][0].shape
    column = np.empty(len(values), dtype=object)
    for place, (value, frame) in enumerate(zip(values, frames, strict=True)):
        absent = np.full((len(frame.structure), *shape[1:]) if each else shape, np.nan)
        given = value if isinstance(value, np.ndarray) else absent
        column[place] = given.astype(np.int64 if whole else np.float64)
    return column


def _finished(columns: dict[str, np.ndarray], source: Source | Arrays) -> dict[str, np.ndarray]:
    """With the columns the source names there, masked labels missing, and FLIP's validation folded into the split."""
    wanted = Wanted.of(source, ())
    for name in wanted.others:
        require(name, columns, source.path)
    if wanted.mask is None and wanted.split is None:
        return columns
    named = {n: list(columns[n]) for n in columns if n in wanted.others or n.lower() == "validation"}
    done = finish_columns(Piece(source.path, named[wanted.others[0]], columns=named), wanted).columns
    kept = {n: v for n, v in columns.items() if n not in named}
    return kept | {n: as_column(v) for n, v in done.items()}


def _save(dataset: Dataset, folder: Path) -> None:
    store = dataset.store
    assert isinstance(store, AtomStore)
    arrays = {n: getattr(store, n) for n in STORED}
    plain: dict[str, Any] = {}
    for number, (name, column) in enumerate(dataset.columns.items()):
        plain[name] = _put(column, f"column{number}", arrays)
    np.savez(folder / "atoms.npz", **arrays)
    smiles = store.smiles.tolist()
    write_json(folder / "columns.json", {"columns": plain, "smiles": smiles, "skipped": dict(dataset.skipped)})


def _put(column: np.ndarray, key: str, arrays: dict[str, np.ndarray]) -> Any:
    """A column's place in the archive where it is made of arrays of numbers, else its values."""
    if column.dtype != object or not isinstance(column[0], np.ndarray):
        return {"values": column.tolist()}
    shape = column[0].shape[1:]
    arrays[key] = np.concatenate([v.reshape(-1, *shape) for v in column])
    arrays[f"{key}_lengths"] = np.array([len(v) for v in column], dtype=np.int64)
    return {"stored": key}


def _open(folder: Path) -> Dataset:
    facts = read_json(folder / "columns.json")
    try:
        with np.load(folder / "atoms.npz", allow_pickle=False) as held:
            arrays = dict(held)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise InputError(f"{folder}: a damaged cache ({error}); delete this folder") from None
    store = AtomStore(**{n: arrays[n] for n in STORED}, smiles=facts["smiles"])
    columns = {name: _taken(said, arrays) for name, said in facts["columns"].items()}
    return Dataset(store, np.arange(len(store)), columns, skipped=facts["skipped"])


def _taken(said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if "stored" not in said:
        return as_column(said["values"])
    key = said["stored"]
    return as_objects(np.split(arrays[key], arrays[f"{key}_lengths"].cumsum()[:-1]))
