"""Tagging: one class an element, such as a residue's secondary structure."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from exapt.batch import Batch
from exapt.domains.base import MISSING, Dataset
from exapt.domains.label_values import as_long, split
from exapt.domains.labels import choose_classes, listed, one_column, refuse_empty, row
from exapt.errors import InputError
from exapt.tasks.softmax import ClassesSpec, SoftmaxTask

OTHER = "other"
"""Every class but the one that `against` names."""


class TagSpec(ClassesSpec):
    """One class an element. A label is a string with a letter an element, or a list with a value an element."""

    kind: Literal["tag"] = "tag"
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the values of a label that is not one letter an element, such as a space."""
    missing: list[str] = [MISSING, "-1"]
    """Values (besides None and NaN) that mean: not known."""

    against: str | None = None
    """Ask only whether an element is anything else than this class, such as `0` of binding sites of several kinds: the
    classes are then this one and `other`."""

    def build(self, dataset: Dataset) -> TagTask:
        """The task, its classes fixed by the data set; raises `InputError` where labels are no classes of elements."""
        name = one_column(dataset, "tag")
        kinds = {v for values in _labels(dataset, name, self) for v in set(values)}
        return TagTask(self, choose_classes(dataset, name, list(kinds), self.classes))


class TagTask(SoftmaxTask):
    """One class out of C an element; with `accuracy`, Q3 where the classes are H, E and C."""

    spec: TagSpec
    per_element = True

    def attach(self, dataset: Dataset) -> Dataset:
        name = one_column(dataset, "tag")
        number: dict[str | None, int] = {None: -1} | {c: i for i, c in enumerate(self.classes)}
        rows = np.empty(len(dataset), dtype=object)
        for place, values in enumerate(_labels(dataset, name, self.spec)):
            unknown = next((v for v in values if v not in number), None)
            if unknown is not None:
                raise InputError(
                    f"{row(dataset, place)}: '{name}' holds '{unknown}'; known classes: {listed(self.classes)}"
                )
            rows[place] = np.array([number[v] for v in values], dtype=np.int64)
        return replace(dataset, element_targets={**dataset.element_targets, "label": rows})

    def encoded(self, batch: Batch) -> Tensor:
        return batch.element_targets["label"]

    def labelled(self, dataset: Dataset) -> np.ndarray:
        return np.array([bool((r >= 0).any()) for r in dataset.element_targets["label"]], dtype=bool)


def _labels(dataset: Dataset, name: str, spec: TagSpec) -> list[list[str | None]]:
    """The class names of every example's elements; each must be as long as its example."""
    raw = dataset.column(name)
    refuse_empty(dataset, name, [not hasattr(v, "__len__") or not len(v) for v in raw])
    unknown = set(spec.missing)
    found = []
    for place, value in enumerate(raw):
        values = [None if w in unknown else _asked(w, spec.against) for w in split(value, spec.separator)]
        as_long(dataset, place, name, values)
        found.append(values)
    return found


def _asked(value: str | None, against: str | None) -> str | None:
    return value if against is None or value is None or value == against else OTHER
