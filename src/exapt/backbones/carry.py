"""What neighbours hold times a filter of each pair: with one buffer, where plain operations make up to nine.

Carry and Meet, and Gate and Gather, are each other's derivatives, so that any order of them exists. Fresh memory is
what training on a processor pays most for. Shapes: N atoms, E pairs, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class Carry(Function):
    """(3, N, D): values (3, N, D) of every pair's atom `origin` (E,) times filters (E, D), summed at its atom `to`."""

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


class Gate(Function):
    """(E, D): the values (N, D) of every pair's atom `origin` (E,) times filters (E, D)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, filters: Tensor, origin: Tensor) -> Tensor:
        ctx.save_for_backward(values, filters, origin)
        return values.index_select(0, origin).mul_(filters)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, filters, origin = ctx.saved_tensors
        return (
            Gather.apply(gradient, filters, origin, len(values)) if ctx.needs_input_grad[0] else None,
            Gate.apply(values, gradient, origin) if ctx.needs_input_grad[1] else None,
            None,
        )


class Gather(Function):
    """(N, D): messages times filters, both (E, D), summed at every pair's atom `origin` (E,)."""

    @staticmethod
    def forward(ctx: Any, messages: Tensor, filters: Tensor, origin: Tensor, count: int) -> Tensor:
        ctx.save_for_backward(messages, filters, origin)
        return messages.new_zeros(count, messages.shape[1]).index_add_(0, origin, messages * filters)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        messages, filters, origin = ctx.saved_tensors
        return (
            Gate.apply(gradient, filters, origin) if ctx.needs_input_grad[0] else None,
            Gate.apply(gradient, messages, origin) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


def plain_gate(values: Tensor, filters: Tensor, origin: Tensor) -> Tensor:
    """The same as `Gate` with torch's own operations."""
    return values.index_select(0, origin) * filters


def plain_carry(values: Tensor, filters: Tensor, origin: Tensor, to: Tensor) -> Tensor:
    """The same as `Carry` with torch's own operations."""
    return torch.zeros_like(values).index_add(1, to, values.index_select(1, origin) * filters)
