"""Two data sets as one: training and validation for a refit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from exapt.domains.base import Dataset, Store
from exapt.spec import digest


def combine(first: Dataset, second: Dataset) -> Dataset:
    """The examples of both, the first's first, with the targets that both have."""
    if not len(second):
        return first
    store, rows = first.store, second.rows
    if second.store is not first.store:
        store, rows = Joined(first.store, second.store), rows + len(first.store)
    return replace(
        first,
        store=store,
        rows=np.concatenate([first.rows, rows]),
        columns=_both(first.columns, second.columns),
        targets=_both(first.targets, second.targets),
        element_targets=_both(first.element_targets, second.element_targets),
    )


@dataclass(frozen=True)
class Joined:
    """Two stores end to end."""

    first: Store
    second: Store

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.first[index] if index < len(self.first) else self.second[index - len(self.first)]

    @property
    def lengths(self) -> np.ndarray:
        return np.concatenate([self.first.lengths, self.second.lengths])

    def fingerprint(self) -> str:
        return digest([self.first.fingerprint(), self.second.fingerprint()])


def _both(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([first[name], second[name]]) for name in first if name in second}
