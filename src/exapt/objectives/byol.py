"""BYOL: predict what a moving average of the network makes of the other view (Grill et al. 2020, arXiv 2006.07733)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.base import Loss
from exapt.objectives.projector import Projector, Usual
from exapt.objectives.simsiam import crossed
from exapt.objectives.views import Compared, ViewsObjective, ViewsSpec, pooled_views, seeded

M = TypeVar("M", bound=nn.Module)


class ByolSpec(ViewsSpec):
    """Predict a moving average of the network itself. Works with small batches."""

    judges: ClassVar[bool] = False
    kind: Literal["byol"] = "byol"
    momentum: float = Field(default=0.99, ge=0, lt=1)
    """How much of the average stays at each step."""
    rise: PositiveInt | None = None
    """Steps over which the momentum rises to 1 by a cosine, as in the paper: `pretrain.steps`. None: it stays."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Byol:
        """Raises `InputError` for a domain without views."""
        return Byol(self, domain, backbone, seed)


class Byol(ViewsObjective):
    """One less the cosine of predictions and the average network's projections, mean over both ways round: half the
    paper's eq. 2.

    The average network is held in buffers: it is saved with the objective, no optimiser touches it, and it moves at the
    start of every forward pass in training (once a micro-batch). At the first one it becomes a copy.
    """

    updates: Tensor

    def __init__(self, spec: ByolSpec, domain: Domain, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__(spec, domain)
        rng = seeded(seed)
        self.momentum, self.rise = spec.momentum, spec.rise
        self.projector = spec.projector.build(backbone.width, Usual(width=256, layers=2), rng)
        width = self.projector.width
        hidden = spec.projector.hidden_for(backbone.width)
        self.predictor = Projector([width, hidden, width], spec.projector.norm, rng=rng)
        self.target = without_parameters(backbone)
        self.target_projector = without_parameters(self.projector)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        if self.training:
            self.follow(backbone)
        return super().forward(backbone, batch, rng)

    def compare(self, backbone: Backbone, pooled: Tensor, views: Sequence[Batch], rng: torch.Generator) -> Compared:
        projections = self.projector(pooled)
        with torch.no_grad():
            goals = self.target_projector(self.together(pooled_views(self.target, views, self.pooling)))
        return Compared(crossed(self.predictor(projections), goals), projections, {})

    @torch.no_grad()
    def follow(self, backbone: nn.Module) -> None:
        """Move the average network a step towards the present one."""
        keep = momentum_at(int(self.updates), self.momentum, self.rise)
        for average, network in ((self.target, backbone), (self.target_projector, self.projector)):
            held = dict(average.named_buffers(remove_duplicate=False))
            for name, parameter in network.named_parameters(remove_duplicate=False):
                whole = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
                held[name].lerp_(whole.to(held[name]), 1 - keep)
        self.updates += 1


def momentum_at(update: int, start: float, rise: int | None) -> float:
    """How much of the average stays: nothing at the first update, then `start`, rising to 1 by a cosine (§3.2)."""
    if update == 0:
        return 0.0
    if rise is None:
        return start
    return 1 - (1 - start) * (math.cos(math.pi * min(1.0, update / rise)) + 1) / 2


def without_parameters(network: M) -> M:
    """A copy whose parameters are buffers of the same names."""
    twin = copy.deepcopy(network)
    for part in twin.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach().clone())
    return twin
