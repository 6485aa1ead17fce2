"""The edges of a graph in compressed rows: for every node those that point at it, and fair draws among them.

Shapes: n nodes, E edges, R rows asked for, k neighbours drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import scipy.sparse as sp

from exapt.domains.hashing import MULTIPLIER, mix

ALL = -1
"""A fan-out that takes every neighbour."""


class Incoming(NamedTuple):
    """Edges into some rows, row by row."""

    slots: np.ndarray
    """(E',) where each edge stands among all of them."""
    counts: np.ndarray
    """(R,) how many each row has."""


class Around(NamedTuple):
    """Nodes with what surrounds them: those asked for first, then others that edges come from."""

    nodes: np.ndarray
    """(R,) node numbers; a node that was asked for twice stands twice."""
    edges: np.ndarray
    """(2, E') from and to, as places in `nodes`."""
    slots: np.ndarray
    """(E',) where each edge stands among all of the graph's."""


@dataclass(frozen=True)
class Links:
    """Edges by the node that they point at."""

    starts: np.ndarray
    """(n + 1,) int64: the edges into node i are the slots `starts[i]:starts[i + 1]`."""
    sources: np.ndarray
    """(E,) int32 where n allows it: the node each edge comes from."""
    values: np.ndarray | None = None
    """(E, k) float32 what each edge carries."""

    @classmethod
    def of(cls, edges: np.ndarray, count: int, values: np.ndarray | None = None) -> Self:
        """From edges (2, E), from and to, among so many nodes."""
        order = np.lexsort([edges[0], edges[1]])
        starts = np.concatenate([[0], np.bincount(edges[1], minlength=count).cumsum()]).astype(np.int64)
        kind = np.int32 if count < 2**31 else np.int64
        return cls(starts, edges[0][order].astype(kind), None if values is None else values[order])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def degrees(self) -> np.ndarray:
        """(n,) edges into each node."""
        return np.diff(self.starts)

    @property
    def edges(self) -> np.ndarray:
        """(2, E) from and to."""
        to = np.repeat(np.arange(len(self)), self.degrees)
        return np.stack([self.sources.astype(np.int64), to])

    def matrix(self) -> sp.csr_matrix:
        """(n, n) ones where an edge comes from a column's node to a row's."""
        ones = np.ones(len(self.sources), dtype=np.float32)
        return sp.csr_matrix((ones, self.sources, self.starts), shape=(len(self), len(self)))

    def into(self, rows: np.ndarray, most: int = ALL, salt: int = 0) -> Incoming:
        """The edges into some nodes, or of those of more than `most` a fair draw without replacement.

        A node's draw follows from its number and the salt alone, so that it is the same in every batch of one salt.
        """
        counts = self.degrees[rows]
        starts = self.starts[:-1][rows]
        if most == ALL or not len(rows) or counts.max() <= most:
            return Incoming(_runs(starts, counts), counts)
        few = counts <= most
        taken = np.where(few, counts, most)
        slots = _runs(starts, taken)
        many = np.repeat(~few, taken)
        drawn = _draw(rows[~few], counts[~few], most, salt)
        slots[many] = (starts[~few][:, None] + drawn).reshape(-1)
        return Incoming(slots, taken)

    def whole(self, owned: np.ndarray) -> Around:
        """Some nodes, then all others, with every edge."""
        others = np.ones(len(self), dtype=bool)
        others[owned] = False
        nodes = np.concatenate([owned, np.flatnonzero(others)])
        slots, counts = self.into(nodes)
        to = np.repeat(np.arange(len(nodes)), counts)
        return Around(nodes, np.stack([self._places(nodes)[self.sources[slots]], to]), slots)

    def within(self, owned: np.ndarray, fans: tuple[int, ...], salt: int = 0) -> Around:
        """Some nodes and those within so many hops as there are fan-outs, at most so many new ones each (−1: all).

        Nodes of the last hop have no edges into them: a network of as many layers reads none (Hamilton et al. 2017,
        Inductive representation learning on large graphs, §3.1). Memory goes with the product of the fan-outs.
        """
        seen = np.zeros(len(self), dtype=bool)
        seen[owned] = True
        nodes, slots, to = [owned], [], []
        first, frontier = 0, owned
        for most in fans:
            found, counts = self.into(frontier, most, salt)
            slots.append(found)
            to.append(first + np.repeat(np.arange(len(frontier)), counts))
            first += len(frontier)
            sources = self.sources[found]
            frontier = np.unique(sources[~seen[sources]]).astype(np.int64)
            seen[frontier] = True
            nodes.append(frontier)
        every, chosen = np.concatenate(nodes), np.concatenate(slots)
        return Around(every, np.stack([self._places(every)[self.sources[chosen]], np.concatenate(to)]), chosen)

    def _places(self, nodes: np.ndarray) -> np.ndarray:
        """(n,) the first place of each node."""
        places = np.full(len(self), -1, dtype=np.int64)
        places[nodes[::-1]] = np.arange(len(nodes))[::-1]
        return places


def _runs(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Consecutive numbers from each start, end to end."""
    ends = counts.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - counts), counts)


def _draw(rows: np.ndarray, counts: np.ndarray, most: int, salt: int) -> np.ndarray:
    """(R, k) different numbers below each count, every set equally likely (R. Floyd's algorithm, CACM 30(9), 1987)."""
    with np.errstate(over="ignore"):
        key = mix(rows.astype(np.uint64) * MULTIPLIER + np.uint64(salt % 2**64))
        chosen = np.full((len(rows), most), -1, dtype=np.int64)
        for place in range(most):
            top = counts - most + place
            share = (mix(key + np.uint64(place + 1) * MULTIPLIER) >> np.uint64(11)).astype(np.float64) / 2**53
            drawn = (share * (top + 1)).astype(np.int64)
            taken = (chosen[:, :place] == drawn[:, None]).any(axis=1)
            chosen[:, place] = np.where(taken, top, drawn)
    return chosen
