"""Runs of n units that a corpus shares with evaluation examples, found by hash and verified unit by unit.

Hashes are polynomial in 64 bits (Karp & Rabin 1987). A bit table stands before the sorted index, since nearly every
run of a corpus is in neither; whatever both let through is compared by its content, so no hit is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from exapt.audits.overlap.blocks import Block

MULTIPLIER = 0x9E3779B97F4A7C15
PAIRS = 1 << 22
"""Most pairs of equal n-grams held at a time (a longer stretch of hits is still taken whole)."""
FEW = 5
"""An n-gram is boilerplate only if it stands in more evaluation examples than this, whatever the share."""


def gram_hashes(units: np.ndarray, n: int) -> np.ndarray:
    """(N − n + 1,) uint64 hash of every run of n units (N,), by doubling: log₂ n passes instead of n."""
    if len(units) < n:
        return np.zeros(0, np.uint64)
    part, width = units, 1
    total, done = (part, 1) if n & 1 else (None, 0)
    while 2 * width <= n:
        part, width = _joined(part, width, part, width), 2 * width
        if n & width:
            total, done = (part, width) if total is None else (_joined(total, done, part, width), done + width)
    assert total is not None
    return total


def _joined(left: np.ndarray, before: int, right: np.ndarray, width: int) -> np.ndarray:
    """Hashes of a run of `before` units and the run of `width` units after it."""
    after = right[before:]
    hashes = left[: len(after)] * np.uint64(pow(MULTIPLIER, width, 1 << 64))
    hashes += after
    return hashes


class Runs(NamedTuple):
    """Verified common runs: from unit `at` of the evaluation examples and `place` of a block, `length` units."""

    at: np.ndarray
    place: np.ndarray
    length: np.ndarray


class GramIndex:
    """Every n-gram of the evaluation examples.

    `owner` (N,) says which example a unit belongs to (both strands of a sequence to one), `usable` (N,) which units
    may be part of an n-gram. An n-gram of more than `boilerplate` of all examples (and of more than `FEW`) is masked.
    """

    def __init__(
        self,
        block: Block,
        n: int,
        owner: np.ndarray,
        usable: np.ndarray | None = None,
        boilerplate: float = 0.01,
    ) -> None:
        self.block, self.n = block, n
        hashes = gram_hashes(block.units, n)
        at = np.flatnonzero(_inside(block.offsets, n) & _all_usable(usable, len(block.units), n))
        self.keys, first, counts, at = _sorted_groups(hashes, at)
        examples = int(owner.max(initial=-1)) + 1
        masked = _distinct(owner[at], first) > max(FEW, boilerplate * examples)
        self.masked = int(masked.sum())
        """How many different n-grams are boilerplate."""
        self.keys, self.counts = self.keys[~masked], counts[~masked]
        self.at = at[np.repeat(~masked, counts)]
        self.first = self.counts.cumsum() - self.counts
        bits = int(np.clip(np.ceil(np.log2(32 * len(self.keys) + 1)), 16, 25))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, dtype=bool)
        self._table[self.keys >> self._shift] = True

    def countable(self) -> np.ndarray:
        """(N,) which units are part of an n-gram that counts."""
        return spread(self.at, np.full(len(self.at), self.n), len(self.block.units))

    def search(self, block: Block) -> Iterator[Runs]:
        """The common runs of a block, each as long as it goes; `Runs` of unlike pieces come one after another."""
        hashes = gram_hashes(block.units, self.n)
        hits = np.flatnonzero(self._table[hashes >> self._shift])
        if not len(hits) or not len(self.keys):
            return
        hits = hits[_fits(block, hits, self.n)]
        rank = np.searchsorted(self.keys, hashes[hits]).clip(max=len(self.keys) - 1)
        found = self.keys[rank] == hashes[hits]
        hits, rank = hits[found], rank[found]
        for part in _portions(hits, self.counts[rank]):
            place, at = self._pairs(hits[part], rank[part])
            runs = _as_runs(at, place, self.n)
            yield self._verified(runs, block)

    def _pairs(self, hits: np.ndarray, rank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every pair of a place in the block and a place in the examples with the same hash."""
        counts = self.counts[rank]
        number = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        return np.repeat(hits, counts), self.at[np.repeat(self.first[rank], counts) + number]

    def _verified(self, runs: Runs, block: Block) -> Runs:
        """The runs whose content is the same; of one that is not, the n-grams that are."""
        same = np.array([self._same(block, *run) for run in zip(*(r.tolist() for r in runs), strict=True)], dtype=bool)
        if same.all():
            return runs
        good, bad = (Runs(*(r[mask] for r in runs)) for mask in (same, ~same))
        grams = bad.length - self.n + 1
        step = np.arange(grams.sum()) - np.repeat(grams.cumsum() - grams, grams)
        at, place = (np.repeat(r, grams) + step for r in (bad.at, bad.place))
        true = [self._same(block, a, p, self.n) for a, p in zip(at.tolist(), place.tolist(), strict=True)]
        kept = _as_runs(at[true], place[true], self.n)
        return Runs(*(np.concatenate(pair) for pair in zip(good, kept, strict=True)))

    def _same(self, block: Block, at: int, place: int, length: int) -> bool:
        return self.block.spell(at, at + length) == block.spell(place, place + length)


def spread(start: np.ndarray, length: np.ndarray, total: int) -> np.ndarray:
    """(total,) which places lie within any of the runs."""
    change = np.zeros(total + 1, dtype=np.int64)
    np.add.at(change, start, 1)
    np.subtract.at(change, start + length, 1)
    return np.asarray(change[:-1].cumsum() > 0)


def _inside(offsets: np.ndarray, n: int) -> np.ndarray:
    """(N − n + 1,) whether the run of n from each place stays within its record."""
    lengths = np.diff(offsets)
    left = np.repeat(offsets[1:], lengths) - np.arange(offsets[-1])
    return left[: max(0, len(left) - n + 1)] >= n


def _fits(block: Block, hits: np.ndarray, n: int) -> np.ndarray:
    return hits + n <= block.offsets[block.record_of(hits) + 1]


def _all_usable(usable: np.ndarray | None, total: int, n: int) -> np.ndarray:
    """(N − n + 1,) whether every unit of the run from each place may be used."""
    if usable is None:
        return np.ones(max(0, total - n + 1), dtype=bool)
    bad = np.concatenate([[0], (~usable).cumsum()])
    return np.asarray(bad[n:] == bad[:-n])


def _sorted_groups(hashes: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The different hashes at some places, where each group begins, its size, and the places group by group."""
    wanted = hashes[at]
    order = np.argsort(wanted, kind="stable")
    ranked = wanted[order]
    first = np.flatnonzero(_changes(ranked))
    return ranked[first], first, np.diff(np.append(first, len(at))), at[order]


def _changes(values: np.ndarray) -> np.ndarray:
    """(k,) whether each value differs from the one before; the first always does."""
    new = np.ones(len(values), dtype=bool)
    new[1:] = values[1:] != values[:-1]
    return new


def _distinct(owner: np.ndarray, first: np.ndarray) -> np.ndarray:
    """How many different owners each group has; equal ones of a group stand beside each other on one strand."""
    new = _changes(owner)
    new[first] = True
    return np.add.reduceat(new, first, dtype=np.int64) if len(first) else np.zeros(0, np.int64)


def _portions(hits: np.ndarray, counts: np.ndarray) -> Iterator[slice]:
    """Hits in portions of about `PAIRS` pairs, cut only where neighbouring hits do not touch."""
    if not len(hits):
        return
    portion = counts.cumsum() // PAIRS
    gaps = np.flatnonzero(hits[1:] != hits[:-1] + 1) + 1
    cuts = gaps[np.flatnonzero(np.diff(portion[gaps], prepend=portion[0]))] if len(gaps) else gaps
    edges = [0, *cuts.tolist(), len(hits)]
    for start, stop in pairwise(edges):
        if stop > start:
            yield slice(start, stop)


def _as_runs(at: np.ndarray, place: np.ndarray, n: int) -> Runs:
    """Pairs of equal n-grams joined where both sides go on."""
    order = np.lexsort((place, place - at))
    at, place = at[order], place[order]
    step = np.arange(len(at))
    start = np.flatnonzero(_changes(place - step) | _changes(at - step))
    return Runs(at[start], place[start], np.diff(np.append(start, len(at))) + n - 1)
