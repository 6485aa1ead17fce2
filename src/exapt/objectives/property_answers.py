"""What the heads of `properties` say, in the labels' own units.

Shapes: M items (B examples or N elements), C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.batch import Batch, segment_sum
from exapt.objectives.energies import ELEMENTS
from exapt.objectives.properties import Properties
from exapt.objectives.property import NUMERIC, PropertySpec
from exapt.objectives.property_heads import Heads, Said


@torch.no_grad()
def answers(objective: Properties, backbone: Backbone, batch: Batch) -> dict[str, Tensor]:
    """By head (M,) values, (M, k) several or (M, 3) vectors; (M,) the chance of yes; or (M, C) chances of classes.

    Labels are not needed. Networks answer as they are: set them to evaluation mode first.
    """
    features = backbone(batch)
    found: dict[str, Tensor] = {}
    for level, said in objective.said(features):
        for name, raw in by_head(level, said).items():
            found[name] = _own_units(level.heads[name], raw, batch)
    return {name: found[name] for name in objective.heads}


def by_head(level: Heads, said: Said) -> dict[str, Tensor]:
    """(M, outputs or numbers) of each head as the network gives it."""
    number = said.numbers.split([h.columns for h in level.heads.values() if h.kind in NUMERIC], 1)
    binary = said.binary[:, :, None].unbind(1)
    return dict(zip(level.heads, [*number, *binary, *said.classes], strict=True))


def _own_units(head: PropertySpec, raw: Tensor, batch: Batch) -> Tensor:
    raw = raw.double()
    if head.kind == "binary":
        return raw.sigmoid()[:, 0]
    if head.kind == "classes":
        return raw.softmax(1)
    assert head.scale is not None
    value = raw * raw.new_tensor(head.scale) + raw.new_tensor(head.centre or [0.0])
    if head.extensive:
        own = raw.new_zeros(ELEMENTS)
        for number, reference in (head.references or {}).items():
            own[number] = reference
        counts = batch.lengths.to(raw)[:, None]
        value = value * counts + segment_sum(own[batch.inputs], batch.offsets)[:, None]
    return value[:, 0] if head.kind == "value" else value
