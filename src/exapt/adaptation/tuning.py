"""A backbone under a task's head, as the training loop takes it: what is frozen, and which rate each block has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from exapt.adaptation.features import by_example, device_of, evaluating, inner_elements
from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss
from exapt.tasks.base import Task
from exapt.training.optimiser import parameter_groups
from exapt.training.trainable import Augment, Trainable


class Tuning(Trainable):
    """Backbone and head under the task's loss; frozen blocks stay in evaluation mode, without dropout or gradients."""

    def __init__(
        self, backbone: Backbone, head: nn.Module, task: Task, augment: Augment | None, last: int | None
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.task, self.augment, self.last = task, augment, last
        self.frozen = frozen_blocks(backbone, last)
        for block in self.frozen:
            block.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for block in self.frozen:
            block.eval()
        return self

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        if self.training and self.augment is not None:
            batch = self.augment(batch, rng)
        return self.task.loss(self.task.ask(self.backbone, self.head, batch), batch)

    def copy(self) -> Tuning:
        """The same weights anew; task and field are shared."""
        return Tuning(copy.deepcopy(self.backbone), copy.deepcopy(self.head), self.task, self.augment, self.last)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.backbone.blocks)[1:-1]

    @property
    def width(self) -> int:
        return self.backbone.width

    def output(self, domain: Domain, dataset: Dataset, of: Callable[[Features], Tensor] | None = None) -> Tensor:
        """Outputs (n, K), or (N, K) over kept elements, in the order of the data set; in evaluation mode.

        `of` takes the head's place.
        """
        device = device_of(self)

        def compute(batch: Batch, kept: Tensor) -> list[np.ndarray]:
            batch = batch.to(device)
            out = of(self.backbone(batch)) if of else self.task.ask(self.backbone, self.head, batch)
            out = out if out.dtype == torch.float64 else out.float()
            if not self.task.per_element:
                return list(out.cpu().numpy())
            inner = inner_elements(Features(out, batch.offsets), kept.to(batch.offsets.device))
            return [rows.cpu().numpy() for rows in inner.elements.split(inner.offsets.diff().tolist())]

        with evaluating(self):
            rows = by_example(domain, dataset, compute)
        if not rows:
            return torch.zeros(0, self.task.outputs)
        return torch.from_numpy(np.concatenate(rows) if self.task.per_element else stacked(rows))


def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """(n, …) arrays in one; those that are shorter along their first axis than others end in NaN."""
    longest = max((row.shape[0] for row in rows if row.ndim), default=0)
    if all(row.ndim == 0 or row.shape[0] == longest for row in rows):
        return np.stack(rows)
    whole = np.full((len(rows), longest, *rows[0].shape[1:]), np.nan, rows[0].dtype)
    for place, row in enumerate(rows):
        whole[place, : len(row)] = row
    return whole


def frozen_blocks(backbone: Backbone, last: int | None) -> list[nn.Module]:
    """All blocks but the last k layers and the final norm; None freezes nothing, 0 everything."""
    blocks = list(backbone.blocks)
    if last is None:
        return []
    if last > len(blocks) - 2:
        raise InputError(f"adapt.last: {last} blocks, but the backbone has {len(blocks) - 2}; leave it out to tune all")
    return blocks if last == 0 else blocks[: -(last + 1)]


def layer_groups(
    tuning: Tuning, rate: float, decay: float, weight_decay: float, backbone_decay: float | None = None
) -> list[dict[str, Any]]:
    """AdamW groups with real rates: head and final norm at `rate`, each block below at `decay` times the one above it.

    Layer-wise rate decay (Howard & Ruder 2018; BEiT, Bao et al. 2021). Frozen blocks have no group. `backbone_decay`
    is the weight decay of the backbone, where it is not the head's.
    """
    body_decay = weight_decay if backbone_decay is None else backbone_decay
    groups = parameter_groups(tuning.head.parameters(), rate, weight_decay)
    for depth, block in enumerate(reversed(list(tuning.backbone.blocks))):
        groups += parameter_groups(block.parameters(), rate * decay**depth, body_decay)
    return groups


@torch.no_grad()
def distances(backbone: Backbone, start: Backbone) -> list[float]:
    """‖w − w0‖ of every block, from input to output."""
    return [
        float(sum(float((p.double() - q.double()).square().sum()) for p, q in zip(*pair, strict=True)) ** 0.5)
        for pair in ((a.parameters(), b.parameters()) for a, b in zip(backbone.blocks, start.blocks, strict=True))
    ]
