"""Views of rows: a share of each row's cells drawn anew from their columns.

SCARF, Bahri et al. 2022, arXiv 2106.15147. Shapes: B rows, C columns.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field

from exapt.batch import Batch
from exapt.domains.masking import choose
from exapt.spec import Spec


class CellViews(Spec):
    """How views of one row differ."""

    corrupted: float = Field(default=0.3, gt=0, lt=1)
    """The share of columns drawn anew in every view. The paper draws 0.6 in one of two views and none in the other;
    0.3 in both leaves as much in common."""

    def view(self, batch: Batch, columns: int, rng: torch.Generator) -> Batch:
        """One view of every row; a cell drawn anew is that of a random row of the batch."""
        rows = len(batch)
        allowed = torch.zeros(rows, columns + 2, dtype=torch.bool, device=batch.inputs.device)
        allowed[:, 1:-1] = True
        where = choose(allowed.flatten(), batch.offsets, self.corrupted, rng)
        donor = torch.randint(max(1, rows), (len(where),), generator=rng, device=rng.device).to(where.device)
        drawn = batch.inputs[donor * (columns + 2) + where % (columns + 2)]
        return replace(batch, inputs=batch.inputs.index_copy(0, where, drawn))
