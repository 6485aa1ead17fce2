"""Supervised pre-training: the classes of a labelled corpus, as ImageNet's are used (Girshick et al. 2014, §2.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.domains.labels import choose_classes, class_numbers, refuse_numbers, word
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.cross_entropy import plain_cross_entropy
from exapt.objectives.guess import Guess

TARGET = "pretext class"
"""Under which name the encoded classes travel with the corpus; −1 where an example has none."""


class SupervisedSpec(PretextSpec):
    """Predict the corpus's own classes, from the column that `corpus.label` names. Examples without one cost nothing.

    The corpus's labels are no label budget: a study says how many there were.
    """

    kind: Literal["supervised"] = "supervised"
    classes: list[str] | None = Field(default=None, min_length=2)
    """The classes in order; None: those found, as numbers or by the alphabet."""
    augment: bool = False
    """Train on one random view of each example (`domain.views`), as contrastive objectives do, for a fair comparison.
    """

    @property
    def reads_labels(self) -> bool:
        return True

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """With the classes written out; raises `InputError` where the corpus names no label, or holds numbers."""
        if self.classes:
            return self
        name = _column(dataset)
        classes = choose_classes(dataset, name, _words(dataset, name), None)
        refuse_numbers(dataset, name, classes, "is it a number? Classes are learnt here: name another corpus.label")
        return self.model_copy(update={"classes": classes})

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with each example's class number; raises `InputError` at a class that is not known."""
        name = _column(dataset)
        numbers = class_numbers(dataset, name, _words(dataset, name), self.classes or [])
        return replace(dataset, targets={**dataset.targets, TARGET: numbers})

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """The head for settled classes; raises `InputError` where they are not known."""
        if not self.classes:
            raise InputError("objective.classes is not known before a corpus is read; list the classes")
        return Supervised(domain, backbone.width, len(self.classes), self.augment, seed)


class Supervised(Objective):
    """Mean-pooled features -> linear -> cross entropy over C classes."""

    def __init__(
        self, domain: Domain, width: int, classes: int, augment: bool = False, seed: int | None = None
    ) -> None:
        super().__init__()
        self.domain, self.augment = domain, augment
        self.out = nn.Linear(width, classes)
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        nn.init.normal_(self.out.weight, std=width**-0.5, generator=rng)
        nn.init.zeros_(self.out.bias)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        """The mean cross entropy of the examples that have a class, in nats; views are for training only."""
        if TARGET not in batch.targets:
            raise InputError("objective.kind=supervised: these examples carry no classes; attach them to the data set")
        guess = self.guess(backbone, batch, rng)
        loss, correct = plain_cross_entropy(guess.output, guess.target)
        return Loss(loss, len(guess.target), {"accuracy": correct})

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """What it says of every example that has a class; of examples that carry none, as in LwF, of all of them."""
        if self.augment and self.training:
            batch = self.domain.views(batch, rng, count=1)[0]
        target: Tensor | None = batch.targets.get(TARGET)
        output: Tensor = self.out(backbone(batch).pooled("mean"))
        if target is None:
            every = torch.arange(len(batch), device=output.device)
            return Guess("classes", output, torch.full_like(every, -1), every)
        seen = (target >= 0).nonzero().squeeze(1)
        return Guess("classes", output[seen], target[seen], seen)


def _column(dataset: Dataset) -> str:
    """The one column that the source named as label."""
    names = dataset.roles.get("label", ())
    if len(names) != 1:
        there = ", ".join(names or sorted(dataset.columns))
        said = f"{'found' if names else 'there are:'} {there}" if there else "no column was read"
        raise InputError(
            f"{dataset.source}: objective.kind=supervised learns one column of classes; set corpus.label to it ({said})"
        )
    return names[0]


def _words(dataset: Dataset, name: str) -> list[str | None]:
    return [word(value) for value in dataset.column(name)]
