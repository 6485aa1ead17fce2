"""One head of `properties`: which column it learns, what kind of label that holds, and what the corpus decides."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from exapt.domains.base import MISSING
from exapt.spec import Spec

Kind = Literal["value", "values", "classes", "binary", "vector"]
Per = Literal["example", "element"]
NUMERIC: tuple[Kind, ...] = ("value", "values", "vector")
"""Kinds whose loss is a squared error."""


class PropertySpec(Spec):
    """A head over one column. What is not given is found out, and written out in the artifact."""

    column: str | None = None
    """The column of labels; None: the one that is called as the head is."""
    kind: Kind | None = None
    """`value`: a number; `values`: several; `classes`: one class; `binary`: yes or no; `vector`: three numbers that
    turn with the positions. None: as the column looks. 0 and 1, or yes and no, are binary; words, and whole numbers of
    at most 20 kinds, classes; three numbers of an atom or of a structure of atoms a vector; other numbers values."""
    per: Per | None = None
    """Whether an example has one label, or every element its own, in a list or a string as long as the example. None:
    as the column looks."""
    weight: PositiveFloat = 1.0
    """What this head's loss is multiplied with."""
    extensive: bool = False
    """Structures of atoms, `value`s: whether the value grows with the number of atoms, as an energy does. The energy of
    each element by itself, fitted by least squares, is then taken off, and what is left counts per atom."""
    missing: list[str] | None = None
    """Values that mean: not known, beside nothing and NaN, which always do. None: `?`, and for classes and binary -1
    as well."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the labels of elements in a string, such as a space; None: every letter is one."""
    classes: list[str] | None = Field(default=None, min_length=2)
    """The classes in order; None: those found, as numbers or by the alphabet."""
    size: PositiveInt | None = None
    """How many numbers `values` are; None: as many as there are."""
    centre: list[float] | None = None
    """Of numbers: the mean, which is taken off; None: that of the corpus (0 for vectors, which must turn)."""
    scale: list[float] | None = None
    """Of numbers: the unit; None: the standard deviation in the corpus (of vectors the root mean square)."""
    references: dict[int, float] | None = None
    """Of an extensive value: that of each element by its atomic number; None: by least squares on the corpus."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.classes and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes repeat a name")
        if self.extensive and (self.kind not in (None, "value") or self.per == "element"):
            raise ValueError("extensive: only a value of a whole example grows with its atoms; leave extensive out")
        if self.classes and self.kind not in (None, "classes"):
            raise ValueError(f"classes are of kind classes, not {self.kind}; leave one of them out")
        if self.scale and min(self.scale) <= 0:
            raise ValueError("scale must be above 0")
        return self

    @property
    def known(self) -> bool:
        """Whether all that a network needs is written out."""
        if self.kind is None or self.per is None:
            return False
        return bool(self.classes) if self.kind == "classes" else self.kind == "binary" or bool(self.scale)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The words that mean: not known."""
        if self.missing is not None:
            return tuple(self.missing)
        return (MISSING, "-1") if self.kind in ("classes", "binary") else (MISSING,)

    @property
    def columns(self) -> int:
        """How many numbers a label is."""
        return {"values": self.size or 1, "vector": 3}.get(self.kind or "", 1)

    @property
    def outputs(self) -> int:
        """How many numbers a network says of it; of a vector, none but the vector."""
        if self.kind == "classes":
            return len(self.classes or ())
        return 0 if self.kind == "vector" else self.columns
