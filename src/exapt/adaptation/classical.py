"""The classical baseline: the field's own simple features under a linear model, without any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from exapt.adaptation.answers import answers, score_of, weights
from exapt.adaptation.classical_linear import apply, fit_path
from exapt.adaptation.combine import combine
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.judging import loss_of, varied
from exapt.adaptation.knn import targets
from exapt.adaptation.remembered import recall, remember
from exapt.adaptation.selection import Choice, choose
from exapt.domains.base import Dataset, Domain
from exapt.spec import Spec
from exapt.tasks.base import Task

Which = Literal["usual", "raw"]
PENALTIES = tuple(float(f"{p:.4g}") for p in np.logspace(-4, 2, 10))


class ClassicalSpec(Spec):
    """TF-IDF, k-mers or pixels with logistic or ridge regression. Validation picks the penalty."""

    kind: Literal["classical"] = "classical"
    features: Which = "usual"
    """The field's usual features, or, of nodes, their own values without those of their neighbours."""
    penalties: list[float] = Field(default=list(PENALTIES), min_length=1)
    """The grid of λ = 1/C."""
    choose: Literal["loss", "metric"] = "loss"
    """What picks the penalty on validation."""
    refit: bool = True
    """Learn features and weights anew on training and validation together, at the chosen penalty."""

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """One baseline; nothing in it is random."""
        path = follow(self, start.domain, task, train, valid)
        record = path.record | {"diverged": False}
        return ClassicalFitted(self, start.domain, task, record, path.final(self.refit))


@dataclass(frozen=True)
class Path:
    """All penalties fitted on train, judged on validation."""

    domain: Domain
    task: Task
    train: Dataset
    valid: Dataset
    penalties: Sequence[float]
    weights: np.ndarray
    """(P, K, p + 1)."""
    outputs: list[Tensor]
    """(v, K) on validation, for each penalty."""
    scores: list[float]
    losses: list[float]
    choice: Choice
    features: Which = "usual"

    @property
    def record(self) -> dict[str, Any]:
        place = self.choice.place
        figures = {"valid_score": self.scores[place], "valid_loss": self.losses[place]}
        return {"penalty": self.penalties[place], "chosen_by": self.choice.by, **figures}

    def final(self, refit: bool) -> Learnt:
        """The weights at the chosen penalty, and what the features are learnt on."""
        place = self.choice.place
        if not refit or not len(self.valid):
            return Learnt(self.train, self.weights[place], self.features)
        both = combine(self.train, self.valid)
        matrix = matrices(self.domain, self.task, both, [], self.features)[0]
        weights = _weights(self.domain, self.task, matrix, both, [self.penalties[place]])[0]
        return Learnt(both, weights, self.features)


@dataclass(frozen=True)
class Learnt:
    """A fitted baseline."""

    train: Dataset
    """The examples that the features were learnt on; features of elements learn nothing."""
    weights: np.ndarray
    """(K, p + 1)."""
    features: Which = "usual"

    def outputs(self, domain: Domain, task: Task, dataset: Dataset) -> Tensor:
        """(n, K), or (N, K) over kept elements."""
        return torch.from_numpy(apply(self.weights, matrices(domain, task, self.train, [dataset], self.features)[1]))

    def tensors(self, task: Task) -> dict[str, Tensor]:
        """All of it."""
        train = self.train.subset([]) if task.per_element else self.train
        return {"weights": torch.from_numpy(self.weights).contiguous(), **remember(train)}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], features: Which = "usual") -> Self:
        """From what `tensors` gave."""
        return cls(recall(tensors), tensors["weights"].numpy(), features)


def follow(spec: ClassicalSpec, domain: Domain, task: Task, train: Dataset, valid: Dataset) -> Path:
    """Fit every penalty on `train` and judge it on `valid`."""
    first, second = matrices(domain, task, train, [valid], spec.features)
    penalties = sorted(spec.penalties)
    path = _weights(domain, task, first, train, penalties)
    if not len(valid):
        nothing = [float("nan")] * len(path)
        return Path(
            domain,
            task,
            train,
            valid,
            penalties,
            path,
            [],
            nothing,
            nothing,
            choose(nothing, nothing, False, len(path) // 2),
            spec.features,
        )
    said = answers(task, valid, domain)
    wanted = targets(said)
    outputs = [torch.from_numpy(apply(one, second)) for one in path]
    losses = [loss_of(output, wanted, said.kind) for output in outputs]
    judged = varied(wanted)
    scores = [score_of(task, output, said.labels) if judged else float("nan") for output in outputs]
    choice = choose(scores, losses, judged and spec.choose == "metric", len(path) // 2)
    return Path(domain, task, train, valid, penalties, path, outputs, scores, losses, choice, spec.features)


def matrices(
    domain: Domain, task: Task, train: Dataset, others: Sequence[Dataset], features: Which = "usual"
) -> list[Any]:
    """The classical features of examples, or of kept elements where the task labels those; learnt on `train` alone."""
    if task.per_element:
        return [domain.classical_elements(part) if len(part) else None for part in (train, *others)]
    return domain.classical(train, others) if features == "usual" else domain.classical_raw(train, others)


def _weights(domain: Domain, task: Task, matrix: Any, dataset: Dataset, penalties: Sequence[float]) -> np.ndarray:
    said = answers(task, dataset, domain)
    heavy = weights(task.calibrated(dataset), said.labels)
    return fit_path(matrix, said.labels, said.kind, said.outputs, penalties, heavy)


@dataclass
class ClassicalFitted(Fitted):
    """Linear weights, and the examples that the features were learnt on."""

    spec: ClassicalSpec
    learnt: Learnt

    def outputs(self, dataset: Dataset) -> Tensor:
        return self.learnt.outputs(self.domain, self.task, dataset)

    def tensors(self) -> dict[str, Tensor]:
        return self.learnt.tensors(self.task)

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again from its folder."""
        spec = ClassicalSpec.parse(saved.spec)
        return cls(spec, saved.domain, saved.task, saved.record, Learnt.restore(saved.tensors, spec.features))
