"""Colours of nodes that isomorphic graphs share, whatever the order of their nodes.

Shervashidze et al., Weisfeiler–Lehman graph kernels, JMLR 2011. Equal hashes do not prove isomorphism.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from exapt.domains.hashing import MULTIPLIER, mix


class Graph(NamedTuple):
    """An undirected graph: edges (2, E), each once, and a whole number for the kind of every node (n,)."""

    edges: np.ndarray
    kinds: np.ndarray


def colours(graph: Graph, rounds: int = 3) -> np.ndarray:
    """(rounds + 1, n) uint64 colours of the nodes, the same however nodes are numbered."""
    colour = mix(np.asarray(graph.kinds).astype(np.uint64) + np.uint64(1))
    left, right = np.asarray(graph.edges, dtype=np.int64).reshape(2, -1)
    found = [colour]
    for _ in range(rounds):
        around = np.zeros_like(colour)
        np.add.at(around, left, mix(colour[right]))
        np.add.at(around, right, mix(colour[left]))
        colour = mix(colour * MULTIPLIER + around)
        found.append(colour)
    return np.stack(found)


def graph_hash(graph: Graph, rounds: int = 3) -> int:
    """A 64-bit hash, equal for isomorphic graphs."""
    with np.errstate(over="ignore"):
        return int(
            mix(np.array([mix(colours(graph, rounds)[-1]).sum(dtype=np.uint64) + np.uint64(len(graph.kinds))]))[0]
        )


def once(edges: np.ndarray, count: int) -> np.ndarray:
    """(2, E) each pair of joined nodes among so many once, whichever way the edges between them run."""
    ends = np.sort(edges, axis=0)
    keys = np.unique(ends[0] * count + ends[1])
    return np.stack([keys // max(count, 1), keys % max(count, 1)])


def kinds_of(features: np.ndarray, edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) a number for every node's features (n, F), the values (E, k) of edges to it, its degrees in and out, the
    triangles it is in and the size of its component.

    Refinement alone cannot tell a ring of six nodes from two of three; with these to begin with it can.
    """
    count = len(features)
    ones = np.ones(edges.shape[1], dtype=np.int64)
    matrix = sp.csr_matrix((ones, (edges[1], edges[0])), shape=(count, count))
    triangles = np.asarray(((matrix @ matrix).multiply(matrix.T)).sum(axis=1)).reshape(-1)
    component = sp.csgraph.connected_components(matrix, directed=False)[1]
    sizes = np.bincount(component, minlength=count)[component]
    into, out = (np.bincount(end, minlength=count) for end in (edges[1], edges[0]))
    carried = np.zeros(count, dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(carried, edges[1], mix(row_hashes(values)))
        found = row_hashes(features)
        for part in (carried, into, out, triangles, sizes):
            found = mix(found * MULTIPLIER + part.astype(np.uint64))
    return found


def row_hashes(rows: np.ndarray) -> np.ndarray:
    """(n,) uint64, equal for equal rows (n, F) of float32."""
    bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32).astype(np.uint64)
    found = np.zeros(len(rows), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in bits.reshape(len(rows), -1).T:
            found = mix(found * MULTIPLIER + column)
    return found
