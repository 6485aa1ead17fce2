"""Regression of one or several columns of numbers, each on its own scale; missing values cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from exapt.batch import Batch
from exapt.domains.base import Dataset
from exapt.domains.label_values import numbers, scale_of
from exapt.domains.labels import Missing, label_columns, refuse_empty, row
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective
from exapt.spec import Spec
from exapt.tasks import inherited, metrics
from exapt.tasks.base import Task
from exapt.tasks.heads import HeadSpec

METRICS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float | None]]] = {
    "R2": ("R²", metrics.r_squared),
    "Pearson": ("Pearson's r", metrics.pearson),
    "Spearman": ("Spearman's ρ", metrics.spearman),
    "MAE": ("−MAE", metrics.minus_mae),
    "MAPE": ("−MAPE in %", metrics.minus_mape),
}
WORST = -9.0
"""The lowest score of one example: three standard deviations off."""
STRATA = 10
ADVICE = "a regression needs numbers (names need task.kind=classify)"


class RegressSpec(Spec):
    """One number an example, or several (`label: [a, b]`)."""

    later = ("per", "log")

    kind: Literal["regress"] = "regress"
    metric: Literal["R2", "Pearson", "Spearman", "MAE", "MAPE"] = "R2"
    """What is measured, a mean over columns; MAE counts downwards, in the label's units (of one column) or in
    standard deviations (of several), MAPE in per cent of each label."""
    log: bool = False
    """Learn the labels' logarithms, so that relative errors count alike; all labels must be positive."""
    missing: Missing = "auto"
    """Whether an empty or NaN label is refused, or ignored as unknown; auto: refused where there is one column."""
    per: Literal["example", "element"] = "example"
    """`element`: the number of an example is over all its elements, and is divided by how many they are: the energy of
    a crystal becomes that of an atom."""
    head: HeadSpec = HeadSpec()
    """What stands between features and outputs."""

    def build(self, dataset: Dataset) -> RegressTask:
        """The task on the data set's scale; raises `InputError` for labels that are no numbers, or all the same."""
        names = label_columns(dataset)
        values = _values(dataset, names, self)
        for name, column in zip(names, values.T, strict=True):
            known = column[np.isfinite(column)]
            if len(known) < 2 or known.min() == known.max():
                held = f"only the value {known[0]:g}" if len(known) else "no number at all"
                raise InputError(
                    f"{dataset.source}: column '{name}' holds {held}; a regression needs different numbers"
                )
        return RegressTask(self, names, *scale_of(np.log(values) if self.log else values))


class RegressTask(Task):
    """K numbers an example. Outputs are standardised: value, or its logarithm = centre + scale · output."""

    spec: RegressSpec

    def __init__(self, spec: RegressSpec, columns: list[str], centre: np.ndarray, scale: np.ndarray) -> None:
        self.spec = spec
        self.columns = columns
        self.centre, self.scale = np.asarray(centre, dtype=np.float64), np.asarray(scale, dtype=np.float64)
        """(K,) mean and deviation of the labels (or their logarithms) this was built from, or calibrated on."""
        self.spread = self.scale
        """(K,) the unit of scores: that of the data set the task was built from, whatever it is calibrated on."""
        self.outputs = len(columns)
        several = spec.metric == "MAE" and len(columns) > 1
        self.metric_name = METRICS[spec.metric][0] + (" in standard deviations" if several else "")

    @classmethod
    def restored(cls, spec: RegressSpec, data: Mapping[str, Any]) -> Self:
        """The task again from what `plain` gave."""
        task = cls(spec, list(data["columns"]), np.array(data["centre"]), np.array(data["scale"]))
        task.spread = np.array(data["spread"])
        return task

    def attach(self, dataset: Dataset) -> Dataset:
        values = _values(dataset, self.columns, self.spec)
        return replace(dataset, targets={**dataset.targets, "label": values})

    def head(self, width: int, seed: int | None = None) -> nn.Module:
        return self.spec.head.build(width, self.outputs, self.per_element, seed)

    def inherit(self, head: nn.Module, objective: Objective | None, train: Dataset, see: Callable[[], Tensor]) -> bool:
        """Take over what `properties` learnt of these columns, as they stand."""
        if self.spec.per == "element" or self.spec.log:
            return False
        found = [inherited.head_of(objective, name) for name in self.columns]
        units = zip(found, self.centre.tolist(), self.scale.tolist(), strict=True)
        return inherited.fill(head, [inherited.number(one, centre, scale) for one, centre, scale in units])

    def plain(self) -> dict[str, Any]:
        learned = {"centre": self.centre.tolist(), "scale": self.scale.tolist(), "spread": self.spread.tolist()}
        return {"spec": self.spec.plain(), "columns": self.columns, **learned}

    def calibrated(self, train: Dataset) -> Self:
        """Centre and scale of the training labels alone; the unit of scores stays."""
        task = copy(self)
        task.centre, task.scale = scale_of(self._level(self.truth(train)))
        return task

    def standard(self, values: np.ndarray) -> np.ndarray:
        """(n, K) labels as outputs should be."""
        return np.asarray((self._level(values) - self.centre) / self.scale)

    def own_units(self, standard: np.ndarray) -> np.ndarray:
        """(n, K) outputs in the labels' own units."""
        level = standard * self.scale + self.centre
        return np.exp(level) if self.spec.log else level

    def _level(self, values: np.ndarray) -> np.ndarray:
        return np.log(values) if self.spec.log else values

    def strata(self, dataset: Dataset) -> np.ndarray:
        """Tenths of the labels (fewer where there are few examples); of the mean standardised label of several."""
        standard = self.standard(self.truth(dataset))
        seen = np.isfinite(standard)
        level = np.nansum(standard, 1) / np.maximum(seen.sum(1), 1)
        bins = max(1, min(STRATA, len(level) // 4))
        rank = np.empty(len(level), dtype=np.int64)
        rank[np.argsort(level, kind="stable")] = np.arange(len(level))
        return rank * bins // max(len(level), 1)

    def labelled(self, dataset: Dataset) -> np.ndarray:
        return np.isfinite(self.truth(dataset)).any(1)

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        """Mean squared error of the standardised values."""
        target = batch.targets["label"].reshape(output.shape)
        seen = target.isfinite()
        count = int(seen.sum())
        if not count:
            return Loss(output.sum() * 0.0, 0)
        centre, scale = (torch.as_tensor(v, device=target.device) for v in (self.centre, self.scale))
        level = target.log() if self.spec.log else target
        standard = torch.where(seen, (level - centre) / scale, 0.0).to(torch.float32)
        errors = torch.where(seen, output.float() - standard, 0.0)
        return Loss(errors.square().sum() / count, count, {"absolute error": errors.detach().abs().sum() / count})

    def decode(self, output: Tensor) -> np.ndarray:
        """(n, K) values in the labels' own units."""
        return self.own_units(output.detach().double().cpu().numpy())

    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """The chosen metric, a mean over the columns that define it; chance where none does, or for NaN predictions."""
        prediction, truth = self._shaped(prediction), self._shaped(truth)
        if not np.isfinite(prediction[np.isfinite(truth)]).all():
            return self.chance(truth)
        value = metrics.average(self._measure(prediction[:, k], truth[:, k], k) for k in range(self.outputs))
        return self.chance(truth) if value is None else value

    def _measure(self, p: np.ndarray, truth: np.ndarray, k: int) -> float | None:
        seen = np.isfinite(truth)
        unit = self.spread[k] if self.spec.metric == "MAE" and self.outputs > 1 else 1.0
        return METRICS[self.spec.metric][1](p[seen] / unit, truth[seen] / unit)

    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(n,) minus the mean squared error in standard deviations, no lower than −9; NaN where no label is known."""
        prediction, truth = self._shaped(prediction), self._shaped(truth)
        seen = np.isfinite(truth)
        errors = ((np.where(seen, self._level(prediction) - self._level(truth), 0.0)) / self.spread) ** 2
        score = -np.where(seen, np.nan_to_num(errors, nan=-WORST, posinf=-WORST), 0.0).sum(1) / np.maximum(
            seen.sum(1), 1
        )
        return np.where(seen.any(1), np.maximum(score, WORST), np.nan)

    def chance(self, truth: np.ndarray) -> float:
        """Always predicting the mean: 0, or minus the mean absolute deviation."""
        if self.spec.metric not in ("MAE", "MAPE"):
            return 0.0
        truth = self._shaped(truth)
        flat = np.broadcast_to(self.own_units(np.zeros(self.outputs)), truth.shape)
        value = metrics.average(self._measure(flat[:, k], truth[:, k], k) for k in range(self.outputs))
        return 0.0 if value is None else value

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, dtype=np.float64).reshape(-1, self.outputs)


def _values(dataset: Dataset, names: list[str], spec: RegressSpec) -> np.ndarray:
    """(n, K) float64, NaN where missing; raises `InputError` naming file and row of what is no number."""
    columns = [numbers(dataset, name, ADVICE) for name in names]
    if spec.missing == "refuse" or (spec.missing == "auto" and len(names) == 1):
        for name, column in zip(names, columns, strict=True):
            refuse_empty(dataset, name, np.isnan(column))
    values = np.stack(columns, 1)
    _positive(dataset, names, values, spec)
    return values / np.maximum(dataset.lengths, 1)[:, None] if spec.per == "element" else values


def _positive(dataset: Dataset, names: list[str], values: np.ndarray, spec: RegressSpec) -> None:
    """Raise `InputError` for a label that has no logarithm, or none that errors could be relative to."""
    asked = "task.log" if spec.log else "task.metric=MAPE"
    bad = np.argwhere(values <= 0) if spec.log else np.argwhere(values == 0)
    if (spec.log or spec.metric == "MAPE") and len(bad):
        place, column = bad[0]
        need = "positive labels" if spec.log else "labels other than 0"
        raise InputError(
            f"{row(dataset, int(place))}: '{names[column]}' is {values[place, column]:g}; {asked} needs {need}"
        )
