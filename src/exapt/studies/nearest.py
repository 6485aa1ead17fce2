"""The nearest sequence of a corpus: found by shared runs of letters, compared by alignment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from exapt.domains.alignment import identity
from exapt.domains.base import Dataset
from exapt.domains.hashing import ngram_hashes

RUN = 3
"""Letters of a shared run."""
ALIGNED = 8
"""So many sequences, those that share most runs, are aligned."""
LARGEST = 20_000_000
"""Letters of a corpus beyond which it is not searched."""


class Near(NamedTuple):
    """How alike the nearest sequence is, and its place in the corpus (−1: none shares a run)."""

    identity: float
    place: int


class Corpus:
    """An index of a data set's sequences by their runs. Holds 12 bytes a letter."""

    def __init__(self, dataset: Dataset) -> None:
        self.rows = [np.asarray(dataset.store[int(row)]) for row in dataset.rows]
        hashes = [np.unique(ngram_hashes(row, RUN)) for row in self.rows]
        owner = np.repeat(np.arange(len(hashes), dtype=np.int32), [len(part) for part in hashes])
        runs = np.concatenate([np.zeros(0, dtype=np.uint64), *hashes])
        order = runs.argsort(kind="stable")
        self.runs, self.owner = runs[order], owner[order]

    def nearest(self, ids: np.ndarray) -> Near:
        """Of one sequence (n,); the search may miss a sequence that shares few runs of 3 letters."""
        runs = np.unique(ngram_hashes(ids, RUN))
        low, high = (np.searchsorted(self.runs, runs, side=side) for side in ("left", "right"))
        shared = np.zeros(len(self.rows), dtype=np.int64)
        for start, stop in zip(low, high, strict=True):
            shared[self.owner[start:stop]] += 1
        longest = np.array([max(len(row), len(ids), 1) for row in self.rows])
        best = np.argsort(-shared / longest, kind="stable")[:ALIGNED]
        found = [Near(identity(ids, self.rows[at]), int(at)) for at in best if shared[at]]
        return max(found, default=Near(0.0, -1))
