"""Look through a corpus for runs of evaluation examples, and keep for each example what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from exapt.audits.overlap.blocks import Block
from exapt.audits.overlap.found import Overlap
from exapt.audits.overlap.grams import GramIndex, Runs
from exapt.audits.overlap.near import Near

SHOWN = 0.1
"""Excerpts are kept of runs that make at least this share of the example."""
AROUND, ENDS = 6, 20
"""Units shown around a run, and at each end of a long one."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Evaluation examples as one block; with two strands, all of them and then all again from the other strand."""

    block: Block
    strands: int
    usable: np.ndarray | None = None
    """(N,) units that may be part of an n-gram."""

    @property
    def count(self) -> int:
        return (len(self.block.offsets) - 1) // self.strands

    @property
    def lengths(self) -> np.ndarray:
        """(E,) units of each example."""
        return np.diff(self.block.offsets)[: self.count]

    @property
    def owner(self) -> np.ndarray:
        """(N,) the example of each unit."""
        return np.repeat(np.arange(self.count * self.strands) % self.count, np.diff(self.block.offsets))


class Search:
    """Gathers common runs, block by block. `readable` turns spelled units into text for excerpts."""

    def __init__(
        self,
        examples: Examples,
        n: int,
        unit: str,
        readable: Callable[[bytes], str],
        near: Near | None = None,
        boilerplate: float = 0.01,
    ) -> None:
        self.examples, self.unit, self.readable, self.near = examples, unit, readable, near
        self.index = GramIndex(examples.block, n, examples.owner, examples.usable, boilerplate)
        count = examples.count
        self.total = int(examples.lengths.sum())
        self.length = np.bincount(
            examples.owner[: self.total][self.index.countable()[: self.total]], minlength=count
        ).astype(np.int64)
        self.change = np.zeros(self.total + 1, dtype=np.int64)
        self.best = {name: np.full(count, -1, dtype=np.int64) for name in ("record", "place", "at", "strand")}
        self.longest = np.zeros(count, dtype=np.int64)
        self.excerpts: dict[int, tuple[str, str]] = {}
        self.whole = WholeIndex(examples, np.flatnonzero(self.length == 0))
        self.records = self.units = 0

    def over(self, blocks: Iterable[Block]) -> Overlap:
        """Look through blocks and say what was found."""
        for block in blocks:
            self._look(block)
        return self._found()

    def _look(self, block: Block) -> None:
        for runs in self.index.search(block):
            self._add(runs, block)
        for example, record in self.whole.search(block):
            self._add_whole(example, record, block)
        if self.near is not None:
            self.near.look(block)
        self.records = block.first + len(block.offsets) - 1
        self.units += len(block.units)

    def _add(self, runs: Runs, block: Block) -> None:
        at, strand = self._forward(runs)
        np.add.at(self.change, at, 1)
        np.subtract.at(self.change, at + runs.length, 1)
        owner = self.examples.owner[at]
        order = np.lexsort((-at, runs.length, owner))
        last = order[np.append(np.diff(owner[order]) != 0, True)] if len(order) else order
        better = last[runs.length[last] > self.longest[owner[last]]]
        for run in better.tolist():
            self._improve(int(owner[run]), int(at[run]), int(runs.place[run]), int(runs.length[run]), block)
            self.best["strand"][owner[run]] = strand[run]
            self._show(int(owner[run]), int(runs.at[run]), int(runs.place[run]), int(runs.length[run]), block)

    def _forward(self, runs: Runs) -> tuple[np.ndarray, np.ndarray]:
        """Where runs begin on the strand that was given, and on which strand they were found (0 or 1)."""
        strand = (runs.at >= self.total).astype(np.int64)
        owner = self.examples.owner[runs.at]
        begin, end = self.examples.block.offsets[owner], self.examples.block.offsets[owner + 1]
        mirrored = begin + end - (runs.at - self.total) - runs.length
        return np.where(strand == 1, mirrored, runs.at), strand

    def _improve(self, example: int, at: int, place: int, length: int, block: Block) -> None:
        self.longest[example] = length
        self.best["record"][example], self.best["place"][example] = block.place_of(place)
        self.best["at"][example] = at - self.examples.block.offsets[example]

    def _show(self, example: int, at: int, place: int, length: int, block: Block) -> None:
        if length >= SHOWN * self.length[example]:
            ours = excerpt(self.examples.block, at, length, self.readable)
            self.excerpts[example] = (ours, excerpt(block, place, length, self.readable))

    def _add_whole(self, example: int, record: int, block: Block) -> None:
        length = int(self.examples.lengths[example])
        if self.longest[example] < length:
            at, place = int(self.examples.block.offsets[example]), int(block.offsets[record])
            self.length[example] = length
            self.change[at] += 1
            self.change[at + length] -= 1
            self._improve(example, at, place, length, block)
            self._show(example, at, place, length, block)

    def _found(self) -> Overlap:
        covered = self.change[:-1].cumsum() > 0
        count = self.examples.count
        near = (np.zeros(count), np.full(count, -1)) if self.near is None else self.near.found()
        similarity, twin = near
        facts = {"records": self.records, "units": self.units, "boilerplate": self.index.masked}
        return Overlap(
            unit=self.unit,
            n=self.index.n,
            length=self.length,
            covered=np.bincount(self.examples.owner[: self.total][covered], minlength=count),
            longest=self.longest,
            record=self.best["record"],
            place=self.best["place"],
            at=self.best["at"],
            reverse=self.best["strand"] == 1,
            undecidable=(self.length == 0) & (similarity == 0),
            similarity=similarity,
            twin=twin,
            excerpts=self.excerpts if self.near is None else self.near.excerpts(self.readable) | self.excerpts,
            facts=facts,
        )


class WholeIndex:
    """Examples too short for an n-gram: they overlap only with a record that equals them."""

    def __init__(self, examples: Examples, short: np.ndarray) -> None:
        self.block, self.count = examples.block, examples.count
        rows = np.concatenate([short + strand * self.count for strand in range(examples.strands)])
        lengths = np.diff(examples.block.offsets)[rows]
        self.by_length = {int(m): rows[lengths == m] for m in np.unique(lengths) if m}

    def search(self, block: Block) -> list[tuple[int, int]]:
        """(example, record of the block) wherever they are equal."""
        lengths = np.diff(block.offsets)
        lengths[0] += block.place
        found = []
        for length, rows in self.by_length.items():
            records = np.flatnonzero(lengths == length)
            spelled: dict[bytes, list[int]] = {}
            for row in rows.tolist():
                at = int(self.block.offsets[row])
                spelled.setdefault(self.block.spell(at, at + length), []).append(row % self.count)
            for record, place in zip(records.tolist(), block.offsets[records].tolist(), strict=True):
                found += [(example, record) for example in spelled.get(block.spell(place, place + length), ())]
        return found


def excerpt(block: Block, at: int, length: int, readable: Callable[[bytes], str]) -> str:
    """A run of units with a few around it, the run in ⟦ ⟧, its middle left out where it is long."""

    def text(a: int, b: int) -> str:
        return readable(block.spell(a, b)) if b > a else ""

    record = int(block.record_of(np.array([at]))[0])
    begin, end = int(block.offsets[record]), int(block.offsets[record + 1])
    before, after = text(max(begin, at - AROUND), at), text(at + length, min(end, at + length + AROUND))
    if length <= 2 * ENDS:
        run = text(at, at + length)
    else:
        run = f"{text(at, at + ENDS)} … {text(at + length - ENDS, at + length)}"
    return f"{before} ⟦{run}⟧ {after}".strip()
