"""Windows: long records cut into consecutive examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from exapt.domains.base import Dataset
from exapt.domains.stores import WindowStore

SHORTEST = 8
"""A piece cut off a long record that is shorter than this is dropped."""


def window_dataset(dataset: Dataset, size: int, phase: int = 0) -> Dataset:
    """Records longer than `size` cut at `phase`, `phase + size`, …; shorter ones stay whole. Columns go along."""
    lengths = dataset.lengths
    record, start, stop = cuts(lengths, size, phase)
    store = WindowStore(dataset.store, dataset.rows[record], start, stop)
    return replace(
        dataset,
        store=store,
        rows=np.arange(len(record)),
        parts=(),
        columns={k: v[record] for k, v in dataset.columns.items()},
        targets={k: v[record] for k, v in dataset.targets.items()},
        element_targets={k: _runs(v, record, start, stop) for k, v in dataset.element_targets.items()},
    )


def cuts(lengths: np.ndarray, size: int, phase: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Record, start and stop of every window over records of the given lengths."""
    lengths = np.asarray(lengths, dtype=np.int64)
    first = np.where(lengths > size, phase % size, 0)
    head = (first > 0).astype(np.int64)
    count = head + -(-(lengths - first) // size)
    record = np.repeat(np.arange(len(lengths)), count)
    number = np.arange(len(record)) - np.repeat(count.cumsum() - count, count)
    end = first[record] + (number + 1 - head[record]) * size
    start, stop = np.maximum(end - size, 0), np.minimum(end, lengths[record])
    kept = (stop - start >= min(SHORTEST, size)) | (lengths[record] == stop - start)
    return record[kept], start[kept], stop[kept]


def _runs(labels: np.ndarray, record: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    runs = [labels[r][a:b] for r, a, b in zip(record.tolist(), start.tolist(), stop.tolist(), strict=True)]
    return np.fromiter(runs, dtype=object, count=len(runs))
