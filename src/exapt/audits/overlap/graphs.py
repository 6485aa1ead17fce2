"""Graphs: a Weisfeiler–Lehman hash that isomorphic graphs share, and the similarity of the colours it goes through.

Shervashidze et al., Weisfeiler–Lehman graph kernels, JMLR 2011. Equal hashes do not prove isomorphism (regular graphs
of one degree look alike), so a pair that is found is a candidate with its similarity, not a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from exapt.audits.overlap.found import Overlap
from exapt.audits.overlap.near import jaccard
from exapt.domains.hashing import MULTIPLIER, mix
from exapt.domains.isomorphism import Graph, colours, graph_hash


def similarity(left: np.ndarray, right: np.ndarray) -> float:
    """Jaccard index of the multisets of colours (rounds + 1, n) that two graphs go through."""
    return jaccard(_counted(left), _counted(right))


def _counted(found: np.ndarray) -> np.ndarray:
    """A multiset as a sorted set: the k-th of equal colours counts as a colour of its own."""
    ranked = np.sort(found.ravel())
    first = np.searchsorted(ranked, ranked, side="left")
    return np.unique(mix(ranked + (np.arange(len(ranked)) - first).astype(np.uint64) * MULTIPLIER))


def overlap_graphs(corpus: Iterable[Graph], evaluation: Sequence[Graph], rounds: int = 3) -> Overlap:
    """Which evaluation graphs have the hash of a graph of the corpus (the same up to the numbering of nodes)."""
    places: dict[int, list[int]] = {}
    for i, graph in enumerate(evaluation):
        places.setdefault(graph_hash(graph, rounds), []).append(i)
    twin = np.full(len(evaluation), -1, dtype=np.int64)
    records = 0
    for number, graph in enumerate(corpus):
        records = number + 1
        for i in places.get(graph_hash(graph, rounds), ()):
            twin[i] = number if twin[i] < 0 else twin[i]
    same = twin >= 0
    nothing = np.full(len(evaluation), -1, dtype=np.int64)
    return Overlap(
        unit="graph",
        n=0,
        length=np.array([len(graph.kinds) for graph in evaluation], dtype=np.int64),
        covered=np.array([len(graph.kinds) for graph in evaluation], dtype=np.int64) * same,
        longest=np.zeros(len(evaluation), dtype=np.int64),
        record=nothing,
        place=nothing,
        at=np.zeros(len(evaluation), dtype=np.int64),
        reverse=np.zeros(len(evaluation), dtype=bool),
        undecidable=np.array([len(graph.kinds) == 0 for graph in evaluation], dtype=bool),
        similarity=same.astype(np.float64),
        twin=twin,
        facts={"records": records, "units": records},
    )


__all__ = ["Graph", "colours", "graph_hash", "overlap_graphs", "similarity"]
