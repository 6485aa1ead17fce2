"""Potentials: the energy of a structure, the forces on its atoms, and the stress of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch, segment_sum
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.objectives import Battery
from exapt.objectives.base import Loss, Objective
from exapt.objectives.energies import ELEMENTS, FORCES, EnergyHead, fit_references, potential_loss, surface
from exapt.objectives.guess import Guess
from exapt.objectives.potential import Potential, potential_guess
from exapt.objectives.potential_labels import PotentialBase, composition, typical_force
from exapt.tasks.base import Augmentation, Task

WORST = -3.0
"""The lowest score of a structure: errors of three typical forces."""
METRICS = {"forces": "−force MAE in eV/Å", "energy": "−energy MAE in eV an atom"}


class PotentialTaskSpec(PotentialBase):
    """Energies, forces and stresses of structures; any of them may be missing anywhere."""

    kind: Literal["potential"] = "potential"
    metric: Literal["forces", "energy"] = "forces"
    """What is measured: minus the mean absolute error of the forces' components, or of the energy per atom."""
    refit: bool = True
    """Whether the energies of elements of a pre-trained head move to the training part's labels before the first step:
    another level of theory has others. False keeps those of the pre-training."""

    def build(self, dataset: Dataset) -> PotentialTask:
        """The task; raises `InputError` where there are no labels, or none of what the metric measures."""
        rows, _ = self.rows(dataset), composition(dataset)
        if not np.isfinite(rows[:, FORCES:] if self.metric == "forces" else rows[:, 1]).any():
            raise InputError(
                f"{dataset.source}: no {self.metric} in it to measure; set task.metric, or task.{self.metric}"
            )
        return PotentialTask(self, typical_force(rows))


class PotentialTask(Task):
    """Outputs, labels and predictions are rows (n, 9 + 3 A): see `exapt.objectives.energies`."""

    spec: PotentialTaskSpec
    probed = False
    outputs = FORCES

    def __init__(self, spec: PotentialTaskSpec, spread: float) -> None:
        self.spec, self.spread, self.scale = spec, spread, spread
        """The typical force of the data set the task was built from, the unit of scores; and of the training part."""
        self.references = np.zeros(ELEMENTS)
        self.metric_name = METRICS[spec.metric]

    def attach(self, dataset: Dataset) -> Dataset:
        return replace(dataset, targets={**dataset.targets, "label": self.spec.rows(dataset)})

    def calibrated(self, train: Dataset) -> Self:
        """With the energies of elements, by least squares, and the typical force of these labels."""
        task, rows = copy(self), self.truth(train)
        task.references = fit_references(composition(train), rows[:, 1:3].sum(1))
        task.scale = typical_force(rows)
        return task

    def head(self, width: int, seed: int | None = None) -> nn.Module:
        head = EnergyHead(width, self.spec.hidden, seed)
        head.set_units(self.references, self.scale)
        return head

    def inherit(self, head: nn.Module, objective: Objective | None, train: Dataset, see: Callable[[], Tensor]) -> bool:
        """Take over the head of a pre-training on energies and forces, where it is of the same shape.

        With `refit` the energies of elements move so that its mean errors on the training part vanish, as far as they
        can.
        """
        found = _potential_in(objective)
        if found is None or not isinstance(head, EnergyHead) or not isinstance(found.head, EnergyHead):
            return False
        if found.head.hidden.weight.shape != head.hidden.weight.shape:
            return False
        head.load_state_dict(found.head.state_dict())
        if not self.spec.refit:
            return True
        missed = self.truth(train)[:, 1:3].sum(1) - see()[:, 1:3].sum(1).detach().double().cpu().numpy()
        head.references += torch.from_numpy(fit_references(composition(train), missed)).to(head.references)
        return True

    def ask(self, backbone: Backbone, head: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(head, EnergyHead)
        return surface(backbone, head, batch)

    def augmentation(self, domain: Domain) -> Augmentation | None:
        """None: another conformer would have other labels."""
        return None

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        return potential_loss(output, batch.targets["label"], **self.spec.weights(self.scale))

    def guess(self, output: Tensor, batch: Batch) -> Guess:
        """Forces and energies as values, for Fisher information."""
        own = segment_sum(torch.from_numpy(self.references).to(output)[batch.inputs], batch.offsets)
        return potential_guess(output, own, batch, batch.targets.get("label"), self.spec.weights(self.scale))

    def decode(self, output: Tensor) -> np.ndarray:
        return output.detach().double().cpu().numpy()

    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        """Minus the mean absolute error over all that is known; chance where a prediction is not finite."""
        gaps = self._gaps(prediction, truth)
        known = np.isfinite(_measured(truth, self.spec.metric))
        if not np.isfinite(gaps[known]).all():
            return self.chance(truth)
        return -float(gaps[known].mean()) if known.any() else float("nan")

    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(n,) minus each structure's mean absolute error in typical forces, no lower than −3; NaN without labels."""
        gaps = self._gaps(prediction, truth) / self.spread
        known = np.isfinite(_measured(truth, self.spec.metric))
        gaps = np.where(known, np.nan_to_num(gaps, nan=-WORST, posinf=-WORST), 0.0)
        score = -gaps.sum(1) / np.maximum(known.sum(1), 1)
        return np.where(known.any(1), np.maximum(score, WORST), np.nan)

    def _gaps(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(n, k) absolute errors of what is measured."""
        wanted = _measured(truth, self.spec.metric)
        said = _measured(prediction, self.spec.metric)[:, : wanted.shape[1]]
        room = np.full((len(said), wanted.shape[1] - said.shape[1]), np.nan)
        return np.abs(np.concatenate([said, room], 1) - wanted)

    def chance(self, truth: np.ndarray) -> float:
        """No forces at all; or the mean energy per atom."""
        wanted = _measured(truth, self.spec.metric)
        middle = 0.0 if self.spec.metric == "forces" else np.nanmean(wanted)
        return -float(np.nanmean(np.abs(wanted - middle)))

    def labelled(self, dataset: Dataset) -> np.ndarray:
        return np.asarray(np.isfinite(self.truth(dataset)[:, 1:]).any(1))

    def counts(self, dataset: Dataset) -> dict[str, int]:
        rows = self.truth(dataset)
        return {"energies": int(np.isfinite(rows[:, 1]).sum()), "forces": int(np.isfinite(rows[:, FORCES:]).sum()) // 3}

    def described(self, dataset: Dataset) -> dict[str, Any]:
        return {**self.counts(dataset), "typical force in eV/Å": self.spread}

    def plain(self) -> dict[str, Any]:
        return {"spec": self.spec.plain(), "spread": self.spread, "scale": self.scale}

    @classmethod
    def restored(cls, spec: PotentialTaskSpec, data: Mapping[str, Any]) -> Self:
        """The task again from `plain`; the energies of elements stand in the head."""
        task = cls(spec, float(data["spread"]))
        task.scale = float(data["scale"])
        return task


def _measured(rows: np.ndarray, metric: str) -> np.ndarray:
    """(n, k) what a metric looks at: energies per atom, or components of forces."""
    return rows[:, FORCES:] if metric == "forces" else (rows[:, 1:3].sum(1) / rows[:, 0])[:, None]


def _potential_in(objective: Objective | None) -> Potential | None:
    """The potential that an objective is, or that is a part of it."""
    if isinstance(objective, Battery):
        return next((part for part in objective.parts if isinstance(part, Potential)), None)
    return objective if isinstance(objective, Potential) else None
