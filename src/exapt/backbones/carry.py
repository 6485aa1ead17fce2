"""Vectors of neighbours times a filter of each pair, summed: with one buffer, where plain operations make nine.

The two operations are each other's derivatives, so that any order of them exists. Fresh memory is what training on a
processor pays most for. Shapes: N atoms, E pairs, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class Carry(Function):
    """(3, N, D): at the atom `to` (E,) of every pair, the values (3, N, D) of its atom `origin` times filters (E, D)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, filters: Tensor, origin: Tensor, to: Tensor) -> Tensor:
        ctx.save_for_backward(values, filters, origin, to)
        summed, taken = torch.zeros_like(values), torch.empty_like(filters)
        for value, out in zip(values, summed, strict=True):
            torch.index_select(value, 0, origin, out=taken)
            out.index_add_(0, to, taken.mul_(filters))
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, filters, origin, to = ctx.saved_tensors
        return (
            Carry.apply(gradient, filters, to, origin) if ctx.needs_input_grad[0] else None,
            Meet.apply(values, gradient, origin, to) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


class Meet(Function):
    """(E, D): the values (3, N, D) of every pair's atom `origin` times those (3, N, D) of its atom `to`, summed."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, others: Tensor, origin: Tensor, to: Tensor) -> Tensor:
        ctx.save_for_backward(values, others, origin, to)
        total = values.new_zeros(len(origin), values.shape[2])
        taken, met = torch.empty_like(total), torch.empty_like(total)
        for value, other in zip(values, others, strict=True):
            torch.index_select(value, 0, origin, out=taken)
            torch.index_select(other, 0, to, out=met)
            total.addcmul_(taken, met)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, others, origin, to = ctx.saved_tensors
        return (
            Carry.apply(others, gradient, to, origin) if ctx.needs_input_grad[0] else None,
            Carry.apply(values, gradient, origin, to) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


def plain_carry(values: Tensor, filters: Tensor, origin: Tensor, to: Tensor) -> Tensor:
    """The same as `Carry` with torch's own operations."""
    return torch.zeros_like(values).index_add(1, to, values.index_select(1, origin) * filters)
