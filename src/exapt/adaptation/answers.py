"""A task's labels as the linear solvers take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from exapt.adaptation.linear import Kind
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.tasks.base import Task
from exapt.tasks.multilabel import MultiLabelTask
from exapt.tasks.regress import RegressTask
from exapt.tasks.softmax import SoftmaxTask


@dataclass(frozen=True)
class Answers:
    """Labels of n rows: examples, or elements where the task labels those."""

    kind: Kind
    outputs: int
    labels: np.ndarray
    """(n,) classes, −1 where missing; (n, K) 0, 1 or NaN; or (n, K) values standardised as the task's outputs are."""


def answers(task: Task, dataset: Dataset, domain: Domain) -> Answers:
    """The labels of an attached data set; raises `InputError` for a task that no linear probe can fit."""
    truth = task.truth(dataset, domain.kept(dataset) if task.per_element else None)
    if isinstance(task, SoftmaxTask):
        return Answers("classes", task.outputs, truth.astype(np.int64))
    if isinstance(task, MultiLabelTask):
        return Answers("labels", task.outputs, truth)
    if isinstance(task, RegressTask):
        return Answers("values", task.outputs, task.standard(truth.reshape(-1, task.outputs)))
    raise InputError(f"{type(task).__name__}: no linear probe for this kind of task; fine-tune instead")


def weights(task: Task, labels: np.ndarray) -> np.ndarray | None:
    """(n, 1 | K) how much each label counts in a calibrated task's loss; None where all count 1."""
    if isinstance(task, SoftmaxTask) and task.class_weights is not None:
        return task.class_weights[np.maximum(labels, 0)][:, None]
    if isinstance(task, MultiLabelTask) and task.positive_share is not None:
        share = task.positive_share
        both = np.where((share > 0) & (share < 1), share, 0.5)  # a label with one value only stays plain
        return np.where(labels > 0.5, 0.5 / both, 0.5 / (1 - both))
    return None


def score_of(task: Task, output: Tensor, labels: np.ndarray) -> float:
    """The task's metric of outputs against labels as `answers` gives them."""
    truth = task.own_units(labels) if isinstance(task, RegressTask) else labels
    return task.metric(task.decode(output), truth)
