"""The columns of a table: what a value becomes, as a code for a token and as numbers for a linear model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp

from exapt.errors import InputError

Kind = Literal["number", "category"]
Where = Callable[[int], str]
"""The place of a value's row, for messages."""
ABSENT = 0
"""The code of a missing value; present ones follow."""
UNKNOWN = -1
"""The code of a category that was not seen when the column was learnt."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: cut at quantiles for tokens, standardised for a linear model."""

    name: str
    edges: list[float]
    """Ascending; a value equal to an edge lies above it."""
    mean: float
    spread: float

    @property
    def size(self) -> int:
        """How many codes there are, the missing one included."""
        return len(self.edges) + 2

    @classmethod
    def learn(cls, name: str, values: np.ndarray, bins: int) -> Self | None:
        """From the values (n,) of a corpus, NaN where missing; None where all are the same."""
        known = values[~np.isnan(values)]
        distinct = np.unique(known)
        if len(distinct) < 2:
            return None
        if len(distinct) <= bins:
            edges = (distinct[1:] + distinct[:-1]) / 2
        else:
            edges = np.unique(np.quantile(known, np.arange(1, bins) / bins))
        return cls(name, edges.tolist(), float(known.mean()), float(known.std()))

    def codes(self, values: Sequence[Any], missing: Collection[str], where: Where) -> np.ndarray:
        """(n,) which interval each value lies in, from 1."""
        found = numbers(self.name, values, missing, where)
        return np.where(np.isnan(found), ABSENT, np.searchsorted(self.edges, found, side="right") + 1)

    def features(self, values: np.ndarray) -> sp.csr_matrix:
        """(n, 2) the standardised value, 0 where missing, and whether it is missing; from values (n,) with NaN."""
        absent = np.isnan(values)
        scaled = np.where(absent, 0.0, (values - self.mean) / (self.spread or 1.0))
        return sp.csr_matrix(np.column_stack([scaled, absent]).astype(np.float32))

    def word(self, code: int) -> str:
        """A code in words."""
        bounds = ["−∞", *(f"{edge:g}" for edge in self.edges), "∞"]
        return f"{self.name}=?" if code == ABSENT else f"{self.name}={bounds[code - 1]}…{bounds[code]}"

    def plain(self) -> dict[str, Any]:
        """What `column_of` reads back."""
        return {"kind": "number", **asdict(self)}


@dataclass(frozen=True)
class Category:
    """A column of words."""

    name: str
    values: list[str]
    """Known categories, sorted; code i + 1 is the i-th."""

    @property
    def size(self) -> int:
        """How many codes there are, the missing one included."""
        return len(self.values) + 1

    @classmethod
    def learn(cls, name: str, values: Sequence[Any], missing: Collection[str], most: int) -> Self | None:
        """The commonest categories of a corpus; None where all rows hold the same."""
        counts = Counter(word(value) for value in values)
        if len(counts) < 2:
            return None
        ranked = sorted((w for w in counts if w not in missing), key=lambda w: (-counts[w], w))
        return cls(name, sorted(ranked[:most]))

    def codes(self, values: Sequence[Any], missing: Collection[str], where: Where) -> np.ndarray:
        """(n,) which category each value is, from 1; `UNKNOWN` where it is none of them."""
        known = {value: code for code, value in enumerate(self.values, 1)} | dict.fromkeys(missing, ABSENT)
        return np.array([known.get(word(value), UNKNOWN) for value in values], dtype=np.int64)

    def one_hot(self, codes: np.ndarray) -> sp.csr_matrix:
        """(n, size) which category, or missing; a row of zeros where it is unknown."""
        rows = np.flatnonzero(codes != UNKNOWN)
        ones = np.ones(len(rows), dtype=np.float32)
        return sp.csr_matrix((ones, (rows, codes[rows])), shape=(len(codes), self.size))

    def word(self, code: int) -> str:
        """A code in words."""
        return f"{self.name}={'?' if code == ABSENT else self.values[code - 1]}"

    def plain(self) -> dict[str, Any]:
        """What `column_of` reads back."""
        return {"kind": "category", **asdict(self)}


Column = Number | Category


def column_of(plain: dict[str, Any]) -> Column:
    """A column from its plain data."""
    rest = {key: value for key, value in plain.items() if key != "kind"}
    return Number(**rest) if plain["kind"] == "number" else Category(**rest)


def learn_column(
    name: str, values: Sequence[Any], kind: Kind | None, missing: Collection[str], where: Where, bins: int, most: int
) -> Column | None:
    """A column from a corpus; its kind, if not given, is number where every value is one. None where it is constant."""
    if (kind or kind_of(values, missing)) == "number":
        return Number.learn(name, numbers(name, values, missing, where), bins)
    return Category.learn(name, values, missing, most)


def kind_of(values: Sequence[Any], missing: Collection[str]) -> Kind:
    """`number` where every value that is there is one (truth values are not), else `category`."""
    there = [value for value in values if word(value) not in missing]
    plain = all(not isinstance(value, bool) and math.isfinite(as_number(value)) for value in there)
    return "number" if there and plain else "category"


def numbers(name: str, values: Sequence[Any], missing: Collection[str], where: Where) -> np.ndarray:
    """(n,) float64, NaN where missing; anything else that is no finite number raises `InputError`."""
    found = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        if word(value) in missing:
            continue
        found[place] = as_number(value)
        if not math.isfinite(found[place]):
            raise InputError(
                f"{where(place)}: '{name}' holds {str(value)!r:.40}, which is no number; correct it, add it to "
                f"domain.missing, or set domain.kinds.{name}=category"
            )
    return found


def as_number(value: Any) -> float:
    """A number, or NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def word(value: Any) -> str:
    """A cell as a word without outer blanks; nothing, or NaN, is the empty word."""
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124
