"""Sums over examples of squared per-example gradients, from one backward pass over a packed batch.

What linear layers, embeddings, norms and convolutions were given, and the slopes of what they gave, hold every
example's gradient (Goodfellow 2015, arXiv 1510.01799; Li et al. 2022, arXiv 2110.05679): for a linear layer it is
Σ_t s_t a_tᵀ over the example's rows t; a convolution is one over the windows it slides along. A weight that is used
twice (a tied embedding) gets the sum of both before it is squared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from exapt.adaptation.uses import ChannelScale, Convolution, Linear, Lookup, Scale, UnknownUseError, Use

ROOM = 2**19
"""Numbers of per-example gradients held at once: about what a core's cache holds."""


class Recorder(TorchFunctionMode):
    """While open, calls of linear layers, embeddings, norms and convolutions on tracked parameters are noted.

    Tracked parameters enter those calls detached, so that a backward pass leaves a gradient only where one was used in
    some other way.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        self.uses: list[Use] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        handle = HANDLED.get(func)
        kwargs = kwargs or {}
        return handle(self, *args, **kwargs) if handle else func(*args, **kwargs)

    def name(self, parameter: Tensor | None) -> str | None:
        """The name of a tracked parameter."""
        return None if parameter is None else self.names.get(id(parameter))

    def plain(self, parameter: Tensor | None) -> Tensor | None:
        """The parameter without a gradient if it is tracked."""
        return parameter.detach() if parameter is not None and id(parameter) in self.names else parameter

    def note(self, out: Tensor, *uses: Use | None) -> Tensor:
        """Keep uses whose slope is that of `out`."""
        kept = [use for use in uses if use is not None]
        if not kept or not torch.is_grad_enabled():
            return out
        if not out.requires_grad:
            out.requires_grad_()

        def heard(slope: Tensor) -> None:
            for use in kept:
                use.slope = slope.detach() if use.slope is None else use.slope + slope.detach()

        out.register_hook(heard)
        self.uses += kept
        return out


def _linear(recorder: Recorder, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    name, other = recorder.name(weight), recorder.name(bias)
    out = F.linear(input, recorder.plain(weight), recorder.plain(bias))  # type: ignore[arg-type]
    used = Linear(name, input.detach()) if name else None
    added = Scale(other, out.new_ones(()).expand(*out.shape[:-1], 1)) if other else None
    return recorder.note(out, used, added)


def _embedding(
    recorder: Recorder, input: Tensor, weight: Tensor, padding_idx: int | None = None, *rest: Any, **named: Any
) -> Tensor:
    name = recorder.name(weight)
    out = F.embedding(input, recorder.plain(weight), padding_idx, *rest, **named)  # type: ignore[arg-type]
    if name and padding_idx is not None:
        raise UnknownUseError(f"{name}: an embedding with a padding row")
    return recorder.note(out, Lookup(name, input.detach(), count=len(weight)) if name else None)


def _layer_norm(
    recorder: Recorder,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    name, other = recorder.name(weight), recorder.name(bias)
    out = F.layer_norm(input, normalized_shape, recorder.plain(weight), recorder.plain(bias), eps)
    used = Scale(name, F.layer_norm(input.detach(), normalized_shape, eps=eps)) if name else None
    added = Scale(other, out.new_ones(()).expand(*out.shape[:-1], 1)) if other else None
    return recorder.note(out, used, added)


def _conv2d(
    recorder: Recorder,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if groups > 1 or isinstance(padding, str):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    name, other = recorder.name(weight), recorder.name(bias)
    out = F.conv2d(input, recorder.plain(weight), recorder.plain(bias), stride, padding, dilation)  # type: ignore[arg-type]
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    used = Convolution(name, input.detach(), shape=weight.shape, how=how) if name else None
    return recorder.note(out, used, _channel_bias(other, out))


def _group_norm(
    recorder: Recorder,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    name, other = recorder.name(weight), recorder.name(bias)
    out = F.group_norm(input, num_groups, recorder.plain(weight), recorder.plain(bias), eps)
    used = ChannelScale(name, F.group_norm(input.detach(), num_groups, eps=eps)) if name else None
    return recorder.note(out, used, _channel_bias(other, out))


def _channel_bias(name: str | None, out: Tensor) -> ChannelScale | None:
    return ChannelScale(name, out.new_ones(()).expand(len(out), 1, 1, 1)) if name else None


HANDLED: dict[Any, Callable[..., Tensor]] = {
    F.linear: _linear,
    F.embedding: _embedding,
    F.layer_norm: _layer_norm,
    F.conv2d: _conv2d,
    F.group_norm: _group_norm,
}


def settle(uses: list[Use], packings: list[Tensor]) -> None:
    """Flatten what was noted to rows, and find which rows belong to which example among known offsets (B + 1,).

    Raises `UnknownUseError` where no packing has as many rows.
    """
    for use in uses:
        if use.slope is None:
            raise UnknownUseError(f"{use.weight}: no gradient came back to one of its uses")
        use.settle(packings)


def sum_of_squares(uses: list[Use], sizes: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    """For each parameter used, by name, the sum over examples of its squared gradient."""
    by_name: dict[str, list[Use]] = {}
    for use in uses:
        by_name.setdefault(use.weight, []).append(use)
    for name, mine in by_name.items():
        quick = mine[0].squares(sizes[name]) if len(mine) == 1 else None
        yield name, _in_pieces(mine, sizes[name]) if quick is None else quick


def gradients(uses: list[Use], name: str, first: int, last: int) -> Tensor:
    """(last − first, *shape) the gradient of one parameter for some examples, over all its uses."""
    parts = [use.gradients(first, last) for use in uses if use.weight == name]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _in_pieces(uses: list[Use], size: int) -> Tensor:
    count, step = len(uses[0].offsets) - 1, max(1, ROOM // size)
    total = torch.zeros(())
    for first in range(0, count, step):
        some = gradients(uses, uses[0].weight, first, min(first + step, count))
        ones = some.new_ones(1, len(some))  # as a product: faster than a sum over the first axis
        total = total + (ones @ some.square_().flatten(1)).view(some.shape[1:])
    return total
