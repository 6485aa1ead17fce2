"""Several labels an example, each there (1), not there (0) or unknown (NaN)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.batch import Batch
from exapt.domains.base import Dataset
from exapt.domains.label_values import both_values, yes_or_no
from exapt.domains.labels import Missing, in_order, listed, row, word
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective
from exapt.tasks import inherited, metrics
from exapt.tasks.base import Task

if TYPE_CHECKING:
    from exapt.tasks.classify import ClassifySpec


class MultiLabelTask(Task):
    """K labels, each with its own sigmoid; unknown ones cost nothing."""

    spec: ClassifySpec

    def __init__(self, spec: ClassifySpec, classes: list[str], columns: list[str]) -> None:
        self.spec = spec
        self.classes = classes
        """Names of the labels, in the order of the outputs."""
        self.columns = columns
        self.outputs = len(classes)
        self.metric_name = spec.metric
        self.positive_share: np.ndarray | None = None
        """(K,) share of each label that is there in the training part, once calibrated."""

    def attach(self, dataset: Dataset) -> Dataset:
        if self.spec.separator:
            labels = _separated(dataset, self.columns, self.spec.separator, self.classes)
        else:
            labels = np.stack([yes_or_no(dataset, name, self.spec.missing) for name in self.columns], 1)
        return replace(dataset, targets={**dataset.targets, "label": labels})

    def head(self, width: int, seed: int | None = None) -> nn.Module:
        return self.spec.head.build(width, self.outputs, self.per_element, seed)

    def inherit(self, head: nn.Module, objective: Objective | None, train: Dataset, see: Callable[[], Tensor]) -> bool:
        """Take over what `properties` learnt of these columns."""
        if self.spec.separator:
            return False
        return inherited.fill(head, [inherited.yes(inherited.head_of(objective, name)) for name in self.columns])

    def plain(self) -> dict[str, Any]:
        return {"spec": self.spec.plain(), "classes": self.classes, "columns": self.columns}

    def calibrated(self, train: Dataset) -> Self:
        """With balanced weights, each label's 0s and 1s weigh alike; a label with only one of them stays plain."""
        if self.spec.weights == "none":
            return self
        truth, task = self.truth(train), copy(self)
        seen = np.maximum(np.isfinite(truth).sum(0), 1)
        task.positive_share = np.nansum(truth, 0) / seen
        return task

    def strata(self, dataset: Dataset) -> np.ndarray:
        """The rarest label that an example has; K where it has none."""
        there = self.truth(dataset) == 1
        rarity = np.argsort(there.sum(0), kind="stable")
        first = there[:, rarity].argmax(1)
        return np.where(there.any(1), rarity[first], self.outputs)

    def labelled(self, dataset: Dataset) -> np.ndarray:
        return np.isfinite(self.truth(dataset)).any(1)

    def counts(self, dataset: Dataset) -> dict[str, int]:
        return dict(zip(self.classes, (self.truth(dataset) == 1).sum(0).tolist(), strict=True))

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        target = batch.targets["label"]
        seen = target.isfinite()
        count = int(seen.sum())
        if not count:
            return Loss(output.sum() * 0.0, 0)
        known = torch.where(seen, target, 0.0)
        surprise = F.binary_cross_entropy_with_logits(output.float(), known, self._weights(known), reduction="none")
        right = ((output > 0) == (known > 0.5)) & seen
        return Loss((surprise * seen).sum() / count, count, {"accuracy": right.sum() / count})

    def _weights(self, known: Tensor) -> Tensor | None:
        if self.positive_share is None:
            return None
        share = torch.as_tensor(self.positive_share, dtype=known.dtype, device=known.device)
        plain = (share == 0) | (share == 1)
        ones, zeros = torch.where(plain, 1.0, 0.5 / share), torch.where(plain, 1.0, 0.5 / (1 - share))
        return torch.where(known > 0.5, ones, zeros)

    def decode(self, output: Tensor) -> np.ndarray:
        """(n, K) probabilities, each on its own."""
        return output.detach().double().sigmoid().cpu().numpy()

    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """The chosen metric over known labels, a mean over those labels that can define it."""
        if not np.isfinite(prediction[np.isfinite(truth)]).all():
            return self.chance(truth)
        value = metrics.average(self._measure(prediction[:, k], truth[:, k]) for k in range(self.outputs))
        return self.chance(truth) if value is None else value

    def _measure(self, p: np.ndarray, truth: np.ndarray) -> float | None:
        seen = np.isfinite(truth)
        scores, there = p[seen], truth[seen] == 1
        if self.metric_name == "AUC":
            return metrics.auc(scores, there)
        if self.metric_name == "average-precision":
            return metrics.average_precision(scores, there)
        if self.metric_name == "macro-F1":
            return metrics.f1(scores > 0.5, there) if len(there) else None
        both = np.stack([1 - scores, scores], 1)
        measure = metrics.accuracy if self.metric_name == "accuracy" else metrics.balanced_accuracy
        return measure(both, there.astype(int))

    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(n,) the share of an example's known labels that are right; NaN where none is known."""
        seen = np.isfinite(truth)
        right = ((prediction > 0.5) == (truth == 1)) & seen & np.isfinite(prediction)
        return np.where(seen.any(1), right.sum(1) / np.maximum(seen.sum(1), 1), np.nan)

    def chance(self, truth: np.ndarray) -> float:
        """Every label at its commoner value; 0.5 for AUC and balanced accuracy."""
        seen = np.isfinite(truth).sum(0)
        share = np.nansum(truth, 0)[seen > 0] / seen[seen > 0]
        if self.metric_name in ("AUC", "balanced-accuracy") or not len(share):
            return 0.5
        if self.metric_name == "accuracy":
            return float(np.maximum(share, 1 - share).mean())
        if self.metric_name == "average-precision":
            return float(share[share > 0].mean()) if (share > 0).any() else 0.0
        return float(np.where(share > 0.5, 2 * share / (1 + share), 0.0).mean())


def find_labels(dataset: Dataset, names: Sequence[str], separator: str | None, missing: Missing) -> list[str]:
    """The labels: the columns themselves, or all names between separators; each must be there for some, not for all."""
    if separator is None:
        for name in names:
            both_values(dataset, name, yes_or_no(dataset, name, missing))
        return list(names)
    if len(names) > 1:
        raise InputError(f"{dataset.source}: task.separator takes one label column, found {', '.join(names)}")
    cells = _cells(dataset, names[0], separator)
    found = in_order(label for cell in cells if cell for label in cell)
    if not found:
        raise InputError(f"{dataset.source}: column '{names[0]}' holds no label at all")
    return found


def _cells(dataset: Dataset, name: str, separator: str) -> list[list[str] | None]:
    """The labels of every cell; an empty cell has none, a missing one (None, NaN) is unknown."""
    cells: list[list[str] | None] = []
    for value in dataset.column(name):
        text = word(value)
        unknown = text is None and not isinstance(value, str)
        cells.append(None if unknown else [p for part in (text or "").split(separator) if (p := part.strip())])
    return cells


def _separated(dataset: Dataset, names: Sequence[str], separator: str, classes: Sequence[str]) -> np.ndarray:
    number = {c: k for k, c in enumerate(classes)}
    labels = np.zeros((len(dataset), len(classes)))
    for place, cell in enumerate(_cells(dataset, names[0], separator)):
        if cell is None:
            labels[place] = np.nan
        for label in cell or ():
            if label not in number:
                raise InputError(
                    f"{row(dataset, place)}: '{names[0]}' holds '{label}'; known labels: {listed(classes)}"
                )
            labels[place, number[label]] = 1
    return labels
