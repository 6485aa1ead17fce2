"""SimSiam: predict one view from the other, no gradient through the predicted (Chen & He 2021, arXiv 2011.10566)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.projector import Projector, Usual
from exapt.objectives.views import Compared, ViewsObjective, ViewsSpec, seeded


class SimsiamSpec(ViewsSpec):
    """Predict each view from the other. Nothing in the loss forbids a collapse: watch the monitor."""

    judges: ClassVar[bool] = False
    kind: Literal["simsiam"] = "simsiam"
    stop_gradient: bool = True
    """False also pulls the predicted view, which collapses: to see that the monitor finds it."""
    predictor: bool = True
    """False compares the projections themselves, which collapses too."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Simsiam:
        """Raises `InputError` for a domain without views."""
        return Simsiam(self, domain, backbone, seed)


class Simsiam(ViewsObjective):
    """One less the cosine of each view's prediction and the other view, mean over both ways round."""

    def __init__(self, spec: SimsiamSpec, domain: Domain, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__(spec, domain)
        rng, hidden = seeded(seed), spec.projector.hidden_for(backbone.width)
        self.stop_gradient = spec.stop_gradient
        self.projector = spec.projector.build(backbone.width, Usual(width=hidden, layers=3, last=True), rng)
        width = self.projector.width
        self.predictor = Projector([width, max(1, width // 4), width], spec.projector.norm, rng=rng)
        if not spec.predictor:
            self.predictor = Projector([width], "none")

    def compare(self, backbone: Backbone, pooled: Tensor, views: Sequence[Batch], rng: torch.Generator) -> Compared:
        projections = self.projector(pooled)
        goals = projections.detach() if self.stop_gradient else projections
        return Compared(crossed(self.predictor(projections), goals), projections, {})


def crossed(predictions: Tensor, goals: Tensor) -> Tensor:
    """() 1 − cos of each view's prediction and the other view's goal, (2, n, W) each: between 0 and 2."""
    return 1 - F.cosine_similarity(predictions, goals.flip(0), dim=-1).mean()
