"""VICReg: invariance, variance, covariance (Bardes et al. 2022, arXiv 2105.04906). Needs no negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.projector import Usual
from exapt.objectives.views import Compared, ViewsObjective, ViewsSpec, seeded

EPS = 1e-4
"""Added to a variance before its root, as in the paper."""


class VicregSpec(ViewsSpec):
    """Pull views together, keep every direction spread and the directions apart."""

    kind: Literal["vicreg"] = "vicreg"
    invariance: float = Field(default=25.0, ge=0)
    """Weight of the squared distance of the views, a mean over directions."""
    variance: float = Field(default=25.0, ge=0)
    """Weight of what each direction's deviation lacks to 1. With 0 the network may collapse."""
    covariance: float = Field(default=1.0, ge=0)
    """Weight of the squared covariances between directions."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Vicreg:
        """Raises `InputError` for a domain without views."""
        return Vicreg(self, domain, backbone, seed)


class Vicreg(ViewsObjective):
    """The weighted sum of three terms over the projections of two views."""

    names: ClassVar[tuple[str, ...]] = ("invariance", "variance", "covariance")

    def __init__(self, spec: VicregSpec, domain: Domain, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__(spec, domain)
        self.weights = {name: float(getattr(spec, name)) for name in self.names}
        usual = Usual(width=spec.projector.hidden_for(backbone.width), layers=3)
        self.projector = spec.projector.build(backbone.width, usual, seeded(seed))

    def compare(self, backbone: Backbone, pooled: Tensor, views: Sequence[Batch], rng: torch.Generator) -> Compared:
        projections = self.projector(pooled)
        terms = vicreg_terms(projections[0], projections[1])
        value = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return Compared(value, projections, terms)


def vicreg_terms(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """The three terms of two views (n, W), n at least 2.

    Invariance is a mean over directions and variance one over the views, as in the authors' experiments; the formulas
    of the paper have sums there, with weights to match.
    """
    views = (first, second)
    return {
        "invariance": F.mse_loss(first, second),
        "variance": torch.stack([_lacking(view) for view in views]).mean(),
        "covariance": torch.stack([_covariance(view) for view in views]).sum(),
    }


def _lacking(view: Tensor) -> Tensor:
    """What the deviations lack to 1, mean over directions (eq. 1 and 2)."""
    return (1 - (view.var(0) + EPS).sqrt()).clamp(min=0).mean()


def _covariance(view: Tensor) -> Tensor:
    """Squared covariances between directions, summed, over their number (eq. 3 and 4)."""
    around = view - view.mean(0)
    matrix = around.T @ around / (len(view) - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]
