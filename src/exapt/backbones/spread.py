"""Messages spread over directions and summed, by sparse products: no tensor of pairs × directions × width is made.

Three operations, each linear in both inputs, are each other's derivatives, so that any order of them exists.
Shapes: N atoms, E pairs sorted by the atom they go to, D width, H
directions.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class Links:
    """Which atom each pair goes to, laid out for sparse products."""

    def __init__(self, to: Tensor, count: int, directions: int) -> None:
        self.to, self.count, self.directions = to, count, directions
        """(E,) ascending, N and H."""

    def spread(self, weights: Tensor, messages: Tensor) -> Tensor:
        """(H, N, D): at every atom the sum over its pairs of weights (E, H) times messages (E, D)."""
        rows = self._csr(self._ends, self._pairs, weights.T.reshape(-1), (self.directions * self.count, len(self.to)))
        return (rows @ messages).unflatten(0, (self.directions, self.count))

    def read(self, weights: Tensor, vectors: Tensor) -> Tensor:
        """(E, D): weights (E, H) times the vectors (H, N, D) of the atom each pair goes to, summed over directions."""
        return self._by_pair(weights) @ vectors.flatten(0, 1)

    def dot(self, messages: Tensor, vectors: Tensor) -> Tensor:
        """(E, H): messages (E, D) times the vectors (H, N, D) of the atom each pair goes to, summed over the width."""
        places = self._by_pair(messages.new_zeros(len(self.to), self.directions))
        found = torch.sparse.sampled_addmm(places, messages, vectors.flatten(0, 1).T, beta=0.0)
        return found.values().unflatten(0, (-1, self.directions))

    def _by_pair(self, weights: Tensor) -> Tensor:
        return self._csr(self._starts, self._atoms, weights.reshape(-1), (len(self.to), self.directions * self.count))

    def _csr(self, ends: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            return torch.sparse_csr_tensor(ends, columns, values, size, check_invariants=False)

    @cached_property
    def _ends(self) -> Tensor:
        counts = torch.bincount(self.to, minlength=self.count)
        return torch.nn.functional.pad(counts.repeat(self.directions).cumsum(0), (1, 0)).int()

    @cached_property
    def _pairs(self) -> Tensor:
        return torch.arange(len(self.to), device=self.to.device).repeat(self.directions).int()

    @cached_property
    def _starts(self) -> Tensor:
        return (torch.arange(len(self.to) + 1, device=self.to.device) * self.directions).int()

    @cached_property
    def _atoms(self) -> Tensor:
        return (self.to[:, None] + torch.arange(self.directions, device=self.to.device) * self.count).reshape(-1).int()


class Spread(Function):
    """`Links.spread` with its derivatives."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, messages: Tensor, links: Links) -> Tensor:
        ctx.save_for_backward(weights, messages)
        ctx.links = links
        return links.spread(weights, messages)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights, messages = ctx.saved_tensors
        return (
            Dot.apply(messages, gradient, ctx.links) if ctx.needs_input_grad[0] else None,
            Read.apply(weights, gradient, ctx.links) if ctx.needs_input_grad[1] else None,
            None,
        )


class Read(Function):
    """`Links.read` with its derivatives."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, vectors: Tensor, links: Links) -> Tensor:
        ctx.save_for_backward(weights, vectors)
        ctx.links = links
        return links.read(weights, vectors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights, vectors = ctx.saved_tensors
        return (
            Dot.apply(gradient, vectors, ctx.links) if ctx.needs_input_grad[0] else None,
            Spread.apply(weights, gradient, ctx.links) if ctx.needs_input_grad[1] else None,
            None,
        )


class Dot(Function):
    """`Links.dot` with its derivatives."""

    @staticmethod
    def forward(ctx: Any, messages: Tensor, vectors: Tensor, links: Links) -> Tensor:
        ctx.save_for_backward(messages, vectors)
        ctx.links = links
        return links.dot(messages, vectors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        messages, vectors = ctx.saved_tensors
        return (
            Read.apply(gradient, vectors, ctx.links) if ctx.needs_input_grad[0] else None,
            Spread.apply(gradient, messages, ctx.links) if ctx.needs_input_grad[1] else None,
            None,
        )


def plain_spread(weights: Tensor, messages: Tensor, links: Links) -> Tensor:
    """The same sum as `Spread` with torch's own operations, for every device."""
    spread = torch.stack([weights[:, h : h + 1] * messages for h in range(links.directions)])
    return messages.new_zeros(links.directions, links.count, messages.shape[1]).index_add(1, links.to, spread)
