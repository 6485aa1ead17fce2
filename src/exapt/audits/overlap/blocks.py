"""Blocks: stretches of a corpus as runs of 64-bit units, so that a corpus larger than memory is looked through once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from exapt.domains.hashing import mix

BLOCK = 1 << 20
"""Units looked at together; what is worked on then stays near the processor."""


@dataclass(frozen=True)
class Block:
    """Consecutive records, end to end."""

    units: np.ndarray
    """(N,) uint64, one number a unit (word, base, residue, token); equal units have equal numbers."""
    offsets: np.ndarray
    """(R + 1,) where each record begins and ends among the units."""
    spell: Callable[[int, int], bytes]
    """The exact content of units [a, b): two runs are the same only if this is."""
    first: int = 0
    """The number of the first record in the corpus."""
    place: int = 0
    """How many units of the first record stand before this block."""

    def record_of(self, at: np.ndarray) -> np.ndarray:
        """(k,) the record, counted within the block, of units at some places."""
        return np.searchsorted(self.offsets, at, side="right") - 1

    def place_of(self, at: int) -> tuple[int, int]:
        """Record in the corpus and place in that record of one unit."""
        record = int(self.record_of(np.array([at]))[0])
        return self.first + record, at - int(self.offsets[record]) + (self.place if record == 0 else 0)


def units_of(values: np.ndarray) -> np.ndarray:
    """(N,) uint64 scattered numbers of whole numbers, so that small alphabets hash as well as words do."""
    return mix(np.asarray(values).astype(np.uint64) + np.uint64(1))


def sequence_block(rows: list[np.ndarray], first: int = 0, place: int = 0) -> Block:
    """Sequences of whole numbers as one block."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    values = np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)
    offsets = np.concatenate([[0], lengths.cumsum()])
    return Block(units_of(values), offsets, lambda a, b: values[a:b].tobytes(), first, place)


def sequence_blocks(rows: Iterable[np.ndarray], keep: int, size: int = BLOCK) -> Iterator[Block]:
    """Sequences in blocks of about `size` units; a longer one is cut, and each cut repeats its last `keep` units.

    With `keep` at least the longest run that can be found, less one, no run is lost or shortened by a cut.
    """
    waiting: list[np.ndarray] = []
    held = first = 0
    for number, row in enumerate(rows):
        if waiting and held + len(row) > size:
            yield sequence_block(waiting, first)
            waiting, held, first = [], 0, number
        if len(row) > size + keep:
            for start in range(0, max(1, len(row) - keep), size):
                yield sequence_block([np.asarray(row[start : start + size + keep])], number, start)
            first = number + 1
        else:
            waiting.append(np.asarray(row))
            held += len(row)
    if waiting:
        yield sequence_block(waiting, first)
