"""From structures to a batch, and a batch moved: edges follow the positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from exapt.batch import Batch, offsets_of
from exapt.domains.neighbours import neighbours
from exapt.domains.structure import Structure

CONFORMERS = "conformers"
"""The element target (N, 3 K) that carries further conformers; NaN where a structure has fewer."""


def batch_of(structures: Sequence[Structure], cutoff: float, dtype: torch.dtype = torch.float32) -> Batch:
    """Structures packed end to end with their neighbours; positions of the first conformer, in Å."""
    lengths = torch.tensor([len(s) for s in structures], dtype=torch.long)
    places = np.concatenate([np.zeros((0, 3)), *(s.positions[0] for s in structures)])
    numbers = np.concatenate([np.zeros(0, np.int64), *(s.numbers for s in structures)])
    cells = np.array([s.cell for s in structures]).reshape(-1, 3, 3)
    whole = np.array([(s.charge, s.unpaired) for s in structures]).reshape(-1, 2)
    bare = Batch(
        inputs=torch.from_numpy(numbers),
        offsets=offsets_of(lengths),
        positions=torch.from_numpy(places).to(dtype),
        cell=torch.from_numpy(cells).to(dtype),
        whole=torch.from_numpy(whole).to(dtype),
    )
    most = max((len(s.positions) for s in structures), default=1)
    carried = {CONFORMERS: torch.from_numpy(_conformers(structures, most)).to(dtype)} if most > 1 else {}
    return with_neighbours(replace(bare, element_targets=carried), cutoff)


def with_neighbours(batch: Batch, cutoff: float) -> Batch:
    """The batch with the edges that its positions have."""
    assert batch.positions is not None
    pairs = neighbours(batch.positions, batch.offsets, batch.cell, cutoff)
    return replace(batch, edges=pairs.edges, edge_inputs=pairs.shifts)


def turned(batch: Batch, turns: Tensor) -> Batch:
    """Positions, cells and shifts of every structure times a matrix (B, 3, 3) of its own, edges kept: for turns and
    reflections. Labels that are vectors are not turned."""
    assert batch.positions is not None
    turns = turns.to(batch.positions)
    owner = batch.segments.to(turns.device)
    shifts = batch.edge_inputs
    if shifts is not None and batch.edges is not None:
        shifts = _times(shifts, turns[owner[batch.edges[1]]])
    return replace(
        batch,
        positions=_times(batch.positions, turns[owner]),
        edge_inputs=shifts,
        cell=None if batch.cell is None else batch.cell @ turns,
    )


def _times(rows: Tensor, matrices: Tensor) -> Tensor:
    return torch.einsum("ni,nij->nj", rows, matrices)


def _conformers(structures: Sequence[Structure], most: int) -> np.ndarray:
    rows = np.full((sum(len(s) for s in structures), 3 * most), np.nan)
    start = 0
    for s in structures:
        flat = s.positions.transpose(1, 0, 2).reshape(len(s), -1)
        rows[start : start + len(s), : flat.shape[1]] = flat
        start += len(s)
    return rows
