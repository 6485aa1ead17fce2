"""Classification: one class an example, or several labels that are each there or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from exapt.batch import Batch
from exapt.domains.base import Dataset
from exapt.domains.labels import (
    Missing,
    choose_classes,
    class_numbers,
    label_columns,
    one_column,
    refuse_numbers,
    words,
)
from exapt.objectives.base import Objective
from exapt.tasks import inherited
from exapt.tasks.base import Task
from exapt.tasks.multilabel import MultiLabelTask, find_labels
from exapt.tasks.softmax import ClassesSpec, SoftmaxTask


class ClassifySpec(ClassesSpec):
    """One class an example; with several label columns, or a `separator`, several labels at once."""

    kind: Literal["classify"] = "classify"
    separator: str | None = Field(default=None, min_length=1)
    """What stands between the labels of one cell, such as ';', where an example has any number of labels."""
    missing: Missing = "auto"
    """Whether an empty label is refused, or ignored as unknown; auto: refused unless there are several columns."""

    def build(self, dataset: Dataset) -> Task:
        """The task, its classes fixed by the data set; raises `InputError` for empty or one-class labels."""
        names = label_columns(dataset)
        if self.separator or len(names) > 1:
            found = find_labels(dataset, names, self.separator, self.missing)
            return MultiLabelTask(self, self.classes or found, names)
        classes = choose_classes(dataset, names[0], words(dataset, names[0], self.missing), self.classes)
        if not self.classes:
            refuse_numbers(dataset, names[0], classes)
        return ClassifyTask(self, classes)


class ClassifyTask(SoftmaxTask):
    """One class out of C an example."""

    spec: ClassifySpec
    every_stratum = True

    def attach(self, dataset: Dataset) -> Dataset:
        name = one_column(dataset, "classify")
        numbers = class_numbers(dataset, name, words(dataset, name, self.spec.missing), self.classes)
        return replace(dataset, targets={**dataset.targets, "label": numbers})

    def inherit(self, head: nn.Module, objective: Objective | None, train: Dataset, see: Callable[[], Tensor]) -> bool:
        """Take over what `properties` learnt of this column."""
        found = inherited.head_of(objective, one_column(train, "classify"))
        return inherited.fill(head, inherited.classes(found, self.classes))

    def encoded(self, batch: Batch) -> Tensor:
        return batch.targets["label"]

    def strata(self, dataset: Dataset) -> np.ndarray:
        return dataset.targets["label"]

    def labelled(self, dataset: Dataset) -> np.ndarray:
        return dataset.targets["label"] >= 0
