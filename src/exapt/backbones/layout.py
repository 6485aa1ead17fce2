"""What attention needs to know about a batch, worked out once and shared by all layers.

Shapes: N elements, B examples, L the longest example, H the width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from exapt.backbones.rotary import turns

Way = Literal["plain", "fused", "packed"]
"""How attention is computed: padded by torch's own kernel, padded by the CPU's faster one, or packed on a GPU."""


@dataclass(frozen=True)
class Layout:
    """Where the elements of a packed batch lie once padded."""

    way: Way
    count: int
    longest: int
    offsets: Tensor
    """(B + 1,) beside the elements; int32 on the packed way."""
    source: Tensor | None = None
    """(B · L,) the element at each padded place, 0 where there is none. None: all examples are equally long."""
    slots: Tensor | None = None
    """(N,) the padded place of each element."""

    def pad(self, values: Tensor) -> Tensor:
        """(N, …) to (B, L, …); places past an example's end hold some other element and must be masked or dropped."""
        rows = values if self.source is None else values.index_select(0, self.source)
        return rows.view(self.count, self.longest, *values.shape[1:])

    def pad_with_zeros(self, values: Tensor) -> Tensor:
        """(N, …) to (B, L, …) with zeros past the ends."""
        if self.slots is None:
            return self.pad(values)
        rows = values.new_zeros(self.count * self.longest, *values.shape[1:])
        return rows.index_copy_(0, self.slots, values).view(self.count, self.longest, *values.shape[1:])

    def unpad(self, values: Tensor) -> Tensor:
        """(B, L, …) back to (N, …)."""
        rows = values.flatten(0, 1)
        return rows if self.slots is None else rows.index_select(0, self.slots)


def lay_out(offsets: Tensor, device: torch.device, way: Way) -> Layout:
    """The layout of examples with these offsets (B + 1,), at least one of them not empty."""
    lengths = offsets.diff()
    count, longest = lengths.numel(), int(lengths.max())
    if way == "packed":
        return Layout(way, count, longest, offsets.to(device, torch.int32))
    if count * longest == int(offsets[-1]):
        return Layout(way, count, longest, offsets.to(device))
    along = torch.arange(longest, device=offsets.device)
    real = along < lengths[:, None]
    source = torch.where(real, offsets[:-1, None] + along, 0).flatten()
    slots = real.flatten().nonzero().squeeze(1)
    return Layout(way, count, longest, offsets.to(device), source.to(device), slots.to(device))


@dataclass(frozen=True)
class Rule:
    """How the layers of one kind look about them."""

    theta: float
    """Base of the rotary frequencies."""
    causal: bool = False
    """Only at themselves and at what came before."""
    reach: int | None = None
    """How many places away they look, along each axis; None is any distance."""


@dataclass(frozen=True)
class View:
    """A rule worked out for one batch."""

    cos: Tensor
    """(2, 1 | B, 1, L, H) for queries and keys, the queries' scaled by H^−½; (2, N, 1, H) on the packed way."""
    sin: Tensor
    """As `cos`, with the sign that `rotate` wants."""
    bias: Tensor | None
    """(1 | B, 1, 1 | L, L) added to the scores: hugely negative where a query may not look. None: all may be seen."""
    window: tuple[int, int]
    """(left, right) as `varlen_attn` counts: −1 is any distance."""


def view(layout: Layout, rule: Rule, positions: Tensor | None, head: int, dtype: torch.dtype) -> View:
    """Work a rule out for a batch; positions (N, k), or None where every example counts from 0."""
    places = _places(layout, positions)
    cells, where = _shared(places)
    tables = turns(cells, head, rule.theta)
    scale = torch.tensor([head**-0.5, 1.0], device=places.device).view(2, 1, *[1] * (cells.ndim - 1))
    cos, sin = ((scale * table).to(dtype) for table in tables)
    if where is not None:
        cos, sin = (table.squeeze(1).index_select(1, where).unflatten(1, places.shape[:2]) for table in (cos, sin))
    far = -1 if rule.reach is None else rule.reach
    return View(
        cos=cos.unsqueeze(2),
        sin=sin.unsqueeze(2),
        bias=None if layout.way == "packed" else _bias(layout, rule, places, dtype),
        window=(far, 0 if rule.causal else far),
    )


def _places(layout: Layout, positions: Tensor | None) -> Tensor:
    """(1 | B, L, k) padded, or (N, k) on the packed way."""
    if layout.way == "packed":
        return _count(layout)[:, None] if positions is None else positions
    if positions is None:
        return torch.arange(layout.longest, device=layout.offsets.device)[None, :, None]
    return layout.pad(positions)


def _shared(places: Tensor) -> tuple[Tensor, Tensor | None]:
    """The cells (1, C, k) of a grid that holds whole places (B, L, k), and which of them each is (B · L,).

    The pictures of a batch share a few cells, so that sines are worked out once a cell. The places as they are, and
    None, where that wins nothing.
    """
    if places.device.type != "cpu" or places.is_floating_point() or places.ndim < 3 or places.numel() < 1024:
        return places, None
    flat = places.flatten(0, 1)
    sizes = (flat.amax(0) + 1).tolist()
    if int(flat.min()) < 0 or 4 * math.prod(sizes) > len(flat):
        return places, None
    where = flat[:, 0]
    for axis, size in enumerate(sizes[1:], 1):
        where = where * size + flat[:, axis]
    cells = torch.cartesian_prod(*[torch.arange(size) for size in sizes])
    return cells.reshape(1, -1, len(sizes)), where


def _count(layout: Layout) -> Tensor:
    """(N,) each example's own count from 0."""
    starts = layout.offsets[:-1].repeat_interleave(layout.offsets.diff())
    return torch.arange(len(starts), device=starts.device) - starts


def _bias(layout: Layout, rule: Rule, places: Tensor, dtype: torch.dtype) -> Tensor | None:
    """The additive mask. Its values are finite so that a row with nothing to see gives no NaN."""
    along = torch.arange(layout.longest, device=layout.offsets.device)
    hidden = []
    if layout.source is not None:
        hidden.append((along >= layout.offsets.diff()[:, None])[:, None, None, :])
    if rule.causal:
        hidden.append((along[:, None] < along)[None, None])
    if rule.reach is not None:
        apart = (places[:, :, None, :] - places[:, None, :, :]).abs().amax(-1)
        hidden.append((apart > rule.reach)[:, None])
    if not hidden:
        return None
    blocked = hidden[0]
    for part in hidden[1:]:
        blocked = blocked | part
    return torch.zeros(blocked.shape, dtype=dtype, device=blocked.device).masked_fill_(
        blocked, torch.finfo(dtype).min / 2
    )
