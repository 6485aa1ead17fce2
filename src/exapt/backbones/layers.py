"""ModernBERT's blocks (Warner et al. 2024, arXiv 2412.13663): pre-norm, rotary attention, GeGLU, no biases.

Names of parameters follow Hugging Face's ModernBert classes where they can. Shapes: N elements, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from exapt.backbones.attention import attend, way_for
from exapt.backbones.fused import FusedGeglu, geglu
from exapt.backbones.layout import Layout, Rule, View, Way, lay_out, view
from exapt.backbones.precision import autocast_dtype

EPS = 1e-5


class Attention(nn.Module):
    """Self-attention within each example."""

    def __init__(self, width: int, heads: int, head: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.Wqkv = nn.Linear(width, 3 * heads * head, bias=False)
        self.Wo = nn.Linear(heads * head, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, elements: Tensor, layout: Layout, seen: View) -> Tensor:
        return self.drop(self.Wo(attend(self.Wqkv(elements), self.heads, layout, seen)))


class Mlp(nn.Module):
    """GeGLU: the first half of `Wi`'s output is activated, the second gates it."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.Wi = nn.Linear(width, 2 * hidden, bias=False)
        self.Wo = nn.Linear(hidden, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, elements: Tensor, fused: bool) -> Tensor:
        both = self.Wi(elements)
        return self.Wo(self.drop(FusedGeglu.apply(both) if fused else geglu(both)))


class Layer(nn.Module):
    """One pre-norm block. The first of a stack has no attention norm: what it is given is normal already."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, first: bool, head: int) -> None:
        super().__init__()
        self.attn_norm = nn.Identity() if first else nn.LayerNorm(width, EPS, bias=False)
        self.attn = Attention(width, heads, head, dropout)
        self.mlp_norm = nn.LayerNorm(width, EPS, bias=False)
        self.mlp = Mlp(width, hidden, dropout)

    def forward(self, elements: Tensor, layout: Layout, seen: View) -> Tensor:
        elements = elements + self.attn(self.attn_norm(elements), layout, seen)
        return elements + self.mlp(self.mlp_norm(elements), layout.way == "fused")


class Stack(nn.Module):
    """Layers over packed elements that come normalised, and a final norm. One rule a layer."""

    way: Way | None = None
    """How to compute attention; None chooses. Set it to "plain" for second derivatives or `torch.func` in bfloat16."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        rules: Sequence[Rule],
        dropout: float = 0.0,
        head: int | None = None,
    ) -> None:
        super().__init__()
        self.rules = tuple(rules)
        self.head = head or width // heads
        self.layers = nn.ModuleList(Layer(width, heads, hidden, dropout, i == 0, self.head) for i in range(len(rules)))
        self.final_norm = nn.LayerNorm(width, EPS, bias=False)

    def forward(self, elements: Tensor, offsets: Tensor, positions: Tensor | None = None) -> Tensor:
        """(N, D), offsets (B + 1,) and positions (N,) or (N, k) to (N, D).

        Under autocast the elements are kept in its type from layer to layer: half the bytes to move.
        """
        elements = elements.to(autocast_dtype(elements))
        if not len(elements):
            return self.final_norm(elements)
        places = positions if positions is None or positions.ndim == 2 else positions[:, None]
        by_place = places is not None and any(rule.reach is not None for rule in self.rules)
        layout = lay_out(offsets, elements.device, self.way or way_for(elements, by_place))
        views = {rule: view(layout, rule, places, self.head, elements.dtype) for rule in dict.fromkeys(self.rules)}
        for layer, rule in zip(self.layers, self.rules, strict=True):
            elements = layer(elements, layout, views[rule])
        return self.final_norm(elements)
