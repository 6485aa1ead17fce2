"""What a start's weights were trained for, so that adaptation can hold on to it: a loss, and the examples it was on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.objectives.base import Loss, Objective
from exapt.objectives.guess import Guess
from exapt.tasks.base import Task
from exapt.tasks.multilabel import MultiLabelTask
from exapt.tasks.potential import PotentialTask
from exapt.tasks.regress import RegressTask
from exapt.training.holdout import hold_out
from exapt.training.pretrained import Pretrained
from exapt.training.seeds import derive
from exapt.training.trainable import Augment

ELEMENTS = 4096
"""How many elements of the source share a batch where its examples are only looked at."""


@dataclass(frozen=True)
class Origin:
    """A source: its objective with trained weights, and its examples, which are read when they are first needed."""

    objective: Objective
    domain: Domain
    examples: Callable[[], Dataset]
    """Cut to windows, without what is held out."""
    augment: Augment | None = None
    kept: dict[Any, Any] = field(default_factory=dict)
    """What was worked out once and serves every fit: the examples, Fisher diagonals."""

    @property
    def dataset(self) -> Dataset:
        """The examples."""
        return self.once("dataset", self.examples)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gave the first time."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def draw(self, count: int, rng: torch.Generator) -> Batch:
        """A batch of so many random examples, with replacement."""
        dataset = self.dataset
        places = torch.randint(len(dataset), (count,), generator=rng)
        return self.domain.collate([dataset[i] for i in places.tolist()])

    def batches(self, most: int, seed: int = 0) -> list[Batch]:
        """Batches of at most so many examples, drawn without replacement, those of like length together."""
        dataset = self.dataset
        chosen = np.random.default_rng(derive(seed, "source")).permutation(len(dataset))[:most]
        kept = self.domain.kept(dataset)[chosen]
        order = np.argsort(kept, kind="stable")
        cuts = np.flatnonzero(np.diff(np.cumsum(np.maximum(kept[order], 1)) // ELEMENTS)) + 1
        parts = np.split(chosen[order], cuts)
        return [self.domain.collate([dataset[i] for i in part.tolist()]) for part in parts if len(part)]


def pretraining_origin(start: Pretrained, corpus: Callable[[], Dataset]) -> Origin:
    """The source of pre-trained weights: their objective on the part of the corpus that they were trained on.

    The objective's own head (a dense layer, a decoder) stays as it is, so that the backbone must keep what it reads.
    """

    def examples() -> Dataset:
        return start.domain.windows(corpus_parts(start, corpus())[0], 0)

    objective = copy.deepcopy(start.objective, {id(start.domain): start.domain}).eval().requires_grad_(False)
    return Origin(objective, start.domain, examples, start.domain.augment)


def corpus_parts(start: Pretrained, corpus: Dataset) -> tuple[Dataset, Dataset | None]:
    """The part of the corpus that weights were trained on, and the part that was held out from them, if any.

    Both carry the targets of the objective's own, such as classes.
    """
    training = start.record.get("training", {})
    corpus = start.objective_spec.attach(corpus, start.domain)
    return hold_out(corpus, start.domain, training.get("holdout", 0), training.get("seed", 0))


class Supervised(Objective):
    """A labelled task as a source: its head, trained, and its loss. The head is shared, not copied."""

    def __init__(self, head: nn.Module, task: Task) -> None:
        super().__init__()
        self.head, self.task = head, task

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        return self.task.loss(self.task.ask(backbone, self.head, batch), batch)

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        output = self.task.ask(backbone, self.head, batch)
        if isinstance(self.task, PotentialTask):
            return self.task.guess(output, batch)
        owner = batch.segments if self.task.per_element else torch.arange(len(batch))
        found = _guess(self.task, output, batch, owner.to(output.device))
        seen = found.target >= 0 if found.kind == "classes" else found.target.isfinite().any(1)
        return Guess(found.kind, output[seen], found.target[seen], found.owner[seen])


def _guess(task: Task, output: Tensor, batch: Batch, owner: Tensor) -> Guess:
    labels = (batch.element_targets if task.per_element else batch.targets)["label"]
    if isinstance(task, RegressTask):
        centre, scale = (torch.as_tensor(part, device=labels.device) for part in (task.centre, task.scale))
        level = labels.log() if task.spec.log else labels
        return Guess("values", output, ((level.reshape(output.shape) - centre) / scale).float(), owner)
    if isinstance(task, MultiLabelTask):
        return Guess("labels", output, labels, owner)
    return Guess("classes", output, labels.long(), owner)
