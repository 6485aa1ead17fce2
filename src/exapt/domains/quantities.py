"""Quantities: an example is one measurement, a row of positive numbers that stand in powers of each other.

A row becomes the logarithms of its quantities, and the number of the regime that it lies in. Shapes: B examples, k
quantities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from exapt.batch import Batch
from exapt.domains.base import Arrays, Dataset, Domain, Example, Inputs, Masked, Source
from exapt.domains.columns import as_number, word
from exapt.domains.correlations import SCHEMES, correlation
from exapt.domains.groups import Groups
from exapt.domains.hashing import mix
from exapt.domains.pieces import Piece, Wanted, as_column, first_records, require
from exapt.domains.records import open_source
from exapt.domains.table import ROWS
from exapt.domains.targets import targets_of
from exapt.errors import InputError
from exapt.files import write_json
from exapt.spec import Spec

MISSING = frozenset(("", "?", "NA", "N/A", "NaN", "nan", "null", "None"))
"""What a cell without a value says."""


class Regimes(Spec):
    """Where one law ends and another begins, such as laminar and turbulent flow."""

    column: str
    """The quantity that tells regimes apart, such as Re."""
    at: list[float] = Field(min_length=1)
    """Its values where a new regime begins, ascending; a value equal to one lies in the new regime."""

    @model_validator(mode="after")
    def _ascending(self) -> Regimes:
        if any(b <= a for a, b in zip(self.at, self.at[1:], strict=False)):
            raise ValueError(f"at: {self.at} is not ascending; sort the values and give each once")
        return self


class QuantitiesSpec(Spec):
    """Engineering data: which columns multiply, and how they are made of what was measured."""

    kind: Literal["quantities"] = "quantities"
    columns: list[str] = Field(min_length=1)
    """The quantities, by the names of their columns or of `groups`. All must be positive."""
    absent: list[str] = []
    """Quantities that a file may lack; there they count as 1, so they multiply by 1."""
    groups: dict[str, str] = {}
    """Dimensionless groups as products and sums of columns, such as `Re: "velocity * diameter / viscosity"`."""
    units: dict[str, str] = {}
    """The unit of every column that a group is made of, such as `velocity: m/s`; `1` for none. A header
    `velocity [m/s]` says it too."""
    regimes: Regimes | None = None
    """Where laws change; None: one law."""

    @model_validator(mode="after")
    def _named(self) -> QuantitiesSpec:
        for name in [*self.absent, *([self.regimes.column] if self.regimes else [])]:
            if name not in self.columns:
                raise ValueError(f"'{name}' is none of columns ({', '.join(self.columns)})")
        twice = next((name for name in self.columns if self.columns.count(name) > 1), None)
        if twice:
            raise ValueError(f"columns: '{twice}' stands there twice")
        unused = next((name for name in self.groups if name not in self.columns), None)
        if unused:
            raise ValueError(f"groups.{unused} is none of columns ({', '.join(self.columns)}); add it there")
        return self

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> QuantitiesDomain:
        """Learn from a corpus how large the logarithms are, for the network; the laws need none of it."""
        one = QuantitiesDomain(self, [0.0] * len(self.columns), [1.0] * len(self.columns))
        if corpus is None:
            return one
        logs = one.logarithms(one.read(corpus, cache))[1]
        spread = logs.std(0)
        return QuantitiesDomain(self, logs.mean(0).tolist(), np.where(spread > 1e-9, spread, 1.0).tolist())

    def restore(self, folder: Path, learned: dict[str, Any]) -> QuantitiesDomain:
        """The domain that was saved in a folder."""
        return QuantitiesDomain(self, learned["mean"], learned["spread"])


@dataclass(frozen=True)
class RowStore:
    """Rows of numbers (n, 1 + k), one element each."""

    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.rows[index])

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) ones."""
        return np.ones(len(self.rows), dtype=np.int64)

    def fingerprint(self) -> str:
        """A hash of the numbers."""
        return hashlib.sha256(np.ascontiguousarray(self.rows).tobytes()).hexdigest()[:32]


class QuantitiesDomain(Domain):
    """Rows of positive numbers, as logarithms."""

    baseline: ClassVar[str] = "logarithms of the quantities"

    def __init__(self, spec: QuantitiesSpec, mean: list[float], spread: list[float]) -> None:
        self.spec: QuantitiesSpec = spec
        self.mean, self.spread = mean, spread
        """(k,) of the corpus's logarithms; 0 and 1 for what it lacks."""
        self.groups = Groups(spec.groups, spec.units)
        regimes = 1 + (len(spec.regimes.at) if spec.regimes else 0)
        self.inputs = Inputs(
            "quantities",
            features=len(spec.columns),
            regimes=regimes,
            length=1,
            mean=tuple(mean),
            spread=tuple(spread),
        )

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """Raises `InputError` for a value that has no logarithm, naming row and column."""
        wanted = Wanted.of(source, (), whole=True)
        for name in wanted.others:
            if name in self.spec.columns:
                raise InputError(
                    f"{source.path}: '{name}' is a label, group or split, and stands in domain.columns too"
                )
        pieces = list(_pieces(source))
        if not sum(len(piece) for piece in pieces):
            raise InputError(f"{source.path}: no rows in it; expected {ROWS.what}")
        rows = np.concatenate([self._rows(piece) for piece in pieces])
        columns = {n: as_column([v for p in pieces for v in _taken(p, n)]) for n in wanted.others}
        return Dataset(RowStore(rows), np.arange(len(rows)), columns, source=source.path, roles=wanted.roles)

    def logarithms(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """(n,) regimes and (n, k) natural logarithms, in float64."""
        rows = np.array([dataset.store[int(row)] for row in dataset.rows]).reshape(len(dataset), -1)
        return rows[:, 0].astype(np.int64), rows[:, 1:]

    def collate(self, examples: Sequence[Example]) -> Batch:
        rows = [e.inputs for e in examples]
        return Batch(
            inputs=torch.from_numpy(np.stack(rows) if rows else np.zeros((0, 1 + self.inputs.features))),
            offsets=torch.arange(len(examples) + 1),
            targets=targets_of(examples),
            index=torch.tensor([example.index for example in examples], dtype=torch.long),
        )

    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        """Refused: a row is one element, and nothing would be left to predict it from."""
        raise InputError("domain quantities: a row has nothing to hide; valid: objective.kind=powerlaw")

    def fingerprints(self, example: Example) -> np.ndarray:
        """(1,) a hash of the row, to six digits."""
        rounded = np.round(np.asarray(example.inputs), 6) + 0.0
        return mix(np.frombuffer(hashlib.sha256(rounded.tobytes()).digest()[:8], np.uint64).copy())

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Logarithms: a linear model of the label's logarithm (`task.log`) is then a power law."""
        return [self.logarithms(dataset)[1] for dataset in (train, *others)]

    def describe(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"kind": "quantities", "element": "row", "length": 1}
        facts |= {"quantities": self.spec.columns}
        return facts | {"groups": self.spec.groups, "regimes": self.inputs.regimes}

    def save(self, folder: Path) -> None:
        write_json(
            folder / "domain.json", {"spec": self.spec.plain(), "learned": {"mean": self.mean, "spread": self.spread}}
        )

    def _rows(self, piece: Piece) -> np.ndarray:
        """(n, 1 + k) regimes and logarithms of one piece."""
        logs = [np.log(self._values(piece, name)) for name in self.spec.columns]
        regime = np.zeros(len(piece))
        if self.spec.regimes is not None:
            deciding = logs[self.spec.columns.index(self.spec.regimes.column)]
            regime = np.searchsorted(np.log(self.spec.regimes.at), deciding, side="right").astype(float)
        return np.column_stack([regime, *logs])

    def _values(self, piece: Piece, name: str) -> np.ndarray:
        """(n,) positive numbers."""
        if name in self.groups.formulas:
            values = self.groups.of(name, piece, lambda column: _numbers(piece, column))
        elif name in self.spec.absent and name not in piece.columns:
            return np.ones(len(piece))
        else:
            values = _numbers(piece, require(name, piece.columns, piece.file))
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(bad):
            found = "missing" if np.isnan(values[bad[0]]) else f"{values[bad[0]]:g}"
            raise InputError(f"{piece.where(int(bad[0]))}: '{name}' is {found}; a logarithm needs a positive number")
        return values


def _numbers(piece: Piece, name: str) -> np.ndarray:
    """(n,) a column, NaN where a cell says nothing."""
    found = np.array([np.nan if word(v) in MISSING else as_number(v) for v in piece.columns[name]], dtype=np.float64)
    for place in np.flatnonzero(~np.isfinite(found)):
        value = piece.columns[name][place]
        if word(value) not in MISSING:
            raise InputError(f"{piece.where(int(place))}: '{name}' holds {str(value)!r:.40}, which is no number")
    return found


def _taken(piece: Piece, name: str) -> list[Any]:
    return piece.columns[require(name, piece.columns, piece.file)]


def _pieces(source: Source | Arrays) -> list[Piece]:
    if isinstance(source, Source) and source.path.startswith(SCHEMES):
        columns = {name: values.tolist() for name, values in correlation(source.path).items()}
        return list(first_records([Piece(source.path, next(iter(columns.values())), 1, "row", columns)], source.limit))
    return list(open_source(source, ROWS).pieces())
