"""Several sources read as one: stores end to end, columns united."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exapt.domains.base import Dataset, Store
from exapt.domains.pieces import as_column, as_objects
from exapt.errors import InputError

SCHEME = re.compile(r"[a-z]{2,}:(?!:)")
"""How names begin that are no paths: `hf:`, `rdkit:`."""
SOURCE = "source"
"""The column that says which source an example came from."""


def joined(parts: Sequence[Dataset], end_to_end: Callable[[Sequence[Store]], Store]) -> Dataset:
    """Data sets one after another. A column that one of them lacks is missing there.

    Raises `InputError` where sources name their groups or splits by different columns, or name the column `source`.
    """
    named = _names(parts)
    columns = {name: _united(name, parts) for name in dict.fromkeys(n for part in parts for n in part.columns)}
    columns[SOURCE] = np.repeat(np.array(named), [len(part) for part in parts])
    first = np.cumsum([0, *(len(part.store) for part in parts)])
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    return Dataset(
        end_to_end([part.store for part in parts]),
        np.concatenate([part.rows + start for part, start in zip(parts, first[:-1], strict=True)]),
        columns,
        source=" + ".join(part.source for part in parts),
        skipped=dict(skipped),
        roles=_roles(parts),
        parts=tuple((part.source, int(start)) for part, start in zip(parts, first[:-1], strict=True)),
    )


def _names(parts: Sequence[Dataset]) -> list[str]:
    """What each source is called: the last part of its path, or the whole name of one that is no file; with a number
    where that is not its alone."""
    names: list[str] = []
    for part in parts:
        name = part.source if SCHEME.match(part.source) else Path(part.source).name or part.source
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _roles(parts: Sequence[Dataset]) -> dict[str, tuple[str, ...]]:
    """Every label that a source names; one group and one split for all."""
    roles: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for role, names in part.roles.items():
            if SOURCE in names:
                raise InputError(
                    f"{part.source}: {role}: '{SOURCE}' is the column that tells several sources apart; "
                    "give the file's own column another name"
                )
            before = roles.get(role, ())
            if role != "label" and before and before != names:
                raise InputError(
                    f"{part.source}: its {role} is the column '{names[0]}', that of the sources before it "
                    f"'{before[0]}'; give both columns one name"
                )
            roles[role] = tuple(dict.fromkeys([*before, *names]))
    return roles


def _united(name: str, parts: Sequence[Dataset]) -> np.ndarray:
    """(n,) a column over all sources."""
    there = [part.columns[name] for part in parts if name in part.columns]
    if len(there) == len(parts) and len({column.dtype.kind for column in there}) == 1:
        return np.concatenate(there)
    shape = _shape(name, parts)
    if shape is not None:
        return as_objects([row for part in parts for row in _arrays(part.columns.get(name), part, *shape)])
    return as_column([value for part in parts for value in _values(part.columns.get(name), len(part))])


def _values(column: np.ndarray | None, count: int) -> list[Any]:
    """A column's values, None for those that are missing."""
    if column is None:
        return [None] * count
    return [None if isinstance(v, float) and np.isnan(v) else v for v in column.tolist()]


def _shape(name: str, parts: Sequence[Dataset]) -> tuple[bool, tuple[int, ...]] | None:
    """Of a column of arrays: whether it has a row for each element, and the shape of the rest; None of any other."""
    columns: Mapping[int, np.ndarray] = {i: part.columns[name] for i, part in enumerate(parts) if name in part.columns}
    held = [value for column in columns.values() if column.dtype == object for value in column]
    if not held or not all(isinstance(value, np.ndarray) for value in held):
        return None
    each = all(
        len(value) == length
        for i, column in columns.items()
        if column.dtype == object
        for value, length in zip(column, parts[i].lengths, strict=True)
    )
    return each, held[0].shape[1:] if each else held[0].shape


def _arrays(column: np.ndarray | None, part: Dataset, each: bool, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Arrays of one type for every example, of NaN where a source has none."""
    if column is not None and column.dtype == object:
        return [value.astype(np.float64) for value in column]
    return [np.full((int(length), *shape) if each else shape, np.nan) for length in part.lengths]
