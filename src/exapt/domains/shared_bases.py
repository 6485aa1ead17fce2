"""Which bases of a corpus stand in test examples too, on either strand, and the corpus without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from exapt.domains.base import Dataset
from exapt.domains.cutting import SHORTEST
from exapt.domains.kmers import strand_words
from exapt.domains.stores import WindowStore

RUN = 24
"""The shortest run of bases that counts as shared, as in the contamination audit: at random one in 4^24."""
BLOCK = 1 << 22
"""Bases looked at at once."""
Spell = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Token ids (n,) to their bases 0 … 4 end to end, and how many bases each token is (n,)."""


def cut_out(corpus: Dataset, tests: Dataset, spell: Spell) -> Dataset:
    """The corpus cut at every run of 24 or more bases that a test example holds, on either strand; the runs left out.

    Nothing is copied: what is left are windows of the same store. Pieces of fewer than 8 tokens are dropped.
    """
    wanted = words_of(tests, spell)
    parts = [
        _visible(hidden, place) for group in _groups(corpus) for hidden, place in _hidden(corpus, group, wanted, spell)
    ]
    record, start, stop = np.concatenate([np.zeros((3, 0), np.int64), *parts], axis=1)
    if len(record) == len(corpus) and np.array_equal(stop - start, corpus.lengths):
        return corpus
    return replace(
        corpus,
        store=WindowStore(corpus.store, corpus.rows[record], start, stop),
        rows=np.arange(len(record)),
        columns={k: v[record] for k, v in corpus.columns.items()},
        targets={k: v[record] for k, v in corpus.targets.items()},
        element_targets={},
    )


def words_of(dataset: Dataset, spell: Spell) -> np.ndarray:
    """(k,) every 24-mer of a data set, sorted, the lesser of both strands."""
    found = []
    for row in dataset.rows:
        words, clean = strand_words(spell(dataset.store[int(row)])[0], RUN)
        found.append(words[clean])
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *found]))


def covered(codes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(n,) whether each base lies in one of the wanted 24-mers (sorted), on either strand."""
    found = np.zeros(len(codes), dtype=bool)
    for begin in range(0, max(0, len(codes) - RUN + 1), BLOCK):
        part = codes[begin : begin + BLOCK + RUN - 1]
        words, clean = strand_words(part, RUN)
        at = np.flatnonzero(clean & _among(words, wanted))
        change = np.zeros(len(part) + 1, dtype=np.int32)
        np.add.at(change, at, 1)
        np.add.at(change, at + RUN, -1)
        found[begin : begin + len(part)] |= change[:-1].cumsum(dtype=np.int32) > 0
    return found


def _among(words: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if not len(wanted):
        return np.zeros(len(words), dtype=bool)
    places = np.minimum(np.searchsorted(wanted, words), len(wanted) - 1)
    return np.asarray(wanted[places] == words)


def _groups(dataset: Dataset) -> Iterator[np.ndarray]:
    """Runs of places whose examples hold about a block of tokens together; a longer one stands alone."""
    block = dataset.lengths.cumsum() // BLOCK
    yield from np.split(np.arange(len(dataset)), np.flatnonzero(np.diff(block)) + 1)


def _hidden(dataset: Dataset, group: np.ndarray, wanted: np.ndarray, spell: Spell) -> Iterator[tuple[np.ndarray, int]]:
    """Which tokens of each example of a group are hidden; all are spelled together, an N between two."""
    spelled = [spell(dataset.store[int(dataset.rows[place])]) for place in group]
    apart = np.full(1, 4, dtype=np.uint8)
    seen = covered(np.concatenate([part for codes, _ in spelled for part in (codes, apart)]), wanted)
    begin = 0
    for place, (codes, widths) in zip(group.tolist(), spelled, strict=True):
        mine = seen[begin : begin + len(codes)]
        yield (
            mine
            if len(mine) == len(widths)
            else np.logical_or.reduceat(mine, np.cumsum(widths, dtype=np.int64) - widths),
            place,
        )
        begin += len(codes) + 1


def _visible(hidden: np.ndarray, place: int) -> np.ndarray:
    """(3, k) place, start and stop of every run of tokens that may be seen."""
    if not hidden.any():
        return np.array([[place], [0], [len(hidden)]])
    edges = np.flatnonzero(np.diff(np.concatenate([[True], hidden, [True]]).astype(np.int8)))
    start, stop = edges[::2], edges[1::2]
    long = stop - start >= SHORTEST
    return np.stack([np.full(int(long.sum()), place), start[long], stop[long]])
