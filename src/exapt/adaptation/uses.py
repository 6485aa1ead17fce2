"""One call of a layer: what it was given, the slope of what it gave, and from these every example's gradient.

Shapes: B examples, R rows of a layer's input, I features in, O out, C channels, h × w cells of a grid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from exapt.batch import offsets_of, pad, segment_sum


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

    def settle(self, packings: list[Tensor]) -> None:
        """Flatten what was noted to rows, and find which belong to which example among known offsets (B + 1,)."""
        count = len(packings[0]) - 1
        lead = self.given.shape if isinstance(self, Lookup) else self.given.shape[:-1]
        if len(lead) > 1:
            if lead[0] != count:
                raise UnknownUseError(f"{self.weight}: used over {tuple(lead)} for {count} examples")
            self.offsets = offsets_of(torch.full((count,), lead.numel() // count))
        else:
            found = [packing for packing in packings if int(packing[-1]) == lead.numel()]
            if not found:
                raise UnknownUseError(f"{self.weight}: used over {lead.numel()} rows, which belong to no known example")
            self.offsets = found[0]
        assert self.slope is not None
        self.given = self.given.flatten() if isinstance(self, Lookup) else self.given.flatten(0, -2)
        self.slope = self.slope.flatten(0, -2)

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


@dataclass
class OfGrids(Use):
    """A use over pictures: given (B, C, h, w), slope (B, O, h', w'), one of each an example."""

    def settle(self, packings: list[Tensor]) -> None:
        count = len(packings[0]) - 1
        if len(self.given) != count:
            raise UnknownUseError(f"{self.weight}: used over {len(self.given)} pictures for {count} examples")
        self.offsets = torch.arange(count + 1)


@dataclass
class Convolution(OfGrids):
    """A convolution of pictures in one group."""

    shape: tuple[int, ...] = ()
    """(O, C, rows, columns) of the weight."""
    how: Mapping[str, Any] = field(default_factory=dict)
    """Stride, padding and dilation."""

    def gradients(self, first: int, last: int) -> Tensor:
        assert self.slope is not None
        windows = F.unfold(self.given[first:last], tuple(self.shape[2:]), **self.how)
        return torch.bmm(self.slope[first:last].flatten(2), windows.mT).view(-1, *self.shape)


@dataclass
class ChannelScale(OfGrids):
    """y = w ∘ a, one weight a channel; a bias is given ones (B, 1, 1, 1)."""

    def gradients(self, first: int, last: int) -> Tensor:
        assert self.slope is not None
        return (self.given[first:last] * self.slope[first:last]).flatten(2).sum(2)
