"""Learning without forgetting: the old network's outputs on the new inputs are kept (Li & Hoiem 2017,
arXiv 1606.09282), by distillation (Hinton et al. 2015, arXiv 1503.02531).

loss + strength · T² KL(old ‖ new), both softened by the temperature T; the factor T² keeps the gradient's size as T
grows. It assumes that what the old network says of the *new* inputs means something: the same kind of inputs as the
source's. On shifted inputs it holds the new network to nonsense.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from exapt.adaptation.anchor import Anchor, AnchorBase, Hold, frozen
from exapt.adaptation.features import device_of
from exapt.adaptation.origin import Origin
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.objectives.guess import Guess


class LwfSpec(AnchorBase):
    """Keep what the starting network predicted (hidden tokens or patches, or the source's labels) on the new inputs.
    Assumes that these are like the source's."""

    kind: Literal["lwf"] = "lwf"
    strength: float = Field(default=1.0, ge=0)
    """How much it counts beside the task's loss."""
    temperature: PositiveFloat = 2.0
    """T; above 1 the unlikely classes count more. Not used for predicted values, whose squared difference is taken."""

    def anchor(self, backbone: Backbone, origin: Origin | None) -> LwfAnchor:
        """The anchor at a network's present outputs."""
        return LwfAnchor(self, backbone, self.source(origin))


class LwfAnchor(Anchor):
    """A frozen copy of the network and of the source's own head."""

    def __init__(self, spec: LwfSpec, backbone: Backbone, origin: Origin) -> None:
        self.spec, self.origin = spec, origin
        old = copy.deepcopy((backbone, origin.objective), {id(origin.domain): origin.domain})
        self.backbone, self.objective = old
        for part in old:
            frozen(part)

    def hold(self, backbone: Backbone) -> Hold:
        def term(batch: Batch, rng: torch.Generator) -> Tensor:
            seed = int(torch.randint(2**62, (), generator=rng))  # both networks see the same elements hidden
            device = device_of(backbone)
            now = self.origin.objective.to(device).guess(backbone, batch, _generator(seed))
            with torch.no_grad():
                before = self.objective.to(device).guess(self.backbone.to(device), batch, _generator(seed))
            return self.spec.strength * distil(before, now, self.spec.temperature)

        return Hold(terms={"lwf": term})


def distil(old: Guess, new: Guess, temperature: float) -> Tensor:
    """() T² KL(old ‖ new) at temperature T, a mean over items (and labels); mean squared difference for values."""
    first, second = old.output.float(), new.output.float()
    if not len(first):
        return second.sum() * 0.0
    if new.kind == "values":
        return F.mse_loss(second, first)
    if new.kind == "labels":
        first, second = (torch.stack([part, torch.zeros_like(part)], -1).flatten(0, 1) for part in (first, second))
    new_log, old_log = (F.log_softmax(part / temperature, -1) for part in (second, first))
    return temperature**2 * F.kl_div(new_log, old_log, reduction="batchmean", log_target=True)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
