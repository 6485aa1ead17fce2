"""From pieces to a data set of tokens: encode, leave out what is empty, keep the columns, cache the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exapt.domains.base import Arrays, Dataset
from exapt.domains.caching import cached
from exapt.domains.pieces import Piece, as_column
from exapt.domains.records import Opened
from exapt.domains.stores import TokenStore, TokenWriter
from exapt.errors import InputError
from exapt.files import read_json, write_json
from exapt.spec import digest

VERSION = 1
"""Raise it when what is written changes: older caches are then not found."""
Encode = Callable[[Piece], tuple[np.ndarray, np.ndarray]]
"""Piece to ids (N,) and lengths (n,): 0 for an empty record, −1 − r for one that is left out for reason r."""


def read_tokens(
    opened: Opened, encode: Encode, vocabulary: int, key: str, cache: Path | None, reasons: Sequence[str] = ()
) -> Dataset:
    """Every record of a source, encoded; `key` says with which tokenizer. With a cache the ids are memory-mapped.

    `reasons` names why `encode` leaves records out, for the counts of what was skipped.
    """
    dtype = np.min_scalar_type(vocabulary - 1)
    if cache is None or isinstance(opened.source, Arrays):
        store, columns, skipped = _gather(opened, encode, dtype, None, reasons)
        return _dataset(store, columns, skipped, opened)

    def write(folder: Path) -> None:
        store, columns, skipped = _gather(opened, encode, dtype, folder, reasons)
        store.save(folder)
        write_json(folder / "columns.json", columns)
        write_json(folder / "skipped.json", skipped)

    asked = opened.source.model_dump(exclude={"path"})
    folder = cached(cache, f"tokens-{digest([VERSION, key, asked, opened.contents()])}", write)
    store = TokenStore.open(folder)
    return _dataset(store, read_json(folder / "columns.json"), read_json(folder / "skipped.json"), opened)


def _gather(
    opened: Opened, encode: Encode, dtype: np.dtype[Any], folder: Path | None, reasons: Sequence[str]
) -> tuple[TokenStore, dict[str, list[Any]], dict[str, int]]:
    writer = TokenWriter(dtype, folder)
    columns: dict[str, list[Any]] = {}
    left_out = count = 0
    refused = np.zeros(len(reasons), dtype=np.int64)
    try:
        for piece in opened.pieces():
            ids, lengths = encode(piece)
            if opened.wanted.labels:
                _refuse_empty(piece, lengths)
            refused += np.bincount(-1 - lengths[lengths < 0], minlength=len(reasons))
            writer.add(ids, np.maximum(lengths, 0), piece.goes_on)
            for name, values in piece.columns.items():
                columns.setdefault(name, []).extend(values[piece.goes_on :])
            left_out += piece.left_out
            count += len(piece) - piece.goes_on
        store, full = writer.finish()
    finally:
        writer.close()
    if not len(full):
        raise InputError(
            f"{opened.source.path}: no records in it, or only empty ones ({count}); expected {opened.form.what}"
        )
    why = dict(zip(reasons, refused.tolist(), strict=True))
    why |= {"empty": count - len(full) - int(refused.sum()), "without a label": left_out}
    kept = {name: [values[i] for i in full.tolist()] for name, values in columns.items()}
    return store, kept, {reason: n for reason, n in why.items() if n}


def _refuse_empty(piece: Piece, lengths: np.ndarray) -> None:
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        raise InputError(f"{piece.where(int(empty[0]))}: empty, but labelled; fill it in or take the row out")


def _dataset(store: TokenStore, columns: dict[str, list[Any]], skipped: dict[str, int], opened: Opened) -> Dataset:
    arrays = {name: as_column(values) for name, values in columns.items()}
    path, roles = opened.source.path, opened.wanted.roles
    return Dataset(store, np.arange(len(store)), arrays, source=path, skipped=skipped, roles=roles)
