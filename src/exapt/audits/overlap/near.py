"""Near-duplicates: whole examples that share most of their parts, found by a few keys and verified exactly.

A field says how an example is known (`Matcher.keys`: two that share any key are looked at) and how two are compared
(`Matcher.similarity`). For runs of units the keys are bands of MinHash (Broder 1997; Leskovec et al., Mining of Massive
Datasets, ch. 3) by the `rensa` library, and the similarity is the Jaccard index of the sets of n-grams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from exapt.audits.overlap.blocks import Block
from exapt.audits.overlap.grams import gram_hashes
from exapt.domains.hashing import MULTIPLIER, mix
from exapt.errors import InputError

BANDS, ROWS = 16, 7
"""Two examples of Jaccard index s share a band with probability 1 − (1 − s⁷)¹⁶: 0.5 at s = 0.64, 0.75 at 0.7,
0.98 at 0.8; the knee is at (1/16)^(1/7) = 0.67."""
SEED = 1
LONGER = 4
"""A record with so many times more n-grams than could reach the threshold is not looked at."""


class Matcher(Protocol):
    """How a field knows and compares whole examples of a block."""

    def keys(self, block: Block) -> np.ndarray:
        """(R, k) uint64; records that share a key with an example are compared with it. 0 is no key."""
        ...

    def parts(self, block: Block, record: int) -> np.ndarray:
        """Whatever `similarity` compares, of one record."""
        ...

    def similarity(self, left: np.ndarray, right: np.ndarray) -> float:
        """From 0 to 1 (the same)."""
        ...


class MinHash:
    """Records as sets of n-grams. `longest` is the number of n-grams of the longest record worth looking at."""

    def __init__(self, n: int = 5, longest: float = np.inf) -> None:
        self.n, self.longest = n, longest
        try:
            import rensa
        except ImportError:
            raise InputError(
                "near-duplicates need `pip install 'exapt[audit]'` (rensa), or leave them out with near=false"
            ) from None
        self._digests = rensa.RMinHash.digest_matrix_from_flat_token_hashes

    def keys(self, block: Block) -> np.ndarray:
        """(R, 16) one key a band; none for records that are too long, or shorter than an n-gram."""
        grams, counts = self._grams(block)
        keys = np.zeros((len(counts), BANDS), dtype=np.uint64)
        looked = (counts > 0) & (counts <= self.longest)
        if not looked.any():
            return keys
        flat = grams[np.repeat(looked, counts)]
        offsets = np.concatenate([[0], counts[looked].cumsum()]).astype(np.uint64)
        digests = np.array(self._digests(mix(flat), offsets, BANDS * ROWS, SEED).to_rows(), dtype=np.uint64)
        bands = digests.reshape(-1, BANDS, ROWS)
        key = np.repeat(np.arange(1, BANDS + 1, dtype=np.uint64)[None], len(bands), axis=0)
        for row in range(ROWS):
            key = mix(key * MULTIPLIER + bands[:, :, row])
        keys[looked] = np.maximum(key, 1)
        return keys

    def parts(self, block: Block, record: int) -> np.ndarray:
        """The different n-grams of one record, sorted."""
        return np.unique(gram_hashes(block.units[block.offsets[record] : block.offsets[record + 1]], self.n))

    def similarity(self, left: np.ndarray, right: np.ndarray) -> float:
        """Jaccard index of two sets (each sorted, without repeats)."""
        return jaccard(left, right)

    def _grams(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of the n-grams of every record, end to end, and how many each has."""
        hashes = gram_hashes(block.units, self.n)
        counts = np.maximum(np.diff(block.offsets) - self.n + 1, 0)
        start = np.repeat(block.offsets[:-1] - (counts.cumsum() - counts), counts)
        return hashes[start + np.arange(counts.sum())], counts


def jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """Size of the common part over size of the union, of sorted arrays without repeats; 0 for two empty ones."""
    common = len(np.intersect1d(left, right, assume_unique=True))
    union = len(left) + len(right) - common
    return common / union if union else 0.0


class Near:
    """The most similar record of each evaluation example, at or above a threshold."""

    def __init__(self, block: Block, matcher: Matcher, threshold: float = 0.7, strands: int = 1) -> None:
        self.block, self.matcher, self.threshold = block, matcher, threshold
        rows = len(block.offsets) - 1
        self.count = rows // strands
        keys = matcher.keys(block)
        self._parts = [matcher.parts(block, row) for row in range(rows)]
        row, band = np.nonzero(keys)
        order = np.argsort(keys[row, band], kind="stable")
        self._keys, self._rows = keys[row, band][order], row[order]
        self.similarity = np.zeros(self.count)
        self.twin = np.full(self.count, -1, dtype=np.int64)
        self._shown: dict[int, tuple[bytes, bytes]] = {}

    def look(self, block: Block) -> None:
        """Compare a block's records with the examples that share a key."""
        keys = self.matcher.keys(block)
        low, high = (np.searchsorted(self._keys, keys, side) for side in ("left", "right"))
        for record in np.flatnonzero(((high > low) & (keys > 0)).any(axis=1)).tolist():
            spans = zip(low[record].tolist(), high[record].tolist(), strict=True)
            rows = np.unique(np.concatenate([self._rows[a:b] for a, b in spans]))
            self._compare(block, record, rows.tolist())

    def _compare(self, block: Block, record: int, rows: list[int]) -> None:
        parts = self.matcher.parts(block, record)
        for row in rows:
            example, value = row % self.count, self.matcher.similarity(self._parts[row], parts)
            if value >= self.threshold and value > self.similarity[example]:
                self.similarity[example], self.twin[example] = value, block.first + record
                self._shown[example] = (_beginning(self.block, row), _beginning(block, record))

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """(E,) similarity, 0 below the threshold, and record, −1 where there is none."""
        return self.similarity, self.twin

    def excerpts(self, readable: Callable[[bytes], str]) -> dict[int, tuple[str, str]]:
        """The beginnings of each example and its twin."""
        return {i: (f"{readable(a)} …", f"{readable(b)} …") for i, (a, b) in self._shown.items()}


def _beginning(block: Block, record: int, most: int = 40) -> bytes:
    start, stop = int(block.offsets[record]), int(block.offsets[record + 1])
    return block.spell(start, min(stop, start + most))
