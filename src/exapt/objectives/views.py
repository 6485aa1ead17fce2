"""What losses of several views of one example share: views, one pass through the backbone, pooling, a projector.

Shapes: V views, n examples (of all processes together), D the features' width, W the projector's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.batch import Batch, joinable, joined
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.gather import gathered
from exapt.objectives.projector import ProjectorSpec
from exapt.objectives.sphere import on_sphere


class ViewsSpec(PretextSpec):
    """Keys of every objective that compares views."""

    pooling: Literal["mean", "max", "sum", "first", "last"] = "mean"
    """How the features of an example's elements become one vector."""
    projector: ProjectorSpec = ProjectorSpec()
    viewing: dict[str, Any] = {}
    """Keys of the domain's views that this objective sets otherwise, such as `{jitter: 0}`: one study can then
    pre-train with and without a change."""

    def check(self, domain: Domain) -> None:
        """Raise `InputError` where a domain has no views."""
        if type(domain).views is Domain.views:
            raise InputError(
                f"objective: {type(domain).__name__} has no views of an example to compare; valid here: masked"
            )


class Compared(NamedTuple):
    """What a loss says of views."""

    value: Tensor
    """()."""
    projections: Tensor
    """(V, n, W) what it compared."""
    terms: dict[str, Tensor]
    """Figures of its own."""


class ViewsObjective(Objective):
    """Draws views, encodes them, gathers those of all processes, and has `compare` do the rest.

    The projector runs on the features of all processes, so that its batch norm and every loss see what one process with
    all examples would. In evaluation each batch stands alone. A batch of one example has nothing to be compared with:
    it counts for nothing.
    """

    least: ClassVar[int] = 2
    count = 2
    """V."""

    def __init__(self, spec: ViewsSpec, domain: Domain) -> None:
        super().__init__()
        spec.check(domain)
        self.domain = domain.viewing(spec.viewing) if spec.viewing else domain
        self.pooling = spec.pooling

    @abstractmethod
    def compare(self, backbone: Backbone, pooled: Tensor, views: Sequence[Batch], rng: torch.Generator) -> Compared:
        """The loss of pooled features (V, n, D), in the precision they have; `views` are this process's own."""

    names: ClassVar[tuple[str, ...]] = ()
    """The figures that `compare` adds."""

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        views = self.domain.views(batch, rng, self.count)
        pooled = self.together(pooled_views(backbone, views, self.pooling))
        if pooled.shape[1] < self.least:
            none = pooled.new_zeros(())
            return Loss(pooled.sum() * 0, 0, dict.fromkeys(("alignment", "uniformity", *self.names), none))
        # The products of a loss are few, and bfloat16 cannot tell a similarity of 0.998 from 1.
        with torch.autocast(pooled.device.type, enabled=False):
            found = self.compare(backbone, pooled, views, rng)
            terms = on_sphere(found.projections) | {name: found.terms[name].detach() for name in self.names}
        return Loss(found.value, len(batch), terms)

    def together(self, features: Tensor) -> Tensor:
        """(V, n, D) of every process in training, of this one in evaluation."""
        return gathered(features) if self.training else features


def pooled_views(backbone: Backbone, views: Sequence[Batch], pooling: str) -> Tensor:
    """(V, n, D) in float32 or more: all views in one pass where their shapes allow it, else one by one."""
    parts = [backbone(joined(views))] if joinable(views) else [backbone(view) for view in views]
    pooled = torch.cat([part.pooled(pooling) for part in parts])
    wide = pooled.to(torch.promote_types(pooled.dtype, torch.float32))
    return wide.unflatten(0, (len(views), -1)) if len(wide) else wide.reshape(len(views), 0, wide.shape[1])


def seeded(seed: int | None) -> torch.Generator | None:
    """A generator for fresh weights; None draws from torch's global one."""
    return None if seed is None else torch.Generator().manual_seed(seed)
