"""The heads of `properties` over one kind of item, examples or elements, and what each one's labels cost.

Shapes: M items (B examples or N elements), D width, H heads, K numbers of all labels together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.batch import Features, segment_sum
from exapt.objectives.property import Kind, Per, PropertySpec

ORDER: tuple[Kind, ...] = ("value", "values", "vector", "binary", "classes")
"""In which heads stand in a row of labels, so that all of a kind are worked out at once."""


def in_order(heads: Mapping[str, PropertySpec], per: Per) -> dict[str, PropertySpec]:
    """The heads of examples, or of elements, as their labels stand in a row."""
    own = [(name, head) for name, head in heads.items() if head.per == per]
    return dict(sorted(own, key=lambda item: ORDER.index(item[1].kind or "value")))


class Said(NamedTuple):
    """What a network says of M items, heads of a kind end to end."""

    numbers: Tensor
    """(M, …) values and vectors, in the corpus's units."""
    binary: Tensor
    """(M, …) logits."""
    classes: list[Tensor]
    """(M, C) logits of each head."""


class Heads(nn.Module):
    """Linear heads, and gated sums of vectors, of one kind of item."""

    owner: Tensor

    def __init__(
        self, heads: Mapping[str, PropertySpec], per: Per, width: int, given: int, rng: torch.Generator | None
    ) -> None:
        """`width` is that of the features, `given` that of what linear heads are given."""
        super().__init__()
        self.per: Per = per
        self.heads = in_order(heads, per)
        specs = list(self.heads.values())
        self.out = nn.Linear(given, sum(head.outputs for head in specs))
        nn.init.normal_(self.out.weight, std=given**-0.5, generator=rng)
        nn.init.zeros_(self.out.bias)
        count = sum(head.kind == "vector" for head in specs)
        self.turning = Turning(width, count, rng) if count else None
        owner = np.repeat(np.arange(len(specs)), [head.columns for head in specs])
        self.register_buffer("owner", torch.from_numpy(owner), persistent=False)

    def sizes(self, *kinds: Kind) -> list[int]:
        """Outputs of the heads of some kinds."""
        return [head.outputs for head in self.heads.values() if head.kind in kinds]

    def forward(self, features: Features, given: Tensor) -> Said:
        """From what linear heads are given (M, …), and the features whose vectors the others sum."""
        plain, binary = sum(self.sizes("value", "values")), sum(self.sizes("binary"))
        wide = self.out(given)
        wide = wide.to(torch.promote_types(wide.dtype, torch.float32))
        numbers, yes, *classes = wide.split([plain, binary, *self.sizes("classes")], 1)
        if self.turning is not None:
            numbers = torch.cat([numbers, self.turning(features, self.per).to(numbers.dtype)], 1)
        return Said(numbers, yes, list(classes))

    def costs(self, said: Said, target: Tensor) -> tuple[Tensor, Tensor]:
        """(H,) each head's summed loss over its labels, and (H,) how many there are, from labels (M, K) with NaN.

        Squared errors for numbers, in squared scales; cross entropies, in nats, for the rest.
        """
        seen = target.isfinite()
        known = torch.where(seen, target, 0.0).to(said.numbers)
        first, second = said.numbers.shape[1], said.numbers.shape[1] + said.binary.shape[1]
        parts = [
            (said.numbers - known[:, :first]).square(),
            F.binary_cross_entropy_with_logits(said.binary, known[:, first:second], reduction="none"),
        ]
        for logits, wanted in zip(said.classes, known[:, second:].long().unbind(1), strict=True):
            parts.append(F.cross_entropy(logits, wanted, reduction="none")[:, None])
        cost = torch.where(seen, torch.cat(parts, 1), 0.0).sum(0)
        sums = cost.new_zeros(len(self.heads))
        return sums.index_add(0, self.owner, cost), sums.index_add(0, self.owner, seen.sum(0).to(cost))


class Turning(nn.Module):
    """V vectors of every element, gated sums of its D; those of an example are sums over its elements.

    They turn with the positions, and are mirrored with them (the equivariant head of Schütt et al. 2021, simplified).
    """

    def __init__(self, width: int, count: int, rng: torch.Generator | None) -> None:
        super().__init__()
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, count, bias=False)
        for layer in (self.gate, self.out):
            nn.init.normal_(layer.weight, std=width**-0.5, generator=rng)
        nn.init.zeros_(self.gate.bias)

    def forward(self, features: Features, per: Per) -> Tensor:
        """(M, 3 V), one vector after another."""
        assert features.vectors is not None
        gated = features.vectors * F.silu(self.gate(features.elements))[:, None]
        flat = self.out(gated).transpose(1, 2).flatten(1)
        return flat if per == "element" else segment_sum(flat, features.offsets)
