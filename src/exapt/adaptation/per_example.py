"""Sums over examples of squared per-example gradients, from one backward pass over a packed batch.

What linear layers, embeddings and layer norms were given, and the slopes of what they gave, hold every example's
gradient (Goodfellow 2015, arXiv 1510.01799; Li et al. 2022, arXiv 2110.05679): for a linear layer it is Σ_t s_t a_tᵀ
over the example's rows t. A weight that is used twice (a tied embedding) gets the sum of both before it is squared.

Shapes: B examples, R rows of a layer's input, I features in, O out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from exapt.batch import offsets_of, pad, segment_sum

ROOM = 2**19
"""Numbers of per-example gradients held at once: about what a core's cache holds."""


class UnknownUseError(Exception):
    """A parameter is used in a way whose per-example gradient is not known; take one example at a time instead."""


@dataclass
class Use(ABC):
    """One call of a layer: which parameter it used, what it was given, and the slope of what it gave."""

    weight: str
    """Name of the parameter."""
    given: Tensor
    slope: Tensor | None = None
    offsets: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.long))
    """(B + 1,) which rows belong to each example, once known."""

    @abstractmethod
    def gradients(self, first: int, last: int) -> Tensor:
        """(last − first, *shape of the parameter) of some examples."""

    def squares(self, size: int) -> Tensor | None:
        """(*shape) the sum over examples of the squared gradient by a short cut; None where there is none."""
        return None

    def rows(self, values: Tensor, first: int, last: int) -> Tensor:
        """(last − first, longest, …) the rows of some examples, zeros past their ends."""
        bounds = self.offsets[first : last + 1]
        some = values[int(bounds[0]) : int(bounds[-1])]
        lengths = bounds.diff()
        longest = int(lengths.max())
        if longest * len(lengths) == len(some):
            return some.view(len(lengths), longest, *some.shape[1:])
        return pad(some, bounds - bounds[0])[0]


@dataclass
class Linear(Use):
    """y = W a: given (R, I), slope (R, O)."""

    def gradients(self, first: int, last: int) -> Tensor:
        assert self.slope is not None
        return torch.bmm(self.rows(self.slope, first, last).mT, self.rows(self.given, first, last))

    def squares(self, size: int) -> Tensor | None:
        assert self.slope is not None
        if int(self.offsets.diff().max()) > 1:
            return None
        return self.slope.square().T @ self.given.square()  # one row an example: (s aᵀ)² = s² (a²)ᵀ


@dataclass
class Lookup(Use):
    """Rows of an embedding: given (R,) ids, slope (R, D)."""

    count: int = 0
    """V, the rows of the table."""

    def gradients(self, first: int, last: int) -> Tensor:
        assert self.slope is not None
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        owner = torch.repeat_interleave(torch.arange(last - first), self.offsets[first : last + 1].diff())
        out = self.slope.new_zeros((last - first) * self.count, self.slope.shape[1])
        out.index_add_(0, owner.to(self.given.device) * self.count + self.given[start:stop], self.slope[start:stop])
        return out.view(last - first, self.count, -1)

    def squares(self, size: int) -> Tensor:
        assert self.slope is not None
        owner = torch.repeat_interleave(torch.arange(len(self.offsets) - 1), self.offsets.diff())
        places, back = torch.unique(owner.to(self.given.device) * self.count + self.given, return_inverse=True)
        sums = self.slope.new_zeros(len(places), self.slope.shape[1]).index_add_(0, back, self.slope)
        out = self.slope.new_zeros(self.count, self.slope.shape[1])
        return out.index_add_(0, places % self.count, sums.square_())


@dataclass
class Scale(Use):
    """y = w ∘ a: given and slope (R, D); a bias is given ones (R, 1)."""

    def gradients(self, first: int, last: int) -> Tensor:
        assert self.slope is not None
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        bounds = self.offsets[first : last + 1] - self.offsets[first]
        return segment_sum(self.given[start:stop] * self.slope[start:stop], bounds)


class Recorder(TorchFunctionMode):
    """While open, calls of linear layers, embeddings and layer norms on tracked parameters are noted.

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


HANDLED: dict[Any, Callable[..., Tensor]] = {F.linear: _linear, F.embedding: _embedding, F.layer_norm: _layer_norm}


def settle(uses: list[Use], packings: list[Tensor]) -> None:
    """Flatten what was noted to rows, and find which rows belong to which example among known offsets (B + 1,).

    Raises `UnknownUseError` where no packing has as many rows.
    """
    count = len(packings[0]) - 1
    for use in uses:
        lead = use.given.shape if isinstance(use, Lookup) else use.given.shape[:-1]
        if use.slope is None:
            raise UnknownUseError(f"{use.weight}: no gradient came back to one of its uses")
        if len(lead) > 1:
            if lead[0] != count:
                raise UnknownUseError(f"{use.weight}: used over {tuple(lead)} for {count} examples")
            each = torch.full((count,), lead.numel() // count)
            use.offsets = offsets_of(each)
        else:
            found = [packing for packing in packings if int(packing[-1]) == lead.numel()]
            if not found:
                raise UnknownUseError(f"{use.weight}: used over {lead.numel()} rows, which belong to no known example")
            use.offsets = found[0]
        use.given = use.given.flatten() if isinstance(use, Lookup) else use.given.flatten(0, -2)
        use.slope = use.slope.flatten(0, -2)


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
