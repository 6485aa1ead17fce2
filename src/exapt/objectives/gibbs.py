"""Writing with a masked network: Gibbs sampling from its conditionals.

Wang & Cho 2019 (arXiv 1902.04094): choose places, hide them, draw them again from what the network says, and so on. In
a masked network the conditionals need not belong to one joint law, so this is a Markov chain of its own, not a sampler
of a known law. Shapes: n ids of a text, V token ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.batch import Batch, pack
from exapt.errors import InputError
from exapt.objectives.generate import check_drawing, choose
from exapt.objectives.masked import MaskedTokens


@torch.no_grad()
def gibbs(
    backbone: Backbone,
    objective: MaskedTokens,
    texts: Sequence[Tensor],
    free: Sequence[Tensor],
    *,
    sweeps: int = 10,
    block: float = 0.1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    barred: Sequence[int] = (),
    rng: torch.Generator,
) -> list[Tensor]:
    """Texts (n,) drawn anew at their `free` places (f,), several side by side; the others stay as they are.

    A sweep visits every free place once, in a random order, in blocks of a share `block` of them: those of a block are
    hidden together and drawn independently of each other, so a block of one place is plain Gibbs sampling. A place that
    holds the mask token shows it until it is first drawn. Special ids and `barred` ones are never drawn. Raises
    `InputError` for values out of range.
    """
    _check(texts, sweeps, block, temperature, top_p)
    rows = [text.detach().to("cpu", torch.long).clone() for text in texts]
    mask, never = objective.domain.inputs.special["mask"], [*objective.domain.inputs.special.values(), *barred]
    was_training = backbone.training
    backbone.eval()
    for _ in range(sweeps):
        orders = [places[torch.randperm(len(places), generator=rng)] for places in free]
        sizes = [max(1, math.ceil(block * len(places))) for places in free]
        for step in range(max((-(-len(o) // s) for o, s in zip(orders, sizes, strict=True)), default=0)):
            blocks = [order[step * size : (step + 1) * size] for order, size in zip(orders, sizes, strict=True)]
            for row, places in zip(rows, blocks, strict=True):
                row[places] = mask
            logits = _conditionals(backbone, objective, rows, blocks)
            logits[:, never] = -torch.inf
            drawn = choose(logits, temperature, top_p, rng).split([len(places) for places in blocks])
            for row, places, ids in zip(rows, blocks, drawn, strict=True):
                row[places] = ids
    backbone.train(was_training)
    return rows


def _conditionals(
    backbone: Backbone, objective: MaskedTokens, rows: Sequence[Tensor], blocks: Sequence[Tensor]
) -> Tensor:
    """(M, V) float32 scores on the CPU at the places of each row, one row after the other."""
    inputs, offsets = pack(rows)
    device = objective.bias.device
    where = torch.cat([start + places for start, places in zip(offsets[:-1].tolist(), blocks, strict=True)])
    elements = backbone(Batch(inputs.to(device), offsets.to(device))).elements
    return objective.logits(backbone, elements.index_select(0, where.to(device))).float().cpu()


def _check(texts: Sequence[Tensor], sweeps: int, block: float, temperature: float, top_p: float) -> None:
    check_drawing(temperature, top_p)
    if any(text.ndim != 1 or not len(text) for text in texts):
        raise InputError("template: needs at least one token")
    if sweeps < 1:
        raise InputError(f"sweeps: {sweeps}; valid: 1 or more")
    if not 0 < block <= 1:
        raise InputError(f"block: {block}; valid: above 0, at most 1, a share of the free places")
