"""Named changes of a batch: what a representation may be invariant to, and a task may or may not need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from exapt.batch import Batch


class Changed(NamedTuple):
    """A changed batch, and what was drawn for each example."""

    batch: Batch
    parameters: Tensor | None = None
    """(B, k) float, such as an angle or a shift; None where the change has none worth knowing."""


@dataclass(frozen=True)
class Transformation:
    """One named change with a strength."""

    name: str
    change: Callable[[Batch, float, torch.Generator], Changed]
    """The batch changed at a strength; every draw comes from the generator."""
    strengths: tuple[float, ...]
    """Ascending, for a sweep; the last one destroys the most."""
    unit: str
    """What the strength counts, such as 'degrees'."""
    measure: Callable[[Batch], Tensor] | None = None
    """(B, k) what the change changes, read off an example's inputs, such as its mean colour; None where unknown."""
    either: float | None = None
    """The strength at which about half of the examples change, for a change that is all or nothing."""

    @property
    def scrambling(self) -> float:
        """The strength at which what is changed can no longer be known."""
        return self.strengths[-1] if self.either is None else self.either


def uniform(count: int, reach: float, rng: torch.Generator, columns: int = 1) -> Tensor:
    """(count, columns) draws between −reach and reach."""
    return (2 * torch.rand(count, columns, generator=rng, device=rng.device) - 1) * reach
