"""What classification and tagging share: one class out of C, an example or an element at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.batch import Batch
from exapt.domains.base import Dataset
from exapt.objectives.base import Loss
from exapt.spec import Spec
from exapt.tasks import metrics
from exapt.tasks.base import Task
from exapt.tasks.heads import HeadSpec

Metric = Literal["accuracy", "balanced-accuracy", "AUC", "macro-F1", "average-precision"]

WHOLE: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "accuracy": metrics.accuracy,
    "balanced-accuracy": metrics.balanced_accuracy,
    "macro-F1": metrics.macro_f1,
}
"""Metrics of all classes at once."""
ONE_CLASS: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "AUC": metrics.auc,
    "average-precision": metrics.average_precision,
}
"""Metrics of one class's scores: of the second class where there are two, else averaged over classes."""


class ClassesSpec(Spec):
    """What the specs of both hold."""

    metric: Metric = "accuracy"
    """What is measured; AUC and average-precision are of the second of two classes, or means over more."""
    classes: list[str] | None = Field(default=None, min_length=2)
    """The classes in order; None: those found, as numbers or by the alphabet."""
    weights: Literal["none", "balanced"] = "none"
    """`balanced`: every class weighs the same in the loss, however rare."""
    head: HeadSpec = HeadSpec()
    """What stands between features and outputs."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.classes and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes repeat a name")
        return self


class SoftmaxTask(Task):
    """Cross entropy over C classes; missing labels (−1) cost nothing."""

    spec: ClassesSpec

    def __init__(self, spec: ClassesSpec, classes: list[str]) -> None:
        self.spec = spec
        self.classes = classes
        """Names, in the order of the outputs."""
        self.outputs = len(classes)
        self.metric_name = spec.metric
        self.class_weights: np.ndarray | None = None
        """(C,) weights with mean 1 over the training labels, once calibrated."""

    @abstractmethod
    def encoded(self, batch: Batch) -> Tensor:
        """The class numbers of a batch, in the order of the outputs."""

    def head(self, width: int, seed: int | None = None) -> nn.Module:
        return self.spec.head.build(width, self.outputs, self.per_element, seed)

    def plain(self) -> dict[str, Any]:
        return {"spec": self.spec.plain(), "classes": self.classes}

    def calibrated(self, train: Dataset) -> Self:
        """With balanced weights: n / (C · n_c) for class c, n_c counted on the training part."""
        if self.spec.weights == "none":
            return self
        counts = self._counts(self.truth(train))
        there = counts > 0
        weights = np.where(there, counts.sum() / (max(there.sum(), 1) * np.maximum(counts, 1)), 1.0)
        task = copy(self)
        task.class_weights = weights
        return task

    def counts(self, dataset: Dataset) -> dict[str, int]:
        return dict(zip(self.classes, self._counts(self.truth(dataset)).tolist(), strict=True))

    def _counts(self, truth: np.ndarray) -> np.ndarray:
        return np.bincount(truth[truth >= 0].astype(np.int64), minlength=self.outputs)

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        target = self.encoded(batch)
        seen = target >= 0
        count = int(seen.sum())
        if not count:
            return Loss(output.sum() * 0.0, 0)
        surprise = F.cross_entropy(output.float(), target, reduction="none", ignore_index=-1)
        right = ((output.argmax(1) == target) & seen).sum() / count
        if self.class_weights is not None:
            weights = torch.as_tensor(self.class_weights, dtype=surprise.dtype, device=surprise.device)
            surprise = surprise * weights[target.clamp(min=0)]
        return Loss(surprise.sum() / count, count, {"accuracy": right.detach()})

    def decode(self, output: Tensor) -> np.ndarray:
        """(n, C) probabilities."""
        return output.detach().double().softmax(-1).cpu().numpy()

    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """The chosen metric; chance where the labels there cannot define it, or where predictions are not finite."""
        seen = truth >= 0
        p, t = prediction[seen], truth[seen]
        value = self._measure(p, t) if np.isfinite(p).all() else None
        return self.chance(truth) if value is None else value

    def _measure(self, p: np.ndarray, t: np.ndarray) -> float | None:
        if self.metric_name in WHOLE:
            return WHOLE[self.metric_name](p, t)
        one = ONE_CLASS[self.metric_name]
        if self.outputs == 2:
            return one(p[:, 1], t == 1)
        return metrics.average(one(p[:, c], t == c) for c in range(self.outputs))

    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """1 where the likeliest class is the true one, 0 where not (or not finite), NaN where the label is missing."""
        right = (prediction.argmax(1) == truth) & np.isfinite(prediction).all(1)
        return np.where(truth >= 0, right.astype(float), np.nan)

    def chance(self, truth: np.ndarray) -> float:
        """Always naming the commonest class of the truth; 0.5 for AUC."""
        shares = self._counts(truth) / max(int((truth >= 0).sum()), 1)
        most, there = float(shares.max()), max(int((shares > 0).sum()), 1)
        if self.metric_name == "accuracy":
            return most
        if self.metric_name == "balanced-accuracy":
            return 1 / there
        if self.metric_name == "macro-F1":
            return 2 * most / (1 + most) / there
        if self.metric_name == "AUC":
            return 0.5
        return float(shares[1] if self.outputs == 2 else shares[shares > 0].mean() if most else 0.0)
