"""The attention of every layer and head, as maps over pairs of elements.

Attention kernels never form these maps; here they are worked out anew from what each layer was given, one example at a
time. Shapes: L elements of an example, H maps (layers × heads).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.backbones.hub import HubBackbone
from exapt.backbones.layers import Attention, Layer
from exapt.backbones.layout import Layout, View
from exapt.backbones.rotary import rotate
from exapt.backbones.transformer import Transformer
from exapt.batch import Batch
from exapt.errors import InputError


def attention_maps(backbone: Backbone, batch: Batch) -> Iterator[Tensor]:
    """For each example (H, L, L): which share of its attention a row's element gives to each, layer after layer.

    Raises `InputError` for networks without attention of their own.
    """
    for place in range(len(batch)):
        one = batch.select([place])
        if isinstance(backbone, Transformer):
            yield _own(backbone, one)
        elif isinstance(backbone, HubBackbone):
            yield _hub(backbone, one)
        else:
            raise InputError(
                f"{type(backbone).__name__}: no attention to read contacts from; valid: backbone.kind=transformer or "
                "hub, or adapt.of=jacobian"
            )


def weights(qkv: Tensor, heads: int, layout: Layout, seen: View) -> Tensor:
    """(h, L, L) the softmax of one example's queries and keys (L, 3 · D), not yet turned."""
    queries, keys, _ = layout.pad(qkv).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    queries, keys = rotate(torch.stack([queries, keys]), seen.cos, seen.sin)
    scores = queries @ keys.mT if seen.bias is None else queries @ keys.mT + seen.bias
    return scores.float().softmax(-1)[0]


def _own(backbone: Transformer, batch: Batch) -> Tensor:
    """By listening at every layer's attention; padded attention, whose tables the maps share."""
    found: list[Tensor] = []

    def note(layer: nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(layer, Attention)
        elements, layout, seen = given
        found.append(weights(layer.Wqkv(elements), layer.heads, layout, seen))

    with ExitStack() as stack:
        stack.enter_context(_padded(backbone))
        for layer in backbone.stack.layers:
            assert isinstance(layer, Layer)
            stack.callback(layer.attn.register_forward_pre_hook(note).remove)
        backbone(batch)
    return torch.cat(found)


@contextmanager
def _padded(backbone: Transformer) -> Iterator[None]:
    way = backbone.stack.way
    backbone.stack.way = "plain"
    try:
        yield
    finally:
        backbone.stack.way = way


def _hub(backbone: HubBackbone, batch: Batch) -> Tensor:
    """As the library gives it, which only its own plain attention does."""
    model = backbone.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        maps = model(input_ids=batch.inputs[None], output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
    if not maps or any(one is None for one in maps):
        raise InputError(f"{backbone.spec.path}: this model gives no attention; valid: adapt.of=jacobian")
    return torch.cat([one[0].float() for one in maps])


def corrected(maps: Tensor) -> Tensor:
    """(…, L, L) made symmetric, and without what rows and columns have in common (APC, Dunn et al. 2008).

    M = A + Aᵀ; M_ij − M_i· M_·j / M··, where a dot stands for a sum. A map of zeros stays one.
    """
    both = maps + maps.mT
    rows, whole = both.sum(-1), both.sum((-1, -2))
    share = rows[..., :, None] * rows[..., None, :] / torch.where(whole == 0, 1.0, whole)[..., None, None]
    return both - share
