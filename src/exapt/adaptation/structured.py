"""Structured pruning: whole attention heads and MLP neurons are taken out, so that the network is really smaller.

Every layer loses as many, so that the smaller network has an ordinary spec and is saved, loaded and tuned like any
other.
Shapes: L layers, h heads of width H, F neurons, D width, N elements, B examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.backbones.layers import Layer
from exapt.backbones.transformer import Transformer
from exapt.batch import Batch, segment_sum
from exapt.errors import InputError
from exapt.training.seeds import derive
from exapt.training.trainable import Trainable
from exapt.training.weights import load_into


@dataclass(frozen=True)
class Importance:
    """How much each unit matters; a unit of importance 0 by magnitude gives nothing at all."""

    heads: Tensor
    """(L, h)."""
    neurons: Tensor
    """(L, F)."""


def removed(backbone: Backbone, share: float, heads: bool = False, importance: Importance | None = None) -> Transformer:
    """A smaller copy without the least important share of each layer's neurons, and with `heads` of its heads too.

    Heads are few, so their number is rounded down; at least one head and one neuron stay.
    """
    network = _transformer(backbone)
    _, _, all_heads, hidden = network.spec.shape
    if not 0 <= share < 1:
        raise InputError(f"share to remove: {share}; expected from 0 to below 1")
    few = all_heads - int(share * all_heads) if heads else all_heads
    return shrink(network, few, max(1, hidden - round(share * hidden)), importance)


def shrink(backbone: Backbone, heads: int, hidden: int, importance: Importance | None = None) -> Transformer:
    """A new network with the most important `heads` and `hidden` neurons of every layer, in their old order.

    Without `importance` magnitude decides. Units of importance 0 by magnitude leave no trace: without them the outputs
    are the same. Raises `InputError` for another kind of backbone and for more units than there are.
    """
    network = _transformer(backbone)
    _, _, all_heads, all_hidden = network.spec.shape
    if not (1 <= heads <= all_heads and 1 <= hidden <= all_hidden):
        raise InputError(
            f"shrink: {heads} heads and {hidden} neurons a layer; valid: 1 to {all_heads} and 1 to {all_hidden}"
        )
    importance = importance or by_magnitude(network)
    spec = network.spec.model_copy(update={"heads": heads, "hidden": hidden, "head_width": network.spec.head})
    small = spec.build(network.inputs, seed=0)
    kept = zip(_best(importance.heads, heads), _best(importance.neurons, hidden), strict=True)
    tensors = dict(network.state_dict())
    for number, (some_heads, some_neurons) in enumerate(kept):
        tensors |= _layer(tensors, f"stack.layers.{number}.", some_heads, some_neurons, network.spec.head)
    report = load_into(small, tensors)
    assert report.full, report.sentence()
    return small.to(importance.neurons.device).train(network.training)


@torch.no_grad()
def by_magnitude(backbone: Backbone) -> Importance:
    """The size of what a unit writes: ‖Wo_h · Wv_h‖ of a head, ‖w_in‖ · ‖w_gate‖ · ‖w_out‖ of a neuron."""
    network = _transformer(backbone)
    heads, neurons = [], []
    for layer in _layers(network):
        values = layer.attn.Wqkv.weight.chunk(3)[2].unflatten(0, (layer.attn.heads, -1))
        out = layer.attn.Wo.weight.unflatten(1, (layer.attn.heads, -1))
        heads.append(torch.einsum("dhk,hkw->hdw", out, values).flatten(1).norm(dim=1))
        into, gate = layer.mlp.Wi.weight.chunk(2)
        neurons.append(into.norm(dim=1) * gate.norm(dim=1) * layer.mlp.Wo.weight.norm(dim=0))
    return Importance(torch.stack(heads), torch.stack(neurons))


def by_taylor(model: Trainable, batches: Iterable[Batch], seed: int = 0) -> Importance:
    """How much the loss would change without a unit, to first order: the mean over examples of |Σ a · ∂L/∂a|.

    Michel et al. 2019 (arXiv 1905.10650) for heads, Molchanov et al. 2017 (arXiv 1611.06440) for neurons; a are the
    unit's outputs over an example's elements. `model` holds its network as `.backbone`. Raises `InputError` without a
    batch.
    """
    network = _transformer(model.backbone)  # type: ignore[arg-type]
    sums, examples = [torch.zeros(0)] * (2 * len(network.stack.layers)), 0
    rng = torch.Generator()
    with _evaluating(model), _units(network) as caught:
        for number, batch in enumerate(batches):
            rng.manual_seed(derive(seed, "taylor", number))
            loss = model(batch, rng)
            slopes = torch.autograd.grad(loss.value * loss.count, caught.outputs)
            sums = [
                _added(old, _share(caught, i, slope)) for i, (old, slope) in enumerate(zip(sums, slopes, strict=True))
            ]
            examples += len(caught.offsets) - 1
            caught.outputs.clear()
    if not examples:
        raise InputError("shrink: importance on data needs at least one batch")
    return Importance(torch.stack(sums[::2]) / examples, torch.stack(sums[1::2]) / examples)


class _Caught:
    """What the units of each layer gave in the last forward pass: heads, then neurons, layer after layer."""

    def __init__(self, heads: int) -> None:
        self.heads = heads
        self.outputs: list[Tensor] = []
        self.offsets = torch.zeros(1)

    def note(self, _part: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        units = inputs[0] if inputs[0].requires_grad else inputs[0].detach().requires_grad_()
        self.outputs.append(units)
        return (units, *inputs[1:])

    def place(self, _stack: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.offsets = inputs[1]


@contextmanager
def _units(network: Transformer) -> Iterator[_Caught]:
    """While open, what comes into `Wo` of every attention and MLP is caught."""
    caught = _Caught(network.spec.shape.heads)
    parts = [part for layer in _layers(network) for part in (layer.attn.Wo, layer.mlp.Wo)]
    handles = [part.register_forward_pre_hook(caught.note) for part in parts]
    handles.append(network.stack.register_forward_pre_hook(caught.place))
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout or augmentation, but with gradients."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _share(caught: _Caught, place: int, slope: Tensor) -> Tensor:
    """(units,) summed over examples, of the layer part at a place."""
    each = segment_sum((caught.outputs[place] * slope).detach().float(), caught.offsets.to(slope.device))
    if place % 2 == 0:
        each = each.unflatten(1, (caught.heads, -1)).sum(-1)
    return each.abs().sum(0)


def _added(old: Tensor, new: Tensor) -> Tensor:
    return old + new if len(old) else new


def _best(importance: Tensor, count: int) -> list[Tensor]:
    """The places of the `count` most important units of each layer (L, units), ascending; of equals the last stay."""
    order = importance.argsort(stable=True, dim=1)
    return list(order[:, importance.shape[1] - count :].sort(dim=1).values)


def _layer(tensors: dict[str, Tensor], at: str, heads: Tensor, neurons: Tensor, head: int) -> dict[str, Tensor]:
    """A layer's matrices with only some heads and neurons."""
    features = (heads[:, None] * head + torch.arange(head, device=heads.device)).flatten()
    qkv, both = tensors[f"{at}attn.Wqkv.weight"].chunk(3), tensors[f"{at}mlp.Wi.weight"].chunk(2)
    return {
        f"{at}attn.Wqkv.weight": torch.cat([part[features] for part in qkv]),
        f"{at}attn.Wo.weight": tensors[f"{at}attn.Wo.weight"][:, features],
        f"{at}mlp.Wi.weight": torch.cat([part[neurons] for part in both]),
        f"{at}mlp.Wo.weight": tensors[f"{at}mlp.Wo.weight"][:, neurons],
    }


def _layers(network: Transformer) -> list[Layer]:
    return cast(list[Layer], list(network.stack.layers))


def _transformer(backbone: Backbone) -> Transformer:
    if not isinstance(backbone, Transformer):
        raise InputError(
            f"shrink: heads and neurons can be taken out of backbone.kind=transformer, not {type(backbone).__name__}"
        )
    return backbone
