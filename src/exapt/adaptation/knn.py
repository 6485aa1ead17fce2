"""The k-nearest-neighbour probe (Wu et al. 2018, arXiv 1805.01978; DINO's settings): nothing is fitted.

Shapes: q queries, n training rows, D width, K outputs, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from exapt.adaptation.answers import Answers, answers, score_of
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.judging import varied
from exapt.adaptation.linear import encode
from exapt.adaptation.probe import FrozenSpec
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.tasks.base import Task

ROWS = 1024
"""Queries compared with all training rows at once."""


class KnnSpec(FrozenSpec):
    """Cosine neighbours vote, weighted by exp(similarity / temperature). There is nothing to tune."""

    kind: Literal["knn"] = "knn"
    neighbours: PositiveInt = 20
    """k; all training rows where there are fewer."""
    temperature: PositiveFloat = 0.07
    centre: bool = True
    """Take the training mean off the features first: a transformer's all point much the same way."""

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """Validation is scored against train; then its labels vote as well."""
        parts = [train, valid] if len(valid) else [train]
        features = [torch.as_tensor(self.features(start, task, part)) for part in parts]
        said = [answers(task, part, start.domain) for part in parts]
        score = float("nan")
        if len(valid) and varied(targets(said[1])):
            output = vote(index(features[0], targets(said[0]), self.centre), features[1], said[0].kind, self)
            score = score_of(task, output, said[1].labels)
        whole = index(torch.cat(features), torch.cat([targets(one) for one in said]), self.centre)
        record = {"neighbours": min(self.neighbours, len(whole.features)), "valid_score": score, "diverged": False}
        return KnnFitted(self, start.domain, task, record, start, whole, said[0].kind)


@dataclass(frozen=True)
class Index:
    """Training rows with a label."""

    features: Tensor
    """(n, D) of length 1."""
    targets: Tensor
    """(n, K) one-hot classes, 0 or 1 labels, or standardised values; NaN where missing."""
    mean: Tensor
    """(D,) what was taken off; zeros where nothing was."""

    def unit(self, features: Tensor) -> Tensor:
        """Centred rows of length 1."""
        return torch.nn.functional.normalize(features.float() - self.mean, dim=1)


def targets(said: Answers) -> Tensor:
    """(n, K) with NaN where missing, one column for each output."""
    single = encode(said.labels, said.kind, said.outputs).float()
    return torch.cat([1 - single, single], 1) if said.kind == "classes" and said.outputs == 2 else single


def index(features: Tensor, wanted: Tensor, centre: bool) -> Index:
    """The rows that have any label."""
    known = (~wanted.isnan()).any(1)
    features, wanted = features[known].float(), wanted[known]
    mean = features.mean(0) if centre else torch.zeros(features.shape[1])
    return Index(torch.nn.functional.normalize(features - mean, dim=1), wanted, mean)


def vote(found: Index, queries: Tensor, kind: str, spec: KnnSpec) -> Tensor:
    """Outputs (q, K): log-probabilities of classes, log-odds of labels, or weighted means of values.

    A neighbour whose label is missing has no vote on it; where none has one, the mean over the index stands in.
    """
    overall = found.targets.nanmean(0).nan_to_num(0.5)
    rows = [_shares(found, part, overall, spec) for part in queries.split(ROWS)]
    shares = torch.cat(rows) if rows else queries.new_zeros(0, found.targets.shape[1])
    if kind == "classes":
        return shares.double().log()
    return shares.double().clamp(0, 1).logit() if kind == "labels" else shares


def _shares(found: Index, queries: Tensor, overall: Tensor, spec: KnnSpec) -> Tensor:
    """(q, K) weighted mean of the neighbours' targets."""
    nearest = (found.unit(queries) @ found.features.T).topk(min(spec.neighbours, len(found.features)), dim=1)
    # Less the nearest, which changes no share but keeps the exponentials in range.
    weights = ((nearest.values - nearest.values[:, :1]) / spec.temperature).exp()[..., None]
    wanted = found.targets[nearest.indices]
    voices = (weights * ~wanted.isnan()).sum(1)
    total = (weights * wanted.nan_to_num()).sum(1)
    return torch.where(voices > 0, total / voices.clamp(min=torch.finfo(voices.dtype).tiny), overall)


@dataclass
class KnnFitted(Fitted):
    """A frozen backbone and the features of all that was labelled."""

    spec: KnnSpec
    start: Start
    found: Index
    kind: str

    def outputs(self, dataset: Dataset) -> Tensor:
        queries = torch.as_tensor(np.asarray(self.spec.features(self.start, self.task, dataset)))
        return vote(self.found, queries, self.kind, self.spec)

    def backbone(self) -> Backbone | None:
        return self.start.backbone

    def tensors(self) -> dict[str, Tensor]:
        return {"features": self.found.features, "targets": self.found.targets, "mean": self.found.mean}

    def facts(self) -> dict[str, str]:
        return {"kind": self.kind}

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again from its folder."""
        spec, start = KnnSpec.parse(saved.spec), Start(saved.domain, saved.network())
        found = Index(*(saved.tensors[name] for name in ("features", "targets", "mean")))
        return cls(spec, saved.domain, saved.task, saved.record, start, found, saved.facts["kind"])
