"""What every self-supervised objective is: a loss of a backbone on an unlabelled batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.errors import InputError
from exapt.objectives.guess import Guess


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
