"""SimCLR: two views of an example find each other among those of all others (Chen et al. 2020, arXiv 2002.05709)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.projector import Usual
from exapt.objectives.views import Compared, ViewsObjective, ViewsSpec, seeded


class SimclrSpec(ViewsSpec):
    """Tell each example's other view from the views of all other examples. Likes large batches."""

    kind: Literal["simclr"] = "simclr"
    temperature: PositiveFloat = 0.2
    """τ: the lower, the more the nearest of the others count. The paper has 0.1 for batches of 4096, 0.5 for small
    ones."""
    negatives: bool = True
    """False leaves the pull between the views alone, which collapses: to see that the monitor finds it."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Simclr:
        """Raises `InputError` for a domain without views."""
        return Simclr(self, domain, backbone, seed)


class Simclr(ViewsObjective):
    """NT-Xent over the projections of two views."""

    names: ClassVar[tuple[str, ...]] = ("accuracy",)

    def __init__(self, spec: SimclrSpec, domain: Domain, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__(spec, domain)
        self.temperature, self.negatives = spec.temperature, spec.negatives
        self.projector = spec.projector.build(backbone.width, Usual(width=128, layers=2), seeded(seed))

    def compare(self, backbone: Backbone, pooled: Tensor, views: Sequence[Batch], rng: torch.Generator) -> Compared:
        projections = self.projector(pooled)
        scores, other = similarities(projections[0], projections[1], self.temperature)
        if self.negatives:
            value = F.cross_entropy(scores, other)
        else:
            value = 1 / self.temperature - scores.gather(1, other[:, None]).mean()
        right = (scores.argmax(1) == other).to(value.dtype).mean()
        return Compared(value, projections, {"accuracy": right})


def similarities(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(2 n, 2 n) cosines of all views over τ, −∞ to themselves, and (2 n,) where each one's other view stands."""
    both = F.normalize(torch.cat([first, second]), dim=1)
    count = len(first)
    other = torch.arange(2 * count, device=both.device).roll(count)
    itself = torch.eye(2 * count, dtype=torch.bool, device=both.device)
    return (both @ both.T / temperature).masked_fill(itself, -torch.inf), other


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """() the paper's eq. 1, mean over all 2 n views: −log of each one's other view among all but itself."""
    return F.cross_entropy(*similarities(first, second, temperature))
