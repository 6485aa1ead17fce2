"""Tables: an example is a row, and each of its columns one token.

A number's token is the interval between quantiles that it lies in, a category's its own, and every column has ids of
its own. So hiding elements hides columns, and the masked objective learns to fill in cells from the rest of their row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field

from exapt.batch import Batch
from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.cells import CellViews
from exapt.domains.columns import UNKNOWN, Column, Kind, Number, column_of, learn_column, numbers
from exapt.domains.opening import TABLES
from exapt.domains.pieces import Piece, require
from exapt.domains.records import Format, Opened, open_source
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.errors import InputError
from exapt.spec import Spec

ROWS = Format(
    usual=(), endings=TABLES, record="line", what="a .csv, .tsv, .jsonl or .parquet file with named columns", whole=True
)


class TableSpec(Spec):
    """A table: which columns are inputs, and how their values become tokens."""

    kind: Literal["table"] = "table"
    columns: list[str] | None = Field(default=None, min_length=1)
    """The input columns; None: all of the corpus but its label, group and split."""
    without: list[str] = []
    """Columns that are no inputs: names, keys, and a label that stands in the corpus too."""
    kinds: dict[str, Kind] = {}
    """`number` or `category` for single columns; the others are numbers where every value of the corpus is one."""
    bins: int = Field(default=32, ge=2, le=4096)
    """Intervals a number is told apart by, each with like shares of the corpus."""
    categories: int = Field(default=256, ge=1, le=65536)
    """Most categories of a column; rarer ones, and those the corpus does not hold, count as unknown."""
    missing: list[str] = ["", "?", "NA", "N/A", "NaN", "nan", "null", "None"]
    """What a cell without a value says."""
    views: CellViews = CellViews()
    """What objectives that compare views see of a row."""

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> TableDomain:
        """Learn the columns from a corpus; one that is the same in every row is left out, and noted."""
        if corpus is None:
            raise InputError("domain table: its columns are learnt from a corpus; give one")
        opened = open_source(corpus, ROWS)
        pieces = list(opened.pieces())
        names = self._names(pieces, opened)
        found = {name: self._learn(name, pieces) for name in names}
        columns = [column for column in found.values() if column is not None]
        if not columns:
            raise InputError(f"{corpus.path}: every column is the same in all rows; nothing can be learnt from it")
        return TableDomain(self, columns, [name for name, column in found.items() if column is None])

    def restore(self, folder: Path, learned: dict[str, Any]) -> TableDomain:
        """The domain that was saved in a folder."""
        return TableDomain(self, [column_of(plain) for plain in learned["columns"]], learned["constant"])

    def _names(self, pieces: Sequence[Piece], opened: Opened) -> list[str]:
        """The input columns, in the corpus's order."""
        there = list(dict.fromkeys(name for piece in pieces for name in piece.columns))
        path, roles = opened.source.name, {name for one in opened.each() for name in one.wanted.others}
        for name in [*(self.columns or ()), *self.without, *self.kinds]:
            require(name, there, path)
        names = [name for name in self.columns or there if name not in roles.union(self.without)]
        if not names:
            raise InputError(f"{path}: no column is left as an input; there are: {', '.join(there) or 'none'}")
        return names

    def _learn(self, name: str, pieces: Sequence[Piece]) -> Column | None:
        values = [value for piece in pieces for value in _values(piece, name)]
        kind = self.kinds.get(name)
        return learn_column(name, values, kind, set(self.missing), partial(_place, pieces), self.bins, self.categories)


class TableDomain(TokenDomain):
    """Rows with their columns. Every column has a run of ids, the first of which says that its value is missing."""

    baseline: ClassVar[str] = "standardised numbers and one-hot categories"
    ends: ClassVar[bool] = True
    form: ClassVar[Format] = ROWS
    element = "column"

    def __init__(self, spec: TableSpec, columns: list[Column], constant: list[str]) -> None:
        self.starts = PLAIN + np.cumsum([0, *(column.size for column in columns)])
        super().__init__(int(self.starts[-1]), len(columns) + 2)
        self.spec: TableSpec = spec
        self.columns = columns
        self.constant = constant
        """Columns left out because the corpus holds one value of them."""
        self.missing = frozenset(spec.missing)

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """As every domain; raises `InputError` where a label, group or split is an input too."""
        if isinstance(source, Source) and source.column is not None:
            raise InputError(
                f"{source.path}: column '{source.column}': a table's example is its whole row; leave column out, and "
                "choose inputs with domain.columns"
            )
        said = open_source(source, ROWS).wanted.others
        for name in said:
            if name in {column.name for column in self.columns}:
                raise InputError(
                    f"{source.path}: '{name}' is named as label, group or split, and the domain takes it as an input; "
                    f"set domain.without=[{name}]"
                )
        return super().read_one(source, cache)

    def encode_piece(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        ids = np.empty((len(piece), len(self.columns)), dtype=np.int64)
        for place, (column, start) in enumerate(zip(self.columns, self.starts, strict=False)):
            require(column.name, piece.columns, piece.file)
            codes = column.codes(piece.columns[column.name], self.missing, piece.where)
            ids[:, place] = np.where(codes == UNKNOWN, SPECIAL["unknown"], start + codes)
        return ids.reshape(-1), np.full(len(piece), len(self.columns), dtype=np.int64)

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        """Rows with a share of their cells drawn from other rows (`CellViews`)."""
        return [self.spec.views.view(batch, len(self.columns), rng) for _ in range(count)]

    def decode(self, ids: np.ndarray | torch.Tensor) -> str:
        """Column by column, intervals or categories; an unknown one shows as �."""
        return ", ".join(self._word(int(i)) for i in ids if i >= PLAIN or i == SPECIAL["unknown"])

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Numbers standardised as the corpus is, with a sign where they are missing, and one-hot categories."""
        return [self._features(dataset) for dataset in (train, *others)]

    def learned(self) -> dict[str, Any]:
        return {"columns": [column.plain() for column in self.columns], "constant": self.constant}

    def describe(self) -> dict[str, Any]:
        kinds = {c.name: "number" if isinstance(c, Number) else f"{len(c.values)} categories" for c in self.columns}
        return super().describe() | {"columns": kinds, "constant columns left out": self.constant}

    def _word(self, token: int) -> str:
        if token < PLAIN:
            return "�"
        place = int(np.searchsorted(self.starts, token, side="right")) - 1
        return self.columns[place].word(token - int(self.starts[place]))

    def _features(self, dataset: Dataset) -> sp.csr_matrix:
        ids = np.array([dataset.store[int(row)] for row in dataset.rows], dtype=np.int64)
        ids = ids.reshape(len(dataset), len(self.columns))
        blocks = []
        for place, column in enumerate(self.columns):
            if isinstance(column, Number):  # the raw value: its token knows only an interval
                values = dataset.column(column.name).tolist()
                blocks.append(column.features(numbers(column.name, values, self.missing, dataset.where)))
            else:
                codes = ids[:, place] - self.starts[place]
                blocks.append(column.one_hot(np.where(codes < 0, UNKNOWN, codes)))
        return sp.hstack(blocks, format="csr")


def _values(piece: Piece, name: str) -> list[Any]:
    return piece.columns.get(name) or [None] * len(piece)


def _place(pieces: Sequence[Piece], index: int) -> str:
    """Where the row of a number lies, counted over all pieces."""
    for piece in pieces:
        if index < len(piece):
            return piece.where(index)
        index -= len(piece)
    return pieces[-1].file
