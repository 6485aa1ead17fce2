"""Contacts of new chains, written as a table of pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exapt.adaptation import Fitted
from exapt.domains.base import Arrays, Source
from exapt.studies.tables import check_ending, write_table
from exapt.tasks.pairs import SHORTEST, pair_count, pair_places

KEPT = 3
"""Pairs of a chain that are written, as a multiple of its length."""


def predict_contacts(fitted: Fitted, source: Source | Arrays, out: Path) -> int:
    """Write the 3 L likeliest pairs of every chain, best first: `index` of the chain, residues `i` < `j` from 1, and
    `probability`. How many rows."""
    check_ending(out)
    dataset = fitted.domain.read(source)
    probabilities = fitted.predict(dataset)
    parts = [_best(row, int(length)) for row, length in zip(probabilities, fitted.domain.kept(dataset), strict=True)]
    index = np.repeat(np.asarray(dataset.rows), [len(part[0]) for part in parts])
    first, second, chance = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    write_table(out, {"index": index, "i": first + 1, "j": second + 1, "probability": chance})
    return len(index)


def _best(row: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places i, j and probabilities of a chain's best pairs."""
    first, second = pair_places(length)
    far = np.flatnonzero(second - first >= SHORTEST)
    best = far[np.argsort(-row[: pair_count(length)][far], kind="stable")[: KEPT * length]]
    return first[best], second[best], row[best]
