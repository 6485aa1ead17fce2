"""What the validation part says of a network's outputs: loss and metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from exapt.adaptation.answers import Answers, answers, score_of
from exapt.adaptation.judging import loss_of, varied
from exapt.adaptation.knn import targets
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.domains.targets import as_target
from exapt.tasks.base import Task


class Validation(ABC):
    """Judges the outputs (n, …) of one validation part."""

    usable: bool
    """Whether the metric can judge at all: a single class does not let it."""

    @abstractmethod
    def figures(self, output: Tensor) -> dict[str, float]:
        """`loss`, and `measured`, the metric (NaN where it cannot judge)."""


@dataclass
class ByAnswers(Validation):
    """Labels of rows: classes, 0 or 1, or values."""

    task: Task
    said: Answers

    def __post_init__(self) -> None:
        self.wanted = targets(self.said)
        self.usable = varied(self.wanted)

    def figures(self, output: Tensor) -> dict[str, float]:
        measured = score_of(self.task, output, self.said.labels) if self.usable else float("nan")
        return {"loss": loss_of(output, self.wanted.to(output), self.said.kind), "measured": measured}


@dataclass
class ByTask(Validation):
    """Labels of another form, such as boxes: the task's own loss and metric."""

    task: Task
    dataset: Dataset

    def __post_init__(self) -> None:
        self.truth = self.task.truth(self.dataset)
        self.usable = any(self.task.counts(self.dataset).values())
        count = len(self.dataset)
        self.batch = Batch(torch.zeros(count, 0), torch.arange(count + 1), targets={"label": as_target(self.truth)})

    def figures(self, output: Tensor) -> dict[str, float]:
        measured = self.task.metric(self.task.decode(output), self.truth) if self.usable else float("nan")
        return {"loss": float(self.task.loss(output, self.batch).value), "measured": measured}


def validation(task: Task, dataset: Dataset, domain: Domain) -> Validation:
    """The judge of an attached validation part."""
    return ByAnswers(task, answers(task, dataset, domain)) if task.probed else ByTask(task, dataset)
