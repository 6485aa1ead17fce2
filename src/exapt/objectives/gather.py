"""Features of every process together, for losses that compare examples with each other.

A loss that is computed on the union by every process has, after the processes' gradients were averaged in the weights
of their counts, the gradient of one process with all examples: the backward pass sums what every process's loss asks of
the features that this one made.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(features: Tensor) -> Tensor:
    """(…, n, D) of this process to (…, Σ n, D) of all of them, in the order of their ranks; carries gradients.

    Processes may hold unlike numbers of examples. All of them must call this, in the forward and the backward pass.
    """
    if processes() == 1:
        return features
    found: Tensor = _Gather.apply(features)
    return found


def agreed(draw: Tensor) -> Tensor:
    """The first process's tensor, on every process."""
    if processes() > 1:
        draw = draw.clone()
        distributed.broadcast(draw, 0)
    return draw


class _Gather(torch.autograd.Function):
    """Gathers examples, which stand in the dimension before the last."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        own = features.transpose(0, -2).contiguous()
        size = torch.tensor([len(own)], device=own.device)
        sizes = [torch.empty_like(size) for _ in range(processes())]
        distributed.all_gather(sizes, size)
        ctx.sizes = [int(one) for one in sizes]
        longest = max(ctx.sizes)
        padded = torch.cat([own, own.new_zeros(longest - len(own), *own.shape[1:])])
        parts = [torch.empty_like(padded) for _ in ctx.sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, ctx.sizes, strict=True)]).transpose(0, -2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous().clone()
        distributed.all_reduce(summed)
        return summed.split(ctx.sizes, dim=-2)[distributed.get_rank()].contiguous()
