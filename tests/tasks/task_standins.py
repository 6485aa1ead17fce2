"""Data sets in memory for tests of tasks and splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from exapt.batch import Batch, offsets_of
from exapt.domains.base import Dataset
from exapt.domains.pieces import as_column
from exapt.tasks.base import Task


class Rows:
    """A store of arrays."""

    def __init__(self, values: Sequence[np.ndarray]) -> None:
        self.values = list(values)
        self.lengths = np.array([len(v) for v in values], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[index]

    def fingerprint(self) -> str:
        return "rows"


def dataset(
    labels: Any = None, *, values: Sequence[np.ndarray] | None = None, name: str = "label", **columns: Any
) -> Dataset:
    """Examples with a label column (or a dict of several), and `group=` or `split=` columns in those roles."""
    several = labels if isinstance(labels, dict) else {name: labels} if labels is not None else {}
    raw = {k: v if isinstance(v, np.ndarray) else as_column(v) for k, v in {**several, **columns}.items()}
    count = len(next(iter(raw.values())))
    values = [np.array([i, i + 1]) for i in range(count)] if values is None else values
    roles = {"label": tuple(several)} | {role: (role,) for role in ("group", "split") if role in columns}
    return Dataset(Rows(values), np.arange(count), raw, source="file.csv", roles={k: v for k, v in roles.items() if v})


def batch_of(data: Dataset, task: Task) -> Batch:
    """An attached data set as one batch, inputs left out."""
    offsets = offsets_of(torch.as_tensor(data.lengths))
    inputs = torch.zeros(int(offsets[-1]), dtype=torch.long)
    truth = torch.as_tensor(task.truth(data))
    truth = truth.float() if truth.is_floating_point() else truth
    where = {"element_targets" if task.per_element else "targets": {"label": truth}}
    return Batch(inputs, offsets, **where)
