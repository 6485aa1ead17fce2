"""Pruning by magnitude: which weights to set to zero, and keeping them there while training goes on.

Only the matrices inside the layers are pruned: embeddings, norms, biases and the head are left alone. A zero in a dense
matrix saves neither bytes nor time; `structured` makes a network that is really smaller.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from exapt.adaptation.structured import removed
from exapt.backbones.base import Backbone
from exapt.errors import InputError
from exapt.spec import Spec
from exapt.training.watcher import Watcher

Scope = Literal["global", "layer"]
Evaluate = Callable[[], Mapping[str, float]]
UPDATES = 50
"""How often a gradual pruning chooses anew, at most."""


class PruneSpec(Spec):
    """What to prune before or during fine-tuning."""

    pattern: Literal["free", "2:4", "neurons", "neurons+heads"] = "free"
    """`free`: any weights; `2:4`: two of every four along the inputs, which Ampere GPUs can skip; `neurons`: whole
    neurons of the MLPs, so that the network is really smaller; `neurons+heads`: whole attention heads too."""
    sparsity: float = Field(default=0.5, ge=0, lt=1)
    """The share of weights, neurons or heads that goes."""
    scope: Scope = "global"
    """`free`: the smallest weights of the whole network, or the same share of every matrix (`layer`)."""
    gradual: bool = False
    """`free`: prune in steps while tuning (Zhu & Gupta 2017, arXiv 1710.01878) instead of all at the start."""
    ramp: float = Field(default=0.6, gt=0, lt=1)
    """`gradual`: the share of the steps over which the sparsity rises; validation chooses among the steps after it."""

    @model_validator(mode="after")
    def _no_idle_keys(self) -> Self:
        for key, owner in (("scope", "free"), ("gradual", "free")):
            if self.pattern != owner and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} does nothing when pattern is '{self.pattern}'; it belongs to '{owner}'")
        if self.pattern == "2:4" and self.sparsity != 0.5:
            raise ValueError(
                f"pattern '2:4' prunes half of the weights (found sparsity {self.sparsity:g}); leave it out"
            )
        if self.ramp != type(self).model_fields["ramp"].default and not self.gradual:
            raise ValueError("ramp does nothing without gradual: true")
        return self

    def start(self, backbone: Backbone) -> Backbone:
        """The network to begin with: pruned at once, or as it is where pruning is gradual. Its own copy."""
        if self.pattern in ("neurons", "neurons+heads"):
            return removed(backbone, self.sparsity, heads=self.pattern == "neurons+heads")
        pruned = copy.deepcopy(backbone)
        if not self.gradual:
            weights = prunable(pruned)
            apply_masks(weights, self.masks(weights, self.sparsity))
        return pruned

    def watcher(self, backbone: Backbone, steps: int) -> Pruner | None:
        """What keeps the network pruned over a run of so many steps; None where nothing needs to."""
        return Pruner(prunable(backbone), self, steps) if self.pattern in ("free", "2:4") else None

    def masks(self, weights: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """True where a weight stays."""
        if self.pattern == "2:4":
            return two_of_four(weights)
        return magnitude_masks(weights, sparsity, self.scope)


def prunable(backbone: Backbone) -> dict[str, nn.Parameter]:
    """The weights of linear maps and convolutions inside a backbone's layers, by name.

    Raises `InputError` where there are none.
    """
    inside = {id(part) for block in list(backbone.blocks)[1:-1] for part in block.modules()}
    found = {
        f"{name}.weight": cast(nn.Parameter, part.weight)
        for name, part in backbone.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d) and id(part) in inside
    }
    if not found:
        raise InputError("prune: this backbone has no linear maps inside its layers; there is nothing to prune")
    return found


def magnitude_masks(weights: Mapping[str, Tensor], sparsity: float, scope: Scope = "global") -> dict[str, Tensor]:
    """True where a weight stays: all but the `round(sparsity · n)` smallest magnitudes.

    n counts all weights together (`global`) or those of each matrix (`layer`). Of equal magnitudes the first go first,
    so the same weights always give the same masks. Raises `InputError` for a sparsity outside [0, 1).
    """
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity: {sparsity}; expected from 0 (nothing is pruned) to below 1")
    if scope == "layer":
        return {name: _largest(weight.detach().flatten(), sparsity).view_as(weight) for name, weight in weights.items()}
    joined = torch.cat([weight.detach().flatten() for weight in weights.values()])
    parts = _largest(joined, sparsity).split([weight.numel() for weight in weights.values()])
    return {name: part.view_as(weight) for (name, weight), part in zip(weights.items(), parts, strict=True)}


def two_of_four(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """True at the two largest of every four consecutive inputs of weights (out, in, …); of equals the last stay.

    Raises `InputError` where a weight's inputs do not come in fours.
    """
    masks = {}
    for name, weight in weights.items():
        if weight.shape[1] % 4:
            raise InputError(f"prune: {name} has {weight.shape[1]} inputs, and 2:4 needs a multiple of 4")
        fours = weight.detach().abs().movedim(1, -1).unflatten(-1, (-1, 4))
        rank = fours.argsort(stable=True, dim=-1).argsort(dim=-1)
        masks[name] = (rank >= 2).flatten(-2).movedim(-1, 1)
    return masks


@torch.no_grad()
def apply_masks(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Set what a mask leaves out to zero, in place."""
    for name, mask in masks.items():
        weights[name].masked_fill_(~mask, 0.0)


def zero_share(weights: Mapping[str, Tensor]) -> float:
    """The share of weights that are exactly zero."""
    total = sum(weight.numel() for weight in weights.values())
    return sum(int((weight == 0).sum()) for weight in weights.values()) / max(1, total)


def ramped(final: float, step: int, length: int) -> float:
    """The sparsity after `step` of `length` steps: s_f (1 − (1 − t/T)³), Zhu & Gupta 2017 (arXiv 1710.01878)."""
    return final * (1 - (1 - min(1.0, step / max(1, length))) ** 3)


class Pruner(Watcher):
    """Sets weights to zero and keeps them there.

    AdamW moves a zero by its momentum and by the gradient that a pruned weight still has, so the masks are applied
    again after every step. What was pruned once stays pruned.
    """

    name = "pruner"

    def __init__(self, weights: Mapping[str, nn.Parameter], spec: PruneSpec, steps: int) -> None:
        self.weights, self.spec = dict(weights), spec
        self.length = max(1, round(spec.ramp * steps)) if spec.gradual else 0
        self.every = max(1, self.length // UPDATES)
        self.masks: dict[str, Tensor] = {}
        self.step = 0

    @property
    def done(self) -> bool:
        """Whether the final sparsity is reached."""
        return self.step >= self.length

    def began(self, step: int) -> None:
        self.step = step
        if not self.masks:
            self._choose()
        apply_masks(self.weights, self.masks)

    def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        apply_masks(self.weights, self.masks)  # first, so that what grew again is not taken for large
        self.step = step
        if step <= self.length and (step % self.every == 0 or step == self.length):
            self._choose()
            apply_masks(self.weights, self.masks)

    def state(self) -> dict[str, Any]:
        return {"masks": {name: _packed(mask) for name, mask in self.masks.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.masks = {name: _unpacked(text, self.weights[name]) for name, text in state["masks"].items()}

    def judged(self, evaluate: Evaluate | None) -> Evaluate | None:
        """An evaluation that says nothing before the final sparsity is reached: denser weights must not be chosen."""
        if evaluate is None:
            return None
        return lambda: evaluate() if self.done else {"loss": float("nan")}

    def _choose(self) -> None:
        sparsity = ramped(self.spec.sparsity, self.step, self.length) if self.length else self.spec.sparsity
        self.masks = self.spec.masks(self.weights, sparsity)


def _largest(flat: Tensor, sparsity: float) -> Tensor:
    """(n,) False at the `round(sparsity · n)` smallest magnitudes."""
    order = flat.abs().argsort(stable=True)
    mask = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
    mask[order[: round(sparsity * len(flat))]] = False
    return mask


def _packed(mask: Tensor) -> str:
    """A mask as text, eight weights a byte."""
    return base64.b64encode(np.packbits(mask.cpu().numpy()).tobytes()).decode()


def _unpacked(text: str, like: Tensor) -> Tensor:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=like.numel())
    return torch.from_numpy(bits.astype(bool)).view(like.shape).to(like.device)
