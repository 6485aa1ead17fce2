"""A causal transformer one element at a time: keys and values of what came before are kept, not worked out again.

Shapes: B examples, all as long as each other; h heads of width H; T places in the store.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones.layers import Attention, Layer
from exapt.backbones.layout import Rule
from exapt.backbones.rotary import rotate, turns
from exapt.backbones.transformer import Transformer
from exapt.batch import Batch, offsets_of


class Steps:
    """Feeds `count` examples to a causal transformer over tokens side by side; equals its forward pass on the whole.

    The store holds 2 · layers · B · h · T · H numbers.
    """

    def __init__(self, backbone: Transformer, count: int, longest: int) -> None:
        self.backbone, self.place = backbone, 0
        layers, heads, head = backbone.stack.layers, backbone.spec.shape.heads, backbone.stack.head
        weight = next(backbone.parameters())
        self.kept = weight.new_empty(len(layers), 2, count, heads, longest, head)
        """(layers, 2, B, h, T, H) keys, already turned, and values."""
        places = torch.arange(longest, device=weight.device)[:, None]
        self.turns = {rule: turns(places, head, rule.theta) for rule in dict.fromkeys(backbone.stack.rules)}

    @torch.no_grad()
    def step(self, ids: Tensor) -> Tensor:
        """The next id (B,) of each example to the features (B, D) at its place."""
        stack = self.backbone.stack
        batch = Batch(ids, offsets_of(torch.ones(len(ids), dtype=torch.long)).to(ids.device))
        elements, _ = self.backbone.embed(batch)
        for at, (layer, rule) in enumerate(zip(stack.layers, stack.rules, strict=True)):
            assert isinstance(layer, Layer)
            elements = elements + self._attend(layer.attn, layer.attn_norm(elements), at, rule)
            elements = elements + layer.mlp(layer.mlp_norm(elements), False)
        self.place += 1
        return stack.final_norm(elements)

    def keep(self, rows: Tensor) -> None:
        """Go on with some examples (b,) only."""
        self.kept = self.kept.index_select(2, rows.to(self.kept.device))

    def _attend(self, attention: Attention, elements: Tensor, at: int, rule: Rule) -> Tensor:
        """(B, D) what the present places see of those up to them."""
        here = slice(self.place, self.place + 1)
        cos, sin = (table[here] for table in self.turns[rule])
        queries, keys, values = attention.Wqkv(elements).unflatten(-1, (3, attention.heads, 1, -1)).unbind(1)
        self.kept[at, 0, :, :, here] = rotate(keys, cos, sin)
        self.kept[at, 1, :, :, here] = values
        seen = slice(0 if rule.reach is None else max(0, self.place - rule.reach), self.place + 1)
        out = F.scaled_dot_product_attention(
            rotate(queries, cos, sin), self.kept[at, 0, :, :, seen], self.kept[at, 1, :, :, seen]
        )
        return attention.Wo(out.flatten(1))
