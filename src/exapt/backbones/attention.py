"""Attention over packed elements: one interface, three ways that give the same result.

Shapes: N elements, B examples, L the longest, h heads of width H, D = h · H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.fused import FusedAttention
from exapt.backbones.layout import Layout, View, Way
from exapt.backbones.rotary import rotate


def attend(qkv: Tensor, heads: int, layout: Layout, seen: View) -> Tensor:
    """(N, 3 · D) queries, keys and values, not yet turned, to (N, D)."""
    if layout.way == "fused":
        return FusedAttention.apply(qkv, heads, layout, seen)
    return packed(qkv, heads, layout, seen) if layout.way == "packed" else plain(qkv, heads, layout, seen)


def plain(qkv: Tensor, heads: int, layout: Layout, seen: View) -> Tensor:
    """Padded, by torch's kernel for the device: the form the other two are tested against."""
    queries, keys, values = layout.pad(qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    queries, keys = rotate(torch.stack([queries, keys]), seen.cos, seen.sin)
    out = F.scaled_dot_product_attention(queries, keys, values, seen.bias, scale=1.0)
    return layout.unpad(out.transpose(1, 2).flatten(2))


def packed(qkv: Tensor, heads: int, layout: Layout, seen: View) -> Tensor:
    """Without padding at all, by torch's variable-length flash attention on a CUDA GPU, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    queries, keys, values = qkv.unflatten(-1, (3, heads, -1)).unbind(1)
    queries, keys = rotate(torch.stack([queries, keys]), seen.cos, seen.sin)
    bounds, longest = layout.offsets, layout.longest
    out: Any = varlen_attn(queries, keys, values, bounds, bounds, longest, longest, scale=1.0, window_size=seen.window)
    return out.flatten(1)


def way_for(elements: Tensor, by_place: bool) -> Way:
    """The fastest way for elements of this type on this device.

    In float32 on a CPU torch's own kernel is as fast as ours and needs less memory. `by_place`: some layers look only
    so far by given positions, which the packed kernel cannot count.
    """
    if torch.compiler.is_compiling():
        return "plain"
    if elements.device.type == "cpu":
        return "fused" if elements.dtype == torch.bfloat16 else "plain"
    half = elements.dtype in (torch.bfloat16, torch.float16)
    return "packed" if elements.is_cuda and half and not by_place and _has_varlen() else "plain"


def _has_varlen() -> bool:
    """Whether this torch and this GPU have variable-length flash attention (torch ≥ 2.10, compute capability ≥ 8)."""
    try:
        from torch.nn.attention import varlen  # noqa: F401
    except ImportError:
        return False
    return torch.cuda.get_device_capability() >= (8, 0)
