"""SIGReg (LeJEPA): views agree, and their cloud is a standard normal one (Balestriero & LeCun 2025, arXiv 2511.08544).

Written from the paper. No teacher, no stopped gradient, one weight. A cloud is standard normal if and only if every
projection of it onto a line is; random lines are tested by Epps and Pulley's statistic, which compares characteristic
functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.gather import agreed
from exapt.objectives.projector import Usual
from exapt.objectives.views import Compared, ViewsObjective, ViewsSpec, seeded

KNOTS, REACH = 17, 3.0
"""The integral is over so many points of [0, 3]; the integrand is even, so that [−3, 0] holds as much."""


class SigregSpec(ViewsSpec):
    """Pull views to their mean and the cloud of each view to a standard normal one."""

    kind: Literal["sigreg"] = "sigreg"
    views: int = Field(default=4, ge=2, le=16)
    """Views of each example."""
    slices: PositiveInt = 256
    """Random lines at every step."""
    share: float = Field(default=0.02, ge=0, le=1)
    """λ: the loss is (1 − λ) · distance of the views to their mean + λ · test. With 0 the network may collapse."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Sigreg:
        """Raises `InputError` for a domain without views."""
        return Sigreg(self, domain, backbone, seed)


class Sigreg(ViewsObjective):
    """(1 − λ) · invariance + λ · Epps–Pulley, over the projections of V views."""

    names: ClassVar[tuple[str, ...]] = ("invariance", "normality")

    def __init__(self, spec: SigregSpec, domain: Domain, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__(spec, domain)
        self.count, self.slices, self.share = spec.views, spec.slices, spec.share
        self.projector = spec.projector.build(backbone.width, Usual(width=16, layers=3), seeded(seed))

    def compare(self, backbone: Backbone, pooled: Tensor, views: Sequence[Batch], rng: torch.Generator) -> Compared:
        projections = self.projector(pooled)
        lines = torch.randn(projections.shape[-1], self.slices, generator=rng, device=rng.device).to(projections)
        lines = agreed(lines) if self.training else lines
        invariance = (projections - projections.mean(0)).square().mean()
        normality = epps_pulley(projections @ F.normalize(lines, dim=0))
        value = (1 - self.share) * invariance + self.share * normality
        return Compared(value, projections, {"invariance": invariance, "normality": normality})


def epps_pulley(points: Tensor) -> Tensor:
    """() n ∫ |φ̂(t) − φ(t)|² φ(t) dt of points (…, n, S) on S lines, mean over the lines and what leads.

    φ̂ is the points' characteristic function, φ(t) = exp(−t² / 2) the normal's and the weight; by the trapezoid rule.
    """
    knots = torch.linspace(0, REACH, KNOTS, dtype=points.dtype, device=points.device)
    normal = (-knots.square() / 2).exp()
    angles = points[..., None] * knots
    apart = (angles.cos().mean(-3) - normal).square() + angles.sin().mean(-3).square()
    return 2 * points.shape[-2] * torch.trapezoid(apart * normal, knots, dim=-1).mean()
