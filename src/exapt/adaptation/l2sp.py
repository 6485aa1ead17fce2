"""L2-SP: every weight is drawn back to where it started (Li, Grandvalet & Davoine 2018, arXiv 1802.01483).

After each step of AdamW, w ← w − lr · α · (w − w0), with the rate of the weight's own group: AdamW's decoupled decay
(Loshchilov & Hutter 2019, arXiv 1711.05101) with w0 in the place of 0. As a term of the loss Adam would divide the pull
by the gradient's size. Where all gradients point one way, AdamW moves a weight by about lr a step, so that it comes to
rest at about 1/α from w0, whatever the rate, the batch size and the number of labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from exapt.adaptation.anchor import Anchor, AnchorBase, Hold, Strength, own_weights
from exapt.adaptation.origin import Origin
from exapt.backbones.base import Backbone
from exapt.errors import InputError
from exapt.training.watcher import Watcher


class L2spSpec(AnchorBase):
    """Pull the backbone to the weights it started from, instead of decaying it to 0. The head has no start to go back
    to and keeps the plain `weight_decay`."""

    needs_source: ClassVar[bool] = False
    kind: Literal["l2sp"] = "l2sp"
    alphas: list[Strength] = Field(default=[0.0, 10.0, 100.0, 1e6], min_length=1)
    """The grid of α, chosen on validation with the rate: a weight stays within about 1/α of its start. 0 lets go; from
    1 / rate on, the backbone does not move at all."""
    pairs: bool = False
    """Try every pair of rate and α; else all rates at the first α, then the other alphas at the best rate."""

    def anchor(self, backbone: Backbone, origin: Origin | None = None) -> L2spAnchor:
        """The anchor at a network's present weights, at the first α."""
        return L2spAnchor(
            {name: p.detach().float().clone() for name, p in own_weights(backbone).items()}, self.alphas[0]
        )


@dataclass(frozen=True)
class L2spAnchor(Anchor):
    """Float32 copies of the weights by name, and how hard they pull."""

    start: Mapping[str, Tensor]
    alpha: float

    def hold(self, backbone: Backbone) -> Hold:
        return Hold(watchers=[L2sp(own_weights(backbone), self.alpha, self.start)])


class L2sp(Watcher):
    """Pulls parameters to `start` (by name; their present values where it is not given) after every step."""

    name = "l2sp"

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], alpha: float, start: Mapping[str, Tensor] | None = None
    ) -> None:
        if alpha < 0:
            raise InputError(f"l2sp: α = {alpha}; it pulls with 0 or more")
        if any(hasattr(p, "device_mesh") for p in parameters.values()):
            raise InputError("l2sp: takes whole weights, not FSDP2's shards; set training.parallel: data")
        self.alpha = alpha
        where = start or {name: p.detach() for name, p in parameters.items()}
        self.start = {id(p): where[name].to(p.device, torch.float32, copy=True) for name, p in parameters.items()}

    @torch.no_grad()
    def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        for group in optimiser.param_groups:
            held = [p for p in group["params"] if id(p) in self.start]
            pull = min(1.0, float(group["lr"]) * self.alpha)
            if held and pull:
                goal = [self.start[id(p)].to(p.device) for p in held]
                torch._foreach_lerp_([p.data for p in held], goal, pull)

    def distance(self, parameters: Mapping[str, nn.Parameter]) -> float:
        """‖w − w0‖ over these parameters."""
        parts = [(p.detach().float() - self.start[id(p)]).square().sum() for p in parameters.values()]
        return float(torch.stack(parts).sum().sqrt())

    def state(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "start": self._sum()}

    def restore(self, state: Mapping[str, Any]) -> None:
        if state != self.state():
            raise InputError("l2sp: this run was begun with another α or other starting weights; choose a new folder")

    def _sum(self) -> float:
        """A cheap mark of the starting weights."""
        return float(torch.stack([part.double().abs().sum() for part in self.start.values()]).sum())
