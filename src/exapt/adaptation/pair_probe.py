"""Contacts read off a network's maps by one L1 logistic regression over a few structures (Rao et al. 2020)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.pair_maps import Maps, Of
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.tasks.contacts import ContactsTask
from exapt.tasks.pair_head import filled


class MapsSpec(Spec):
    """Read contacts off maps that the network has anyway: no weight of it is trained."""

    kind: Literal["maps"] = "maps"
    of: Of = "attention"
    """`attention` of all layers and heads, made symmetric and corrected (APC); `jacobian`, how the answer at one place
    moves with the letter at another (20 L passes a chain: for short chains); `separation`, along the chain alone: what
    a reader who saw no sequence would say."""
    strengths: list[PositiveFloat] = Field(default=[0.001, 0.01, 0.1, 1.0], min_length=1)
    """The grid of C = 1/λ of the L1 penalty; validation picks."""
    pairs: PositiveInt = 200_000
    """At most so many pairs are learnt from, drawn at random."""

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """Fit every strength and keep the best on validation."""
        if not isinstance(task, ContactsTask):
            raise InputError("adapt.kind=maps reads contacts; set task.kind=contacts")
        maps = Maps(self.of, start)
        features = maps.rows(train)
        spread = _spread(features)
        x, y = _known(features, task.truth(train), self.pairs, seed)
        tried = _path(x / spread, y, self.strengths)
        scores = self._judged(tried, spread, maps, task, valid)
        place = int(np.argmax(scores)) if scores else len(tried) // 2
        record = {
            "strength": self.strengths[place],
            "valid_score": scores[place] if scores else float("nan"),
            "maps_used": int((tried[place][:-1] != 0).sum()),
            "maps": len(spread),
            "diverged": False,
        }
        weights = torch.from_numpy(tried[place])
        return MapsFitted(self, start.domain, task, record, start, weights, torch.from_numpy(spread))

    def _judged(
        self, tried: Sequence[np.ndarray], spread: np.ndarray, maps: Maps, task: Task, valid: Dataset
    ) -> list[float]:
        """The metric on validation of every strength; none without a validation part."""
        if not len(valid):
            return []
        rows, truth = maps.rows(valid), task.truth(valid)
        return [task.metric(task.decode(_stacked(_answers(rows, spread, one))), truth) for one in tried]


@dataclass
class MapsFitted(Fitted):
    """Weights of maps."""

    spec: MapsSpec
    start: Start
    weights: Tensor
    """(H + 1,) of maps in units of their spread, and the intercept."""
    spread: Tensor
    """(H,)."""

    def outputs(self, dataset: Dataset) -> Tensor:
        rows = Maps(self.spec.of, self.start).rows(dataset)
        return _stacked(_answers(rows, self.spread.numpy(), self.weights.numpy()))

    def backbone(self) -> Backbone | None:
        return self.start.backbone

    def tensors(self) -> dict[str, Tensor]:
        return {"weights": self.weights, "spread": self.spread}

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again; what reads a Jacobian is not kept whole, for it needs the pre-training's own head."""
        spec = MapsSpec.parse(saved.spec)
        if spec.of == "jacobian":
            raise InputError("adapt.of=jacobian: its pre-training's head is not kept; fit it anew from the checkpoint")
        start, learned = Start(saved.domain, saved.backbone), saved.tensors
        return cls(spec, saved.domain, saved.task, saved.record, start, learned["weights"], learned["spread"])


def _spread(rows: Sequence[np.ndarray]) -> np.ndarray:
    """(H,) the deviation of every map over all pairs, and never zero."""
    deviations: np.ndarray = np.concatenate(list(rows)).std(0, dtype=np.float64)
    return np.maximum(deviations, 1e-9)


def _known(rows: Sequence[np.ndarray], labels: np.ndarray, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, H) and labels (n,) of at most so many known pairs."""
    width = labels.shape[1]
    parts = [
        (row[:width][seen], label[: len(row)][seen])
        for row, label in zip(rows, labels, strict=True)
        if (seen := label[: len(row)] >= 0).any()
    ]
    x, y = np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])
    if len(y) > most:
        chosen = np.random.default_rng(seed).choice(len(y), most, replace=False)
        x, y = x[chosen], y[chosen]
    return x.astype(np.float64), y


def _path(x: np.ndarray, y: np.ndarray, strengths: Sequence[float]) -> list[np.ndarray]:
    """(H + 1,) weights and intercept for each strength."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) < 2:
        return [np.append(np.zeros(x.shape[1]), 0.0)] * len(strengths)
    found = []
    for strength in strengths:
        model = LogisticRegression(C=strength, l1_ratio=1.0, solver="liblinear", intercept_scaling=10.0, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        found.append(np.append(model.coef_[0], model.intercept_[0]))
    return found


def _answers(rows: Sequence[np.ndarray], spread: np.ndarray, weights: np.ndarray) -> list[Tensor]:
    """(P,) logits of each example."""
    return [torch.from_numpy((row / spread) @ weights[:-1] + weights[-1]) for row in rows]


def _stacked(rows: list[Tensor]) -> Tensor:
    return filled(rows, torch.zeros(0)).float()
