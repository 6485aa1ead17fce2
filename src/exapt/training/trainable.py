"""What the loop trains: anything that maps a batch and a generator to a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.objectives.base import Loss, Objective

Augment = Callable[[Batch, torch.Generator], Batch]


class Trainable(nn.Module, ABC):
    """A network with its loss."""

    @abstractmethod
    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        """The loss of one batch. `rng` is a generator on the processor, seeded anew for every batch of every step."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Parts that FSDP2 shards, and `torch.compile` compiles, one by one; they may share no parameter."""
        return ()

    @property
    def width(self) -> int:
        """D of the backbone, by which `precision: auto` decides; 0 where there is none."""
        return 0


class Pretraining(Trainable):
    """A backbone under a self-supervised objective; `augment` changes training batches only."""

    def __init__(self, backbone: Backbone, objective: Objective, augment: Augment | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.objective = objective
        self.augment = augment

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        if self.training and self.augment is not None:
            batch = self.augment(batch, rng)
        loss: Loss = self.objective(self.backbone, batch, rng)
        return loss

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.backbone.blocks)[1:-1]  # the embedding is tied to the objective's head, the norm is tiny

    @property
    def width(self) -> int:
        return self.backbone.width
