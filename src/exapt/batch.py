"""Packed sets of elements: the one shape that every field's data takes.

Shapes: N elements, B examples, D width, E edges. Text tokens, bases, residues, patches, nodes and atoms are
*elements*; an example owns the run `offsets[b]:offsets[b + 1]`. Nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

BINS = 16
"""Runs of pooling 'bins'."""


@dataclass(frozen=True)
class Batch:
    """B examples packed end to end."""

    inputs: Tensor
    """(N, …) one row an element; for pictures (B, C, H, W)."""
    offsets: Tensor
    """(B + 1,) int64, on the CPU or beside the inputs; `offsets[0] == 0`, `offsets[-1] == N`. A linked batch may hold
    more inputs than N: neighbours that edges come from and no example owns."""
    positions: Tensor | None = None
    """(N,) or (N, 2 | 3); None means each example counts its elements from 0."""
    edges: Tensor | None = None
    """(2, E) indices of elements of this batch, from and to; inside one example unless `linked`."""
    edge_inputs: Tensor | None = None
    """(E, …) what each edge carries: a weight, a kind of bond, or a vector of periodic shifts."""
    linked: bool = False
    """Whether edges run between examples: nodes of one graph, each an example of its own."""
    cell: Tensor | None = None
    """(B, 3, 3) periodic cell vectors; a row of zeros where a direction is not periodic."""
    whole: Tensor | None = None
    """(B, k) what is known of an example as a whole; of atoms: total charge and number of unpaired electrons."""
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    """Labels per example (B, …); a missing label is NaN (float) or −1 (integer)."""
    element_targets: Mapping[str, Tensor] = field(default_factory=dict)
    """Labels per element (N, …), missing as above."""
    index: Tensor | None = None
    """(B,) the place of each example in its data set."""

    def __len__(self) -> int:
        return self.offsets.numel() - 1

    @property
    def lengths(self) -> Tensor:
        """(B,) elements of each example."""
        return self.offsets.diff()

    @property
    def segments(self) -> Tensor:
        """(N,) the example that owns each element."""
        return segments(self.offsets)

    @property
    def pictures(self) -> bool:
        """Whether the inputs are whole pictures (B, C, H, W)."""
        return self.inputs.ndim == 4

    def places(self) -> Tensor:
        """(N,) or (N, k): the given positions, or each example's own count from 0."""
        if self.positions is not None:
            return self.positions
        count = torch.arange(int(self.offsets[-1]), device=self.offsets.device)
        return count - self.offsets[:-1].repeat_interleave(self.lengths)

    def to(self, device: torch.device | str) -> Self:
        """The same batch with every tensor on a device."""
        moved: dict[str, Any] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, Tensor):
                moved[part.name] = value.to(device, non_blocking=True)
            elif isinstance(value, Mapping):
                moved[part.name] = {k: v.to(device, non_blocking=True) for k, v in value.items()}
        return replace(self, **moved)

    def select(self, examples: Sequence[int] | Tensor) -> Self:
        """The batch of some examples, in the order asked for (repeats allowed)."""
        chosen = torch.as_tensor(examples, dtype=torch.long, device=self.offsets.device).reshape(-1)
        elements = element_index(self.offsets, chosen)
        if self.linked:
            return self._select_linked(chosen, elements)
        picked, edges = (None, None) if self.edges is None else _select_edges(self.edges, self.offsets, chosen)
        return replace(
            self,
            inputs=self.inputs[chosen] if self.pictures else self.inputs[elements],
            offsets=offsets_of(self.lengths[chosen]),
            positions=None if self.positions is None else self.positions[elements],
            edges=edges,
            edge_inputs=None if self.edge_inputs is None or picked is None else self.edge_inputs[picked],
            cell=None if self.cell is None else self.cell[chosen],
            whole=None if self.whole is None else self.whole[chosen],
            targets={k: v[chosen] for k, v in self.targets.items()},
            element_targets={k: v[elements] for k, v in self.element_targets.items()},
            index=None if self.index is None else self.index[chosen],
        )

    def _select_linked(self, chosen: Tensor, elements: Tensor) -> Self:
        """The chosen examples' elements first, all others after them as neighbours that no example owns."""
        if len(elements.unique()) < len(elements):
            raise ValueError("a linked batch can give each example once only")
        left = torch.ones(len(self.inputs), dtype=torch.bool, device=elements.device).index_fill(0, elements, False)
        order = torch.cat([elements, left.nonzero().squeeze(1)])
        place = torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))
        return replace(
            self,
            inputs=self.inputs[order],
            offsets=offsets_of(self.lengths[chosen]),
            positions=None if self.positions is None else self.positions[order],
            edges=None if self.edges is None else place[self.edges],
            whole=None if self.whole is None else self.whole[chosen],
            targets={k: v[chosen] for k, v in self.targets.items()},
            element_targets={k: v[elements] for k, v in self.element_targets.items()},
            index=None if self.index is None else self.index[chosen],
        )


@dataclass(frozen=True)
class Features:
    """What every backbone returns: one vector an element, in the packing of its batch."""

    elements: Tensor
    """(N, D)."""
    offsets: Tensor
    """(B + 1,)."""
    vectors: Tensor | None = None
    """(N, 3, D) that turn with the positions, where a backbone has them: for heads that answer in space."""

    def __len__(self) -> int:
        return self.offsets.numel() - 1

    @property
    def width(self) -> int:
        return self.elements.shape[-1]

    def pooled(self, how: str = "mean") -> Tensor:
        """(B, D): the mean (an empty example gives zeros), maximum, sum, or first or last element of each example.

        'bins' gives (B, 16·D), the means of 16 equal runs end to end, which keep where things are.
        """
        if how == "mean":
            return segment_mean(self.elements, self.offsets)
        if how == "max":
            return segment_max(self.elements, self.offsets)
        if how == "sum":
            return segment_sum(self.elements, self.offsets)
        if how in ("first", "last"):
            return _ends(self.elements, self.offsets, how)
        if how == "bins":
            return segment_bins(self.elements, self.offsets)
        raise ValueError(f"pooling '{how}'; valid: mean, max, sum, first, last, bins")


def joinable(batches: Sequence[Batch]) -> bool:
    """Whether `joined` can put batches end to end: the same parts in all of them, of like shapes."""

    def form(batch: Batch) -> Any:
        edges = None if batch.edges is None else batch.edges.T
        inner = [getattr(batch, part.name) for part in fields(batch) if part.name not in ("edges", "linked")]
        return [batch.linked, *(_form(part) for part in (edges, *inner))]

    return all(form(batch) == form(batches[0]) for batch in batches)


def joined(batches: Sequence[Batch]) -> Batch:
    """The examples of several batches in one, end to end; raises `ValueError` where they are not alike.

    Each one's edges stay its own. Inputs of a linked batch that no example owns come after all that are owned.
    """
    if not batches or not joinable(batches):
        raise ValueError("only batches of the same parts and shapes can be joined")
    first, place = batches[0], _places(batches)
    inner = [part.name for part in fields(first) if part.name not in ("offsets", "edges", "linked")]
    found: dict[str, Any] = {name: _end_to_end([getattr(batch, name) for batch in batches]) for name in inner}
    found["offsets"] = offsets_of(torch.cat([batch.lengths for batch in batches]))
    if first.linked:
        order = torch.cat(place).argsort()
        found["inputs"] = found["inputs"][order]
        found["positions"] = None if found["positions"] is None else found["positions"][order]
    if first.edges is not None:
        edges = [batch.edges for batch in batches if batch.edges is not None]
        found["edges"] = torch.cat([at[ends] for at, ends in zip(place, edges, strict=True)], 1)
    return replace(first, **found)


def pack(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Concatenate examples (n_b, …) into (N, …) and offsets (B + 1,)."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    if not rows:
        raise ValueError("cannot pack no examples: their shape is unknown")
    return torch.cat(list(rows)), offsets_of(lengths)


def offsets_of(lengths: Tensor) -> Tensor:
    """(B + 1,) offsets from (B,) lengths."""
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def segments(offsets: Tensor) -> Tensor:
    """(N,) the owner of each element."""
    owners = torch.arange(offsets.numel() - 1, device=offsets.device)
    return owners.repeat_interleave(offsets.diff())


def element_index(offsets: Tensor, examples: Tensor) -> Tensor:
    """The elements of some examples, in the order of the examples."""
    lengths = offsets.diff()[examples]
    starts = offsets[:-1][examples] - offsets_of(lengths)[:-1]
    return torch.arange(int(lengths.sum()), device=offsets.device) + starts.repeat_interleave(lengths)


def segment_sum(values: Tensor, offsets: Tensor) -> Tensor:
    """(B, …) sums over the elements (N, …) of each example, zero for an empty one; halves are added in float32."""
    wide = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
    out = wide.new_zeros(offsets.numel() - 1, *values.shape[1:])
    return out.index_add(0, segments(offsets).to(values.device), wide).to(values.dtype)


def segment_mean(values: Tensor, offsets: Tensor) -> Tensor:
    """(B, …) means; an empty example gives zero."""
    counts = offsets.diff().clamp(min=1).to(values.device, values.dtype)
    return segment_sum(values, offsets) / counts.reshape(-1, *[1] * (values.ndim - 1))


def segment_max(values: Tensor, offsets: Tensor) -> Tensor:
    """(B, …) maxima of floating values; an empty example gives zero."""
    out = torch.segment_reduce(values.contiguous(), "max", offsets=offsets.to(values.device), axis=0)
    empty = (offsets.diff() == 0).to(values.device)
    return out.masked_fill(empty.reshape(-1, *[1] * (values.ndim - 1)), 0)


def segment_bins(values: Tensor, offsets: Tensor, bins: int = BINS) -> Tensor:
    """(B, bins·D) means of equal runs of each example's elements (N, D), end to end; a run without any gives zero."""
    lengths, count = offsets.diff(), len(offsets) - 1
    within = torch.arange(len(values), device=offsets.device) - offsets[:-1].repeat_interleave(lengths)
    place = segments(offsets) * bins + within * bins // lengths.repeat_interleave(lengths)
    place = place.to(values.device)
    sums = values.new_zeros(count * bins, values.shape[1]).index_add(0, place, values)
    sizes = torch.bincount(place, minlength=count * bins).clamp(min=1)
    return (sums / sizes.to(values)[:, None]).reshape(count, -1)


def segment_softmax(scores: Tensor, offsets: Tensor) -> Tensor:
    """(N, …) softmax over the elements of each example."""
    owners = segments(offsets).to(scores.device)
    weights = (scores - segment_max(scores.detach(), offsets)[owners]).exp()
    return weights / segment_sum(weights, offsets)[owners]


def pad(values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Packed (N, …) to padded (B, L, …), and the mask (B, L) that is True on real elements."""
    lengths = offsets.diff().to(values.device)
    longest = int(lengths.max()) if lengths.numel() else 0
    real = torch.arange(longest, device=values.device) < lengths[:, None]
    slots = real.flatten().nonzero().squeeze(1)
    flat = values.new_zeros(lengths.numel() * longest, *values.shape[1:])
    return flat.index_copy(0, slots, values).unflatten(0, (lengths.numel(), longest)), real


def unpad(padded: Tensor, real: Tensor) -> Tensor:
    """Padded (B, L, …) back to packed (N, …)."""
    return padded[real]


def _form(part: Any) -> Any:
    """What must be alike in parts that are put end to end."""
    if isinstance(part, Mapping):
        return {name: _form(value) for name, value in part.items()}
    return None if part is None else (part.shape[1:], part.dtype, part.device)


def _end_to_end(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], Mapping):
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return None if parts[0] is None else torch.cat(list(parts))


def _places(batches: Sequence[Batch]) -> list[Tensor]:
    """Where each batch's elements stand among those of all: owned ones in order, then what no example owns."""
    own = [int(batch.offsets[-1]) for batch in batches]
    spare = [len(batch.inputs) - n if batch.linked else 0 for batch, n in zip(batches, own, strict=True)]
    places, start, after = [], 0, sum(own)
    for n, more in zip(own, spare, strict=True):
        places.append(torch.cat([torch.arange(start, start + n), torch.arange(after, after + more)]))
        start, after = start + n, after + more
    return [place.to(batches[0].inputs.device) for place in places]


def _ends(values: Tensor, offsets: Tensor, which: str) -> Tensor:
    if bool((offsets.diff() == 0).any()):
        raise ValueError(f"pooling '{which}' needs at least one element in every example")
    return values[offsets[:-1] if which == "first" else offsets[1:] - 1]


def _select_edges(edges: Tensor, offsets: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Which edges (E',) the chosen examples have, and these renumbered (2, E'); an example's edges stay inside it."""
    owner = torch.searchsorted(offsets, edges[0].contiguous(), right=True) - 1
    order = torch.argsort(owner, stable=True)
    bounds = offsets_of(torch.bincount(owner, minlength=len(offsets) - 1))
    picked = order[element_index(bounds, chosen)]
    shift = offsets_of(offsets.diff()[chosen])[:-1] - offsets[:-1][chosen]
    return picked, edges[:, picked] + shift.repeat_interleave(bounds.diff()[chosen])
