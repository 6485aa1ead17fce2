"""The linear probe: what a straight cut through frozen features can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from exapt.adaptation.answers import answers, score_of, weights
from exapt.adaptation.features import Pooling, joined
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.linear import PENALTIES, ProbeResult, probe_many
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.spec import Spec
from exapt.tasks.base import Task

Draw = tuple[Dataset, Dataset]
"""A training and a validation part, both attached to the task."""


class FrozenSpec(Spec):
    """How features are taken from a frozen backbone."""

    pooling: Pooling = "mean"
    """How elements become one vector, start and end tokens left out; labelled elements are not pooled."""
    layers: PositiveInt = 1
    """Average the last so many layers."""

    def features(self, start: Start, task: Task, dataset: Dataset) -> np.ndarray:
        """(n, D) frozen features of examples, or (N, D) of elements where the task labels those."""
        rows = self.rows(start, task, dataset)
        if task.per_element:
            return joined(rows, start.network("probe").width)[0]
        return np.stack(rows)

    def inputs(self, start: Start, task: Task, dataset: Dataset) -> np.ndarray:
        """What the linear map is applied to, (n, D) or (N, D): the features as they are."""
        return self.features(start, task, dataset)

    def rows(self, start: Start, task: Task, dataset: Dataset) -> list[np.ndarray]:
        """The features of each example: (D,), or (n_b, D) where the task labels elements."""
        pooling = None if task.per_element else self.pooling
        return start.cache.rows(start.network("probe"), start.domain, dataset, pooling, self.layers)


class ProbeSpec(FrozenSpec):
    """A linear probe on frozen features: logistic regression, or ridge for numbers."""

    kind: Literal["probe"] = "probe"
    penalties: list[float] = Field(default=list(PENALTIES), min_length=1)
    """The grid of λ in Σ loss + ½ λ ‖w‖² on standardised features; the best on validation is taken."""
    choose: Literal["loss", "metric"] = "loss"
    """What picks the penalty on validation. The loss tells penalties apart even with a handful of labels."""
    refit: bool = True
    """Fit training and validation together anew at the chosen penalty."""

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> ProbeFitted:
        """One probe; nothing in it is random."""
        return fit_probes(self, start, task, [(train, valid)])[0]


@dataclass
class LinearFitted(Fitted):
    """A frozen backbone under a linear map."""

    spec: FrozenSpec
    start: Start
    weights: Tensor
    """(K, D) float64."""
    intercept: Tensor
    """(K,) float64."""
    described_by: ClassVar[type[FrozenSpec]]
    """The spec that `restore` reads."""

    def outputs(self, dataset: Dataset) -> Tensor:
        inputs = torch.as_tensor(self.spec.inputs(self.start, self.task, dataset))
        return inputs.double() @ self.weights.T + self.intercept

    def backbone(self) -> Backbone | None:
        return self.start.backbone

    def tensors(self) -> dict[str, Tensor]:
        return {"weights": self.weights.contiguous(), "intercept": self.intercept.contiguous()}

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again from its folder."""
        spec, start = cls.described_by.parse(saved.spec), Start(saved.domain, saved.network())
        learned = saved.tensors["weights"], saved.tensors["intercept"]
        return cls(spec, saved.domain, saved.task, saved.record, start, *learned)


class ProbeFitted(LinearFitted):
    """A linear probe whose penalty was chosen on validation."""

    described_by = ProbeSpec


def fit_probes(spec: ProbeSpec, start: Start, task: Task, draws: Sequence[Draw]) -> list[ProbeFitted]:
    """A probe for each draw of one start, solved together; every example is embedded once, however many draws share it.

    Equal to fitting them one by one, up to rounding.
    """
    results = solve_draws(spec, start, task, draws)
    return [
        ProbeFitted(
            spec, start.domain, task, {**result.record, "diverged": False}, start, result.weights, result.intercept
        )
        for result in results
    ]


def solve_draws(spec: ProbeSpec, start: Start, task: Task, draws: Sequence[Draw]) -> list[ProbeResult]:
    """The probes of some draws as plain linear maps."""
    parts = [part for draw in draws for part in draw if len(part)]
    said = [answers(task, part, start.domain) for part in parts]
    labels = np.concatenate([one.labels for one in said])
    counts = iter(len(one.labels) for one in said)
    sizes = [[next(counts) if len(part) else 0 for part in draw] for draw in draws]
    return probe_many(
        np.concatenate([spec.features(start, task, part) for part in parts]),
        labels,
        pairs_of_runs(sizes),
        kind=said[0].kind,
        outputs=task.outputs,
        penalties=spec.penalties,
        by=spec.choose,
        score=lambda output, given: score_of(task, output, given),
        weights=[weights(task.calibrated(train), labels) for train, _ in draws],
        refit=spec.refit,
    )


def pairs_of_runs(sizes: Sequence[Sequence[int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Consecutive places for pairs of sizes: [[2, 1], [1, 1]] gives (0 1, 2) and (3, 4)."""
    ends = np.cumsum([size for pair in sizes for size in pair])
    runs = np.split(np.arange(ends[-1]), ends[:-1])
    return list(zip(runs[::2], runs[1::2], strict=True))
