"""What every self-supervised objective is: a loss of a backbone on an unlabelled batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.objectives.guess import Guess
from exapt.spec import Spec


@dataclass(frozen=True)
class Loss:
    """A loss, what it averages over, and its named parts."""

    value: Tensor
    """() mean over `count` items, in nats or squared units."""
    count: int
    """How many items (hidden tokens, patches, examples) the mean is over: accumulation weighs by it."""
    terms: Mapping[str, float | Tensor] = field(default_factory=dict)
    """Named figures for the log, detached."""


class Objective(nn.Module, ABC):
    """A self-supervised loss with whatever head it needs. Knows no field: the domain hides and augments."""

    least: ClassVar[int] = 1
    """Examples that a batch must hold for the loss to mean anything; a smaller one counts for nothing."""
    squared: ClassVar[bool] = False
    """Whether its loss is a mean squared error, a Gaussian's likelihood, for a battery that weighs by uncertainty."""

    @property
    def guesses(self) -> bool:
        """Whether `guess` is there."""
        return type(self).guess is not Objective.guess

    @abstractmethod
    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        """The loss of one batch; every random choice draws from `rng`."""

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """What is predicted of each item, where an objective predicts anything; draws as `forward` does.

        Raises `InputError` for a loss that is not made of single items with a likelihood, such as a contrastive one.
        """
        raise InputError(
            f"{type(self).__name__}: predicts no single item, so it has no Fisher information and no outputs to keep; "
            "valid here: l2sp, replay"
        )


class PretextSpec(Spec, ABC):
    """What every objective's description can do."""

    judges: ClassVar[bool] = True
    """Whether a lower held-out loss is a better network. Where not (the loss of a target that moves, or of a collapse),
    training ends with its last weights."""
    positive: ClassVar[bool] = True
    """Whether its loss is never below 0, as a weighing by uncertainty needs."""

    @property
    def reads_labels(self) -> bool:
        """Whether it learns from labels of the corpus, which `corpus.label` must then name."""
        return False

    def check_network(self, network: Spec) -> None:
        """Raise `InputError` where a network's description already says that it does not serve: before any work."""

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """The same with what the corpus decides (the classes of labels, the number of communities) written out.

        The artifact holds this one, so that it builds the same objective again without the corpus.
        """
        return self

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with targets of the objective's own, such as labels or communities; by default as it is."""
        return dataset

    @abstractmethod
    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """The objective for a domain and a backbone; raises `InputError` where they do not go together."""
