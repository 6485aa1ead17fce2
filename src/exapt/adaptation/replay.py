"""Replay: every step also trains on examples of the source, with the source's own loss (Robins 1995).

The strongest simple remedy where source examples can still be had; run it before anything cleverer.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from exapt.adaptation.anchor import Anchor, AnchorBase, Hold
from exapt.adaptation.features import device_of
from exapt.adaptation.origin import Origin
from exapt.backbones.base import Backbone
from exapt.batch import Batch


class ReplaySpec(AnchorBase):
    """Mix source examples into every step: loss + weight · loss of the source. Needs the source."""

    kind: Literal["replay"] = "replay"
    ratio: PositiveFloat = 1.0
    """Source examples for each labelled one in a step."""
    weight: float = Field(default=1.0, ge=0)
    """How much the source's mean loss counts beside the task's."""

    def anchor(self, backbone: Backbone, origin: Origin | None) -> ReplayAnchor:
        """The anchor; a network's present weights do not matter to it."""
        return ReplayAnchor(self, self.source(origin))


class ReplayAnchor(Anchor):
    """The source's loss on random examples of it, drawn from the step's own generator, so that runs resume."""

    def __init__(self, spec: ReplaySpec, origin: Origin) -> None:
        self.spec, self.origin = spec, origin

    def hold(self, backbone: Backbone) -> Hold:
        def term(batch: Batch, rng: torch.Generator) -> Tensor:
            origin = self.origin
            old = origin.draw(max(origin.objective.least, round(self.spec.ratio * len(batch))), rng)
            old = old if origin.augment is None else origin.augment(old, rng)
            device = device_of(backbone)
            return self.spec.weight * origin.objective.to(device)(backbone, old.to(device), rng).value

        return Hold(terms={"replay": term})
