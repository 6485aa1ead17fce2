"""Views of token sequences: a contiguous span of each, with a share of its tokens hidden.

Spans as in DeCLUTR (Giorgi et al. 2021, arXiv 2006.03659), hidden tokens as in CLEAR (Wu et al. 2020, arXiv
2012.15466). Shapes: N elements, B examples.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from exapt.batch import Batch, offsets_of
from exapt.domains.masking import choose
from exapt.spec import Spec


class SpanViews(Spec):
    """How views of one sequence differ."""

    shortest: float = Field(default=0.5, gt=0, le=1)
    """The shortest span, as a share of the example; its length is drawn between this and the whole. 1: no spans."""
    hidden: float = Field(default=0.15, ge=0, lt=1)
    """The share of a span's tokens that become the mask token."""

    def view(self, batch: Batch, plain: int, mask: int, ends: bool, rng: torch.Generator) -> Batch:
        """One view of every example; ids below `plain` are never hidden, start and end tokens always stay."""
        seen = kept(batch, in_spans(batch.offsets, self.shortest, ends, rng))
        if not self.hidden:
            return seen
        where = choose(seen.inputs >= plain, seen.offsets, self.hidden, rng)
        return replace(seen, inputs=seen.inputs.index_fill(0, where, mask))


def in_spans(offsets: Tensor, shortest: float, ends: bool, rng: torch.Generator) -> Tensor:
    """(N,) which elements lie in a random span of their example; of ends, both do.

    Lengths are uniform between the shortest and the whole, and so is where a span of that length begins.
    """
    lengths, edge = offsets.diff(), int(ends)
    inner = (lengths - 2 * edge).clamp(min=0)
    least = (inner * shortest).ceil().long().clamp(min=1).minimum(inner)
    draws = torch.rand(2, len(lengths), generator=rng, device=rng.device, dtype=torch.float64).to(offsets.device)
    size = least + (draws[0] * (inner - least + 1)).long()
    first = edge + (draws[1] * (inner - size + 1)).long()
    owner = torch.arange(len(lengths), device=offsets.device).repeat_interleave(lengths)
    place = torch.arange(int(offsets[-1]), device=offsets.device) - offsets[owner]
    within = (place >= first[owner]) & (place < (first + size)[owner])
    return within | ((place == 0) | (place == lengths[owner] - 1)) if ends else within


def kept(batch: Batch, stays: Tensor) -> Batch:
    """The batch with only those elements (N,) that stay."""
    counts = torch.zeros_like(batch.lengths).index_add(0, batch.segments, stays.long())
    at = stays.to(batch.inputs.device)
    return replace(
        batch,
        inputs=batch.inputs[at],
        offsets=offsets_of(counts),
        positions=None if batch.positions is None else batch.positions[at],
        element_targets={name: labels[at] for name, labels in batch.element_targets.items()},
    )
