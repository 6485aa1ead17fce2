"""What every labelled task is: targets, a head, a loss and a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.objectives.base import Loss, Objective
from exapt.spec import Spec

Augmentation = Callable[[Batch, torch.Generator], Batch]
"""A random change of a batch."""


class Task(ABC):
    """A labelled task. Built from a spec and a data set (which fixes the classes, or the scale of a regression).

    Three spaces: `targets['label']` holds encoded labels (class numbers, 0/1 a label, or values in their own units;
    missing is −1 or NaN); a head's *output* is what `loss` takes; a *prediction* is `decode(output)`, and `truth` gives
    the labels in the shape that `metric` compares predictions with.
    """

    spec: Spec
    outputs: int
    """Width of the head's output."""
    per_element: bool = False
    """Whether labels belong to elements (tag) rather than examples."""
    every_stratum: bool = False
    """Whether each of `strata` must stand in every part of a split: a class that was never seen cannot be named."""
    probed: bool = True
    """Whether a linear model of frozen features can answer it (probes, kNN, LP-FT, classical baselines)."""
    resamples: int = 1000
    """Draws of the bootstrap over test examples; fewer where the metric takes long."""
    metric_name: str
    """What `metric` measures, in the field's word: 'accuracy', 'AUC', 'R²' …; higher is always better."""

    @abstractmethod
    def attach(self, dataset: Dataset) -> Dataset:
        """The data set with encoded targets under the key 'label'; bad labels raise `InputError` with file and row."""

    @abstractmethod
    def head(self, width: int, seed: int | None = None) -> nn.Module:
        """A fresh head: Features -> (B, outputs), or (N, outputs) where labels belong to elements."""

    def ask(self, backbone: Backbone, head: nn.Module, batch: Batch) -> Tensor:
        """The output for a batch. Rows of unlike length are filled up with NaN where they are put together."""
        output: Tensor = head(backbone(batch))
        return output

    def inherit(self, head: nn.Module, objective: Objective | None, train: Dataset, see: Callable[[], Tensor]) -> bool:
        """Fill a fresh head from what an objective learnt for this very task; whether it did.

        `see` gives the network's outputs on the training part with the head as it then is.
        """
        return False

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Loss:
        """Mean loss over the labels that are there; missing labels cost nothing."""

    @abstractmethod
    def decode(self, output: Tensor) -> np.ndarray:
        """Raw outputs to predictions: probabilities (n, classes), or values in the label's own units."""

    @abstractmethod
    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """Higher is better; missing labels are left out."""

    @abstractmethod
    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(n,) a bounded score of each example (1 right, 0 wrong; or minus the squared error), for paired tests."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """The spec and what was learnt from the data, as JSON; `exapt.tasks.load_task` restores it."""

    def truth(self, dataset: Dataset, kept: np.ndarray | None = None) -> np.ndarray:
        """(n, …) encoded labels of an attached data set; where they belong to elements, (N, …), example after example.

        `kept` (n,) cuts each example's labels to what `Domain.kept` says that the network sees.
        """
        if not self.per_element:
            return dataset.targets["label"]
        rows = dataset.element_targets["label"]
        return np.concatenate([row[: None if kept is None else kept[i]] for i, row in enumerate(rows)] or [np.zeros(0)])

    def calibrated(self, train: Dataset) -> Task:
        """The same task with what a loss must know of the labels (their scale, class weights) from these alone."""
        return self

    def strata(self, dataset: Dataset) -> np.ndarray:
        """(n,) kinds of example that every part of a split should hold in like shares: classes, or quantiles."""
        return np.zeros(len(dataset), dtype=np.int64)

    def labelled(self, dataset: Dataset) -> np.ndarray:
        """(n,) whether an example of an attached data set has any label at all."""
        return np.ones(len(dataset), dtype=bool)

    def counts(self, dataset: Dataset) -> dict[str, int]:
        """How many labels of each class an attached data set holds; empty where labels are no classes."""
        return {}

    def augmentation(self, domain: Domain) -> Augmentation | None:
        """How fine-tuning changes training examples: as the domain does, unless labels must change with them."""
        return domain.augment

    def described(self, dataset: Dataset) -> dict[str, Any]:
        """Plain facts of an attached data set's labels, for the report."""
        return {}

    def figures(self, prediction: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """Further figures of one fit's predictions beside the metric, plain; by default none."""
        return {}

    def shown(self, dataset: Dataset, prediction: np.ndarray) -> list[dict[str, Any]]:
        """A few examples with their predictions, plain, for the report; by default none."""
        return []

    @abstractmethod
    def chance(self, truth: np.ndarray) -> float:
        """The metric of knowing nothing: what a diverged fit scores."""
