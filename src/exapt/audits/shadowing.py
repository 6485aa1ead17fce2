"""The shadow models of a study: its own ways to use labels, each on random halves of some labelled examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from exapt.adaptation import AdaptSpec, FinetuneSpec, PrivateProbeSpec, ProbeSpec, Start, fit, fit_probes
from exapt.adaptation.fitted import Fitted
from exapt.adaptation.shadows import SmallNetwork, train_shadows
from exapt.audits.base import Subject
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.tasks.base import Task
from exapt.tasks.classify import ClassifyTask

LEAST = 50
HELD = 0.2
"""The share of a shadow's members that choose a penalty, as a study's validation part does; they are members too."""


@dataclass(frozen=True)
class Examples:
    """What is attacked: examples that each model saw or not, and a population that none did."""

    attacked: Dataset
    population: Dataset

    @classmethod
    def draw(cls, subject: Subject, count: int, population: int, rng: np.random.Generator) -> Examples:
        """From the study's pool; its test part is not touched. A small pool is shared out in the same proportion."""
        pool = rng.permutation(subject.pool)
        if len(pool) < count + population:
            count = int(len(pool) * count / (count + population))
        if count < LEAST:
            raise InputError(
                f"audit privacy: the pool of {len(pool)} labelled examples leaves {count} to attack; {LEAST} are needed"
            )
        parts = pool[:count], pool[count : count + population]
        return cls(*(subject.labelled.subset(part) for part in parts))


def labels_of(task: Task, dataset: Dataset) -> np.ndarray:
    """(n,) class numbers; raises `InputError` for tasks that do not give each example one class."""
    if not isinstance(task, ClassifyTask):
        raise InputError("audit privacy: needs a task with one class an example (task.kind=classify, one label column)")
    return task.truth(dataset).astype(np.int64)


def halves(models: int, examples: int, rng: np.random.Generator) -> np.ndarray:
    """(K, n) membership, each with probability ½ by itself: balanced halves would tell one model's from the others'."""
    return rng.random((models, examples)) < 0.5


def fits_on(spec: AdaptSpec, start: Start, task: Task, data: Dataset, member: np.ndarray, seed: int) -> list[Fitted]:
    """A fit of the spec on each row of `member` (K, n)."""
    draws = [_parts(spec, data, np.flatnonzero(row), seed + k) for k, row in enumerate(member)]
    if isinstance(spec, ProbeSpec):
        return list(fit_probes(spec, start, task, draws))
    spec = single_rate(spec, start)
    return [fit(spec, start, task, train, valid, seed + k) for k, (train, valid) in enumerate(draws)]


def single_rate(spec: AdaptSpec, start: Start) -> AdaptSpec:
    """A fine-tune at the middle rate of its grid: a shadow has no validation part to choose another by."""
    if not isinstance(spec, FinetuneSpec):
        return spec
    grid = spec.grid(start.network("finetune").width)
    return spec.model_copy(update={"rates": [sorted(grid)[len(grid) // 2]]})


def _parts(spec: AdaptSpec, data: Dataset, members: np.ndarray, seed: int) -> tuple[Dataset, Dataset]:
    """Training and validation part of a shadow's members. What does not train on validation gets none."""
    if isinstance(spec, FinetuneSpec | PrivateProbeSpec):
        return data.subset(members), data.subset([])
    order = np.random.default_rng(seed).permutation(members)
    held = max(1, int(HELD * len(order)))
    return data.subset(order[held:]), data.subset(order[:held])


def log_p_of(fits: Sequence[Fitted], data: Dataset, labels: np.ndarray) -> np.ndarray:
    """(K, n) log-probability that each fit gives each example's label."""
    rows = []
    for fitted in fits:
        out = torch.as_tensor(fitted.outputs(data)).double().log_softmax(1)
        rows.append(out[torch.arange(len(labels)), torch.as_tensor(labels)].numpy())
    return np.stack(rows)


def network_log_p(
    start: Start, spec: ProbeSpec, task: Task, examples: Examples, member: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Small networks on frozen features, trained side by side: log-probabilities of the attacked and the population."""
    rows, others = (spec.features(start, task, part) for part in (examples.attacked, examples.population))
    centre, spread = others.mean(0), others.std(0) + 1e-6  # of the population, which nobody is a member of
    seeds = [seed + k for k in range(len(member))]
    labels = [labels_of(task, part) for part in (examples.attacked, examples.population)]
    shadows = train_shadows((rows - centre) / spread, labels[0], member, task.outputs, SmallNetwork(), seeds)
    scaled = [(part - centre) / spread for part in (rows, others)]
    first, second = (shadows.log_p(part, known) for part, known in zip(scaled, labels, strict=True))
    return first, second


def with_canaries(data: Dataset, count: int, classes: int, rng: np.random.Generator) -> Dataset:
    """The data set with the labels of its first `count` examples replaced by wrong ones, drawn at random."""
    labels = data.targets["label"].copy()
    labels[:count] = (labels[:count] + rng.integers(1, classes, count)) % classes
    return replace(data, targets={**data.targets, "label": labels})
