"""The two places where a CPU loses most time beside matrix products, written with their gradients by hand.

In bfloat16 torch's flash attention on a CPU takes three to four times as long, forward and backward, as two batched
products and a softmax on rows of 128; and its GELU of half of every row twice as long as of rows of their own.
Shapes: N elements, B examples, L the longest, h heads of width H, D = h · H.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from exapt.backbones.layout import Layout, View
from exapt.backbones.rotary import swap

PIECE = 2**19
"""Scores worked on at a time: 1 MiB in bfloat16, which stays in a core's cache."""
KEEP = 2**25
"""Up to so many attention weights of a layer (64 MiB in bfloat16) are kept for the gradient; beyond, computed again."""


class FusedAttention(torch.autograd.Function):
    """Rotary attention, padded only here. The gradient is exact; second derivatives are not offered."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, layout: Layout, seen: View) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            parts = layout.pad(qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            turned = _turn(parts[:2].clone(memory_format=torch.contiguous_format), seen.cos, seen.sin)
            values = parts[2].contiguous()
            out = torch.empty_like(values)
            keep = qkv.requires_grad and out.numel() // out.shape[-1] * layout.longest <= KEEP
            kept = []
            for at in pieces(values):
                weights = _weights(turned, at, seen)
                torch.bmm(weights, _flat(values, at), out=_flat(out, at))
                if keep:
                    kept.append(weights)
            ctx.save_for_backward(turned, values, *kept)
            ctx.layout, ctx.seen = layout, seen
            return layout.unpad(out.transpose(1, 2).flatten(2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        turned, values, *kept = ctx.saved_tensors
        layout, seen = ctx.layout, ctx.seen
        count, heads, longest, head = values.shape
        slope = layout.pad_with_zeros(slope).unflatten(-1, (heads, head)).transpose(1, 2).contiguous()
        to_turned, to_qkv = torch.empty_like(turned), slope.new_empty(count, longest, 3, heads, head)
        to_parts = to_qkv.permute(2, 0, 3, 1, 4)
        to_values = torch.empty_like(values)
        for i, at in enumerate(pieces(values)):
            weights = kept[i] if kept else _weights(turned, at, seen)
            queries, keys, above = _flat(turned[0], at), _flat(turned[1], at), _flat(slope, at)
            torch.bmm(weights.mT, above, out=_flat(to_values, at))
            to_weights = torch.bmm(above, _flat(values, at).mT)
            to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
            torch.bmm(to_scores, keys, out=_flat(to_turned[0], at))
            torch.bmm(to_scores.mT, queries, out=_flat(to_turned[1], at))
        to_parts[:2] = _turn(to_turned, seen.cos, -seen.sin)
        to_parts[2] = to_values
        return layout.unpad(to_qkv.flatten(2)), None, None, None


def _turn(values: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`rotate` in place."""
    swapped = swap(values)
    return values.mul_(cos).addcmul_(swapped, sin)


Piece = tuple[slice, slice]
"""Some examples with all their heads, or some heads of one example."""


def pieces(values: Tensor) -> Iterator[Piece]:
    """Pieces of (B, h, L, H) with at most `PIECE` scores each, or one head where a single one has more."""
    count, heads, longest, _ = values.shape
    examples = PIECE // (heads * longest**2)
    if examples:
        yield from ((slice(b, b + examples), slice(None)) for b in range(0, count, examples))
        return
    some = max(1, PIECE // longest**2)
    yield from ((slice(b, b + 1), slice(h, h + some)) for b in range(count) for h in range(0, heads, some))


def _flat(values: Tensor, at: Piece) -> Tensor:
    """A piece of (B, h, L, H) as (groups, L, H), a view."""
    return values[at].flatten(0, 1)


def _weights(turned: Tensor, at: Piece, seen: View) -> Tensor:
    """The attention weights (groups, L, L) of a piece."""
    queries, keys = turned[0][at], turned[1][at]
    scores = torch.bmm(queries.flatten(0, 1), keys.flatten(0, 1).mT)
    if seen.bias is not None:
        bias = seen.bias if len(seen.bias) == 1 else seen.bias[at[0]]
        scores.view(*queries.shape[:2], *scores.shape[1:]).add_(bias)
    return scores.softmax(-1)


class FusedGeglu(torch.autograd.Function):
    """GELU of the first half of (N, 2 · F) times the second half (Shazeer 2020, arXiv 2002.05202)."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        first, gate = both.chunk(2, -1)
        first = first.contiguous()
        active = F.gelu(first)
        ctx.save_for_backward(first, active, gate)
        return active * gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        first, active, gate = ctx.saved_tensors
        out = torch.empty(*slope.shape[:-1], 2 * slope.shape[-1], dtype=slope.dtype)
        to_first, to_gate = out.chunk(2, -1)
        torch.mul(slope, active, out=to_gate)
        to_first.copy_(torch.ops.aten.gelu_backward(slope * gate, first))
        return out


def geglu(both: Tensor) -> Tensor:
    """The same in plain operations."""
    first, gate = both.chunk(2, -1)
    return F.gelu(first) * gate
