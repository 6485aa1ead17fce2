"""The small network between features and a loss of views, which is thrown away afterwards."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.spec import Spec

Norm = Literal["batch", "layer", "none"]


class Usual(NamedTuple):
    """What an objective's paper has, where a user says nothing."""

    width: int
    layers: int
    last: bool = False
    """Whether the last layer is normalised as well, without a gain of its own."""


class ProjectorSpec(Spec):
    """Layers between the pooled features and the loss. What is not given is the objective's own default."""

    hidden: PositiveInt | None = None
    """Width of the inner layers; None: four times the features', at least 128."""
    width: PositiveInt | None = None
    """Width of what the loss compares; None: simclr 128, byol 256, sigreg 16, vicreg and simsiam as `hidden`."""
    layers: int | None = Field(default=None, ge=0, le=8)
    """Linear layers; 0: the loss sees the features themselves. None: simclr, byol 2, the others 3."""
    norm: Norm = "batch"
    """After each inner layer: `batch` as in the papers, over all views of all processes; `layer` where batches are of a
    few examples."""

    def hidden_for(self, features: int) -> int:
        """Width of the inner layers over features of a width."""
        return self.hidden or max(128, 4 * features)

    def build(self, features: int, usual: Usual, rng: torch.Generator | None = None) -> Projector:
        """Fresh weights over features of a width."""
        layers = usual.layers if self.layers is None else self.layers
        hidden, width = self.hidden_for(features), self.width or usual.width
        widths = [features, *[hidden] * (layers - 1), *([width] if layers else [])]
        return Projector(widths, self.norm, usual.last, rng)


class Projector(nn.Module):
    """(…, n, D) to (…, n, W): linear layers with a norm and a ReLU between them.

    Statistics of a batch norm are over all leading dimensions together: all views of all examples.
    """

    def __init__(self, widths: list[int], norm: Norm, last: bool = False, rng: torch.Generator | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(pairwise(widths)):
            ends = place == len(widths) - 2
            normal = norm != "none" and (last or not ends)
            # A bias before a norm is taken out again.
            linear = nn.utils.skip_init(nn.Linear, before, after, bias=not normal)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="linear" if ends else "relu", generator=rng)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
            layers += [
                linear,
                *([_norm(norm, after, affine=not ends)] if normal else []),
                *([] if ends else [nn.ReLU()]),
            ]
        self.layers = nn.Sequential(*layers)
        self.width = widths[-1]

    def forward(self, features: Tensor) -> Tensor:
        flat: Tensor = self.layers(features.flatten(0, -2))
        return flat.unflatten(0, features.shape[:-1])


def _norm(kind: Norm, width: int, affine: bool) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm1d(width, affine=affine)
    return nn.LayerNorm(width, elementwise_affine=affine)
