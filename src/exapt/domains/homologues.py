"""Which proteins of a corpus are kin to test proteins: runs of like residues that lie on one diagonal.

Two sequences that share ancestors have many short words in common *at the same shift*, which chance does not give: this
is the first step of BLAST (Altschul et al. 1990), with two or more hits on a diagonal (Altschul et al. 1997).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from exapt.domains.base import Dataset

WORD = 4
"""Residues of a word that must be the same in both."""
STRETCH = 8
"""Words of a diagonal count once in each stretch of so many residues, so that one long run is not many."""
LEAST = 3
"""Stretches with a common word, on one diagonal, from which two proteins are kin."""
BLOCK = 1 << 18
"""Residues of the corpus looked at at once."""


def kin(corpus: Dataset, tests: Dataset, first: int, letters: int = 20) -> np.ndarray:
    """(n,) whether each corpus protein shares a diagonal of words with any test protein.

    Ids below `first` stand for no known residue. What is found depends on the identity: see the page on proteins.
    """
    index = _index(_rows(tests), first, letters)
    found = np.zeros(len(corpus), dtype=bool)
    for places in _groups(corpus):
        rows = [corpus.store[int(corpus.rows[place])] for place in places]
        found[places] = _hits(rows, index, first, letters)
    return found


def _rows(dataset: Dataset) -> list[np.ndarray]:
    return [dataset.store[int(row)] for row in dataset.rows]


def _groups(dataset: Dataset) -> Iterator[np.ndarray]:
    """Runs of places whose examples hold about a block of residues together."""
    block = dataset.lengths.cumsum() // BLOCK
    yield from np.split(np.arange(len(dataset)), np.flatnonzero(np.diff(block)) + 1)


def _words(rows: list[np.ndarray], first: int, letters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every word of rows of ids as a number, the row that owns it, and its place there.

    Words with an unknown residue, or of fewer than three different ones (they stand in every protein), are left out.
    """
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    apart = np.full(WORD - 1, first - 1, dtype=np.int64)  # no residue: so that no word runs over into the next row
    codes = np.concatenate([np.zeros(0, np.int64), *(part for row in rows for part in (row, apart))]) - first
    owner = np.repeat(np.arange(len(rows)), lengths + len(apart))
    begins = np.cumsum(lengths + len(apart)) - lengths - len(apart)
    place = np.arange(len(codes)) - begins[owner]
    count = max(0, len(codes) - WORD + 1)
    parts = np.stack([codes[shift : shift + count] for shift in range(WORD)])
    kinds = 1 + sum(((parts[a] != parts[:a]).all(0) for a in range(1, WORD)), np.zeros(count, np.int64))
    good = (parts >= 0).all(0) & (kinds >= 3)
    word = (parts * letters ** np.arange(WORD)[:, None]).sum(0)
    return word[good], owner[:count][good], place[:count][good]


def _index(rows: list[np.ndarray], first: int, letters: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    word, owner, place = _words(rows, first, letters)
    order = np.argsort(word, kind="stable")
    return word[order], owner[order], place[order]


def _hits(
    rows: list[np.ndarray], index: tuple[np.ndarray, np.ndarray, np.ndarray], first: int, letters: int
) -> np.ndarray:
    """(n,) whether each row has enough words in common with one test protein, on one diagonal."""
    word, record, place = _words(rows, first, letters)
    low = np.searchsorted(index[0], word, side="left")
    count = np.searchsorted(index[0], word, side="right") - low
    mine = np.repeat(np.arange(len(word)), count)
    theirs = np.arange(len(mine)) - np.repeat(count.cumsum() - count, count) + low[mine]
    stretch = place[mine] // STRETCH
    diagonal = place[mine] - index[2][theirs]
    spots = np.unique(np.stack([record[mine], index[1][theirs], diagonal, stretch]), axis=1)
    lines, times = np.unique(spots[:3], axis=1, return_counts=True)
    found = np.zeros(len(rows), dtype=bool)
    found[lines[0][times >= LEAST]] = True
    return found
