"""What reading yields: pieces of consecutive records, with where they stand for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from exapt.domains.base import MISSING, Arrays, Source
from exapt.domains.opening import File
from exapt.errors import InputError, nearest

ROWS = 4096
"""How many records of a table stand in one piece."""


@dataclass(frozen=True)
class Letters:
    """Sequences as bytes, end to end."""

    codes: np.ndarray
    """(N,) uint8, one byte a letter."""
    lengths: np.ndarray
    """(n,) letters of each sequence."""
    names: Sequence[str] = ()
    """(n,) record names, where the file gives them."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """From strings; a letter outside Latin-1 becomes '?', which no alphabet holds."""
        joined = "".join(texts).encode("latin-1", errors="replace")
        return cls(np.frombuffer(joined, np.uint8), np.array([len(t) for t in texts], dtype=np.int64))

    def head(self, count: int) -> Letters:
        """The first sequences."""
        kept = int(self.lengths[:count].sum())
        return Letters(self.codes[:kept], self.lengths[:count], self.names[:count])


@dataclass(frozen=True)
class Piece:
    """Consecutive records of one file."""

    file: str
    values: Sequence[Any] | np.ndarray | Letters
    """Texts, sequences or pictures."""
    first: int = 1
    """The number of the first record in its file, counted from 1."""
    noun: str = "row"
    """What the file calls a record: row, line, record."""
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    goes_on: bool = False
    """Whether the first record carries on the last one of the piece before."""
    names: Sequence[str] = ()
    """(n,) what each record is called, where it is a file of its own."""
    left_out: int = 0
    """How many records were left out here because a file of labels does not name them."""

    def __len__(self) -> int:
        return len(self.values.lengths) if isinstance(self.values, Letters) else len(self.values)

    def where(self, index: int) -> str:
        """File and record, for messages."""
        if isinstance(self.values, Letters) and self.values.names:
            return f"{self.file}: record '{self.values.names[index]}'"
        if self.names:
            return self.names[index]
        return f"{self.file}: {self.noun} {self.first + index}"

    def head(self, count: int) -> Piece:
        """The first records."""
        values = self.values.head(count) if isinstance(self.values, Letters) else self.values[:count]
        columns = {k: v[:count] for k, v in self.columns.items()}
        return replace(self, values=values, columns=columns, names=self.names[:count])


@dataclass(frozen=True)
class Wanted:
    """Which columns of a source to read."""

    value: str | None
    """The column of the text, sequence or picture; None takes the first of `usual`."""
    usual: tuple[str, ...]
    labels: tuple[str, ...] = ()
    group: str | None = None
    split: str | None = None
    mask: str | None = None
    whole: bool = False
    """Read every column; none of them is the value."""
    header: tuple[str, ...] = ()
    """The columns' names, where the file does not give them."""

    @classmethod
    def of(cls, source: Source | Arrays, usual: tuple[str, ...], whole: bool = False) -> Self:
        label = source.label
        labels = (label,) if isinstance(label, str) else tuple(label or ())
        named: dict[str, Any] = {"value": None}
        if isinstance(source, Source):
            named = {"value": source.column, "mask": source.mask, "header": tuple(source.header or ())}
        return cls(**named, usual=usual, labels=labels, group=source.group, split=source.split, whole=whole)

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """Which columns are label, group and split."""
        named = {"label": self.labels, "group": (self.group,), "split": (self.split,)}
        return {role: tuple(n for n in names if n) for role, names in named.items() if any(names)}

    @property
    def others(self) -> list[str]:
        """Every column beside the value, each once."""
        names = [*self.labels, self.group, self.split, self.mask]
        return list(dict.fromkeys(n for n in names if n))

    def others_of(self, there: Sequence[str]) -> list[str]:
        """The columns to read beside the value from a file that holds these."""
        return list(dict.fromkeys([*there, *self.others])) if self.whole else self.others

    def pick_value(self, there: Sequence[str], file: str) -> str:
        """The name of the value's column among those there; else an `InputError` that lists them."""
        if self.whole:
            return there[0]
        if self.value is not None:
            return require(self.value, there, file)
        lower = {name.lower(): name for name in reversed(there)}
        for name in self.usual:
            if name in lower:
                return lower[name]
        names = " or ".join(self.usual)
        raise InputError(f"{file}: no column named {names}; set column to one of: {', '.join(there) or 'none'}")


def require(name: str, there: Iterable[str], file: str) -> str:
    """The name, when it is there; else an `InputError` that lists the columns."""
    options = list(there)
    if name not in options:
        raise InputError(f"{file}: no column '{name}'; {nearest(name, options)}")
    return name


def from_file(file: File) -> dict[str, str]:
    """Columns that every file gives: its name, and its folder (also as `label`)."""
    folder = file.within.parent.name or file.path.parent.name
    return {"file": str(file.within), "folder": folder, "label": folder}


def first_records(pieces: Iterable[Piece], limit: int | None) -> Iterator[Piece]:
    """At most `limit` records."""
    left = limit
    for piece in pieces:
        if left is None:
            yield piece
            continue
        new = len(piece) - piece.goes_on
        if new > left:
            if left + piece.goes_on:
                yield piece.head(left + piece.goes_on)
            return
        yield piece
        left -= new


def finish_columns(piece: Piece, wanted: Wanted) -> Piece:
    """Columns as asked for: masked labels missing, and FLIP's validation rows folded into the split."""
    result = dict(piece.columns)
    validation = companion(wanted.split, result)
    if wanted.split and validation:
        flags = [str(v).lower() == "true" for v in result.pop(validation)]
        result[wanted.split] = [
            "valid" if f and s == "train" else s for s, f in zip(result[wanted.split], flags, strict=True)
        ]
    if wanted.mask:
        masks = result.pop(wanted.mask)
        for name in wanted.labels:
            result[name] = [
                hide(label, mask, piece, i) for i, (label, mask) in enumerate(zip(result[name], masks, strict=True))
            ]
    if wanted.whole:
        result = {name: [_cell(value) for value in values] for name, values in result.items()}
    return replace(piece, columns=result)


def _cell(value: Any) -> Any:
    """A table's value as JSON holds it: dates and the like are words."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def companion(split: str | None, there: Iterable[str]) -> str | None:
    """The column `validation` that belongs to a split column `set`, if it is there."""
    if split is None or split.lower() != "set":
        return None
    return next((name for name in there if name.lower() == "validation"), None)


def hide(label: Any, mask: Any, piece: Piece, index: int) -> Any:
    """A per-element label with its masked elements missing; both must be strings or lists of one length."""
    if not hasattr(label, "__len__") or not hasattr(mask, "__len__") or len(label) != len(mask):
        raise InputError(
            f"{piece.where(index)}: the mask must be as long as the label: {str(mask)[:30]} against {str(label)[:30]}"
        )
    shown = [str(m) not in ("0", "False", "0.0") for m in mask]
    if isinstance(label, str):
        return "".join(letter if s else MISSING for letter, s in zip(label, shown, strict=True))
    return [value if s else None for value, s in zip(label, shown, strict=True)]


def as_column(values: Sequence[Any]) -> np.ndarray:
    """(n,) whole numbers as int64, numbers (None is NaN) as float64, short words as str, all else as objects."""
    kinds = {type(value) for value in values}
    if kinds <= {int, bool} or (kinds and all(issubclass(k, np.integer | np.bool_) for k in kinds)):
        return np.array(values, dtype=np.int64)
    if kinds <= {int, float, bool, type(None)} or (kinds and all(issubclass(k, np.floating) for k in kinds)):
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if kinds <= {str, type(None), np.str_}:
        texts = ["" if v is None else str(v) for v in values]
        if max(map(len, texts)) <= 64:
            return np.array(texts)
        return np.array(texts, dtype=object)
    plain = [v.tolist() if isinstance(v, np.ndarray) else v for v in values]
    return np.fromiter(plain, dtype=object, count=len(plain))


def as_objects(rows: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) arrays, whatever their shapes, as the values of a column."""
    column = np.empty(len(rows), dtype=object)
    for place, row in enumerate(rows):
        column[place] = row
    return column


HEADER_VALUE = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)")


def header_values(header: str) -> dict[str, str]:
    """The `key=value` pairs of a FASTA header, its first word as `id` and the whole as `header`."""
    name = header.split(None, 1)[0] if header.strip() else ""
    return {"header": header, "id": name, **dict(HEADER_VALUE.findall(header))}
