"""Packing the labels of examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from exapt.domains.base import Example
from exapt.errors import InputError


def targets_of(examples: Sequence[Example]) -> dict[str, Tensor]:
    """(B, …) by name: whole numbers as int64, others as float32."""
    names = examples[0].targets if examples else ()
    return {name: as_target(np.stack([np.asarray(e.targets[name]) for e in examples])) for name in names}


def element_targets_of(examples: Sequence[Example], lengths: Sequence[int], ends: int) -> dict[str, Tensor]:
    """(N, …) by name: each example's labels cut to its length, with a missing label at each of its `ends`."""
    names = examples[0].element_targets if examples else ()
    return {name: _packed([e.element_targets[name] for e in examples], lengths, ends) for name in names}


def _packed(labels: Sequence[np.ndarray], lengths: Sequence[int], ends: int) -> Tensor:
    rows = [np.asarray(label)[:length] for label, length in zip(labels, lengths, strict=True)]
    if [len(row) for row in rows] != list(lengths):
        raise InputError("labels per element must be as long as their example, counted in elements")
    whole = all(np.issubdtype(row.dtype, np.integer) for row in rows)
    blank = np.full((ends, *rows[0].shape[1:]), -1 if whole else np.nan)
    joined = np.concatenate([part for row in rows for part in (blank, row, blank)] if ends else rows)
    return torch.from_numpy(np.ascontiguousarray(joined, dtype=np.int64 if whole else np.float32))


def as_target(values: np.ndarray) -> Tensor:
    """Whole numbers as int64, others as float32."""
    whole = np.issubdtype(values.dtype, np.integer) or values.dtype == bool
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64 if whole else np.float32))
