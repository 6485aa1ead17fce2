"""Filling a task's fresh head from a head that `properties` learnt for the same column.

Only where both are linear in the mean of an example's features. Shapes: K outputs, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from exapt.domains.label_values import NO, YES
from exapt.objectives import Battery
from exapt.objectives.base import Objective
from exapt.objectives.properties import Properties
from exapt.objectives.property import PropertySpec
from exapt.tasks.heads import Head


class Linear(NamedTuple):
    """What a head of `properties` computes from pooled features."""

    spec: PropertySpec
    weight: Tensor
    """(outputs, D)."""
    bias: Tensor
    """(outputs,)."""


def head_of(objective: Objective | None, column: str) -> Linear | None:
    """The head that an objective, or a part of it, has for a column of examples; None where there is none."""
    parts = list(objective.parts) if isinstance(objective, Battery) else [objective]
    for part in parts:
        if isinstance(part, Properties) and part.trunk is None and part.of_examples is not None:
            found = _within(part, column)
            if found is not None:
                return found
    return None


def _within(part: Properties, column: str) -> Linear | None:
    level, start = part.of_examples, 0
    assert level is not None
    for spec in level.heads.values():
        stop = start + spec.outputs
        if spec.column == column and spec.outputs and not spec.extensive:
            return Linear(spec, level.out.weight[start:stop].detach(), level.out.bias[start:stop].detach())
        start = stop
    return None


@torch.no_grad()
def fill(head: nn.Module, rows: Sequence[tuple[Tensor, Tensor] | None]) -> bool:
    """Put weights (D,) and biases () in for each output of a plain linear head; whether any were there."""
    if not isinstance(head, Head) or head.pooling != "mean" or head.hidden is not None or not any(rows):
        return False
    for place, row in enumerate(rows):
        if row is not None and row[0].shape == head.out.weight[place].shape:
            head.out.weight[place].copy_(row[0])
            head.out.bias[place].copy_(row[1])
    return True


def number(found: Linear | None, centre: float, scale: float) -> tuple[Tensor, Tensor] | None:
    """Weights of a number standardised by `centre` and `scale`, from a head with units of its own."""
    if found is None or found.spec.kind != "value" or not found.spec.scale:
        return None
    ratio = found.spec.scale[0] / scale
    shift = ((found.spec.centre or [0.0])[0] - centre) / scale
    return ratio * found.weight[0], ratio * found.bias[0] + shift


def yes(found: Linear | None) -> tuple[Tensor, Tensor] | None:
    """Weights of the logit of a yes."""
    return (found.weight[0], found.bias[0]) if found is not None and found.spec.kind == "binary" else None


def classes(found: Linear | None, names: Sequence[str]) -> list[tuple[Tensor, Tensor] | None]:
    """Weights of each class, where the head knows it; of two classes that are no and yes, from the logit of a yes."""
    if found is None:
        return [None] * len(names)
    if found.spec.kind == "binary":
        if len(names) != 2 or names[0].lower() not in NO or names[1].lower() not in YES:
            return [None] * len(names)
        return [(torch.zeros_like(found.weight[0]), torch.zeros_like(found.bias[0])), yes(found)]
    if found.spec.kind != "classes":
        return [None] * len(names)
    rows = dict(zip(found.spec.classes or (), zip(found.weight, found.bias, strict=True), strict=True))
    return [rows.get(name) for name in names]
