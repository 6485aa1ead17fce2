"""Watches a battery: how much each part's loss pulls at the shared backbone, and whether a part is dead.

A look takes one fixed sample with the same draws every time, network in evaluation mode: each part's weighted loss, and
the norm of its gradient over the backbone's parameters as a share of the sum of all parts' norms. Weights that look
alike say little of it (losses differ in size by orders of magnitude; Chen et al. 2018, arXiv 1711.02257, measure the
same norms).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from exapt.batch import Batch
from exapt.objectives.battery import Battery, Part
from exapt.training.seeds import derive
from exapt.training.trainable import Pretraining
from exapt.training.watcher import Watcher

LOOKS = 20
"""Looks in a run, where none are asked for by number."""
DEAD = 0.01
"""Below this share of the gradient a part decides nothing …"""
WINDOW = 5
"""… and is called dead after so many looks running."""
STILL = 0.002
"""A loss that has never left its first value by more than this part of it …"""
PATIENT = 10
"""… is called still after so many looks."""

Look = dict[str, Any]


class SharesWatcher(Watcher):
    """Measures now and then; the first alarm of a part stays."""

    name = "battery"

    def __init__(self, model: Pretraining, battery: Battery, sample: Batch, total: int, every: int | None, seed: int):
        self.model, self.battery, self.sample, self.total = model, battery, sample, total
        self.every, self.seed = every or math.ceil(total / LOOKS), derive(seed, "gradient shares")
        self.looks: list[Look] = []
        self.alarms: dict[str, dict[str, Any]] = {}

    def began(self, step: int) -> None:
        """A look at the weights the run begins with, unless the checkpoint held it."""
        if not self.looks:
            training = self.model.training
            self.model.eval()
            self._look(step)
            self.model.train(training)

    def due(self, step: int) -> bool:
        return step % self.every == 0 or step == self.total

    def glanced(self, step: int, loss: tuple[float, float]) -> dict[str, Any]:
        """`NAME.share` and `NAME.fixed_loss`, the loss on the fixed sample, of every part."""
        look = self._look(step)
        for name in self.battery.weights:
            why = dead(self.looks, name) or still(self.looks, name)
            if why and name not in self.alarms:
                self.alarms[name] = {"step": step, "state": "DEAD TERM", "why": f"part '{name}': {why}"}
        shares = {f"{name}.share": share for name, share in look["shares"].items()}
        return shares | {f"{name}.fixed_loss": value for name, value in look["losses"].items()}

    def finish(self) -> dict[str, Any]:
        """What came of every part, and the alarms in the order in which they were raised."""
        parts = {name: self._part(name, weight) for name, weight in self.battery.weights.items()}
        return {"every": self.every, "parts": parts, "alarms": list(self.alarms.values())}

    def state(self) -> dict[str, Any]:
        return {"looks": self.looks, "alarms": self.alarms}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.looks, self.alarms = list(state["looks"]), dict(state["alarms"])

    def _look(self, step: int) -> Look:
        device = next(self.model.backbone.parameters()).device
        rng = torch.Generator().manual_seed(self.seed)
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            parts = self.battery.losses(self.model.backbone, self.sample.to(device), rng)
            norms = {part.name: gradient_norm(part, list(self.model.backbone.parameters())) for part in parts}
        whole = sum(norms.values())
        shares = {name: norm / whole if whole else 0.0 for name, norm in norms.items()}
        losses = {part.name: float(part.loss.value.detach()) for part in parts}
        self.looks.append({"step": step, "shares": shares, "losses": losses})
        return self.looks[-1]

    def _part(self, name: str, weight: float) -> dict[str, Any]:
        shares, losses = ([look[key][name] for look in self.looks] for key in ("shares", "losses"))
        middle = sorted(shares)[len(shares) // 2]
        found = {"weight": weight, "first_share": shares[0], "median_share": middle, "last_share": shares[-1]}
        found |= {"first_loss": losses[0], "last_loss": losses[-1]}
        if self.battery.uncertainty is not None:
            place = list(self.battery.weights).index(name)
            found["log_variance"] = float(self.battery.uncertainty.log_variances.detach()[place])
        return found


def gradient_norm(part: Part, parameters: Sequence[Tensor]) -> float:
    """The norm of a part's weighted gradient over the backbone; 0 where its loss does not depend on it."""
    wanted = [p for p in parameters if p.requires_grad]
    if not part.weighted.requires_grad or not wanted:
        return 0.0
    found = torch.autograd.grad(part.weighted, wanted, allow_unused=True)
    squares = [gradient.double().square().sum() for gradient in found if gradient is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def dead(looks: Sequence[Look], name: str) -> str:
    """Why a part is dead: its share stayed below `DEAD` over the last `WINDOW` looks; empty where it is not."""
    last = looks[1:][-WINDOW:]  # a head that starts at zero has no gradient to give before the first step
    if len(looks[0]["shares"]) < 2 or len(last) < WINDOW or any(look["shares"][name] >= DEAD for look in last):
        return ""
    most = max(look["shares"][name] for look in looks)
    once = f", after {most:.0%} at most before" if most >= DEAD else ""
    over = f"over {WINDOW} looks (steps {last[0]['step']} to {last[-1]['step']})"
    return f"its share of the gradient stayed below {DEAD:.0%} {over}{once}"


def still(looks: Sequence[Look], name: str) -> str:
    """Why a part stands still: after `PATIENT` looks its loss has never moved although it has a share."""
    first = looks[0]["losses"][name]
    moved = max(abs(look["losses"][name] - first) for look in looks)
    if len(looks) <= PATIENT or moved > STILL * abs(first):
        return ""
    return f"its loss never moved from {first:.4g} by more than {STILL:.1%} in {len(looks) - 1} looks"
