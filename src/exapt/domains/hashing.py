"""Hashes of the parts of an example, for finding overlap with other data."""

from __future__ import annotations

import numpy as np

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def ngram_hashes(ids: np.ndarray, n: int = 8) -> np.ndarray:
    """(max(1, L − n + 1),) uint64 hash of every run of n ids; a shorter example hashes as a whole."""
    values = np.asarray(ids).astype(np.uint64) + np.uint64(1)
    n = min(n, len(values))
    count = len(values) - n + 1
    total = np.zeros(count if n else 0, dtype=np.uint64)
    for shift in range(n):
        total = total * MULTIPLIER + values[shift : shift + count]
    return mix(total)


def mix(values: np.ndarray) -> np.ndarray:
    """Scatter uint64 values over all 64 bits (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
