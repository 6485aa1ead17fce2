"""Stored graphs: one whose nodes are the examples, or many that are examples themselves.

Shapes: n nodes of all graphs, F features, E edges, k values an edge carries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from exapt.domains.links import Links


class OneGraph(NamedTuple):
    """A graph by itself."""

    features: np.ndarray
    """(n, F) float32."""
    edges: np.ndarray
    """(2, E) int64, from and to."""
    values: np.ndarray
    """(E, k) float32; k is 0 where edges are alike."""


class GraphStore:
    """Nodes end to end, sparse where their features are, and all edges in compressed rows.

    As nodes (`bounds` None) an example is a node's number (1,), for its surroundings are in the store. As graphs it is
    a whole graph packed into one array, which `unpacked` opens.
    """

    def __init__(self, features: Any, links: Links, bounds: np.ndarray | None = None) -> None:
        self.features, self.links, self.bounds = features, links, bounds
        self._content = ""
        self.kept: dict[Any, Any] = {}
        """What was worked out of the whole graph once, such as smoothed features."""

    def __len__(self) -> int:
        return len(self.links) if self.bounds is None else len(self.bounds) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        if self.bounds is None:
            return np.array([index], dtype=np.int64)
        return packed(self.graph(index))

    def graph(self, index: int) -> OneGraph:
        """One of many graphs, its nodes counted from 0."""
        assert self.bounds is not None
        first, last = int(self.bounds[index]), int(self.bounds[index + 1])
        links = self.links
        slots = slice(int(links.starts[first]), int(links.starts[last]))
        to = np.repeat(np.arange(last - first), links.degrees[first:last])
        edges = np.stack([links.sources[slots].astype(np.int64) - first, to])
        values = np.zeros((edges.shape[1], 0), np.float32) if links.values is None else links.values[slots]
        return OneGraph(self.rows(np.arange(first, last)), edges, values)

    def once(self, key: Any, make: Callable[[GraphStore], Any]) -> Any:
        """What `make` gave the first time for a key."""
        if key not in self.kept:
            self.kept[key] = make(self)
        return self.kept[key]

    def rows(self, nodes: np.ndarray) -> np.ndarray:
        """(R, F) float32 features of some nodes."""
        found = self.features[nodes]
        return np.asarray(found.toarray() if sp.issparse(found) else found, dtype=np.float32)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) ones for nodes; how many nodes each graph has."""
        return np.ones(len(self), dtype=np.int64) if self.bounds is None else np.diff(self.bounds)

    def fingerprint(self) -> str:
        """A hash of features, edges and bounds."""
        if not self._content:
            parts = hashlib.sha256(repr((self.features.shape, self.bounds is None)).encode())
            sparse = sp.issparse(self.features)
            matrix = (self.features.data, self.features.indices, self.features.indptr) if sparse else (self.features,)
            links = (self.links.starts, self.links.sources, self.links.values, self.bounds)
            for array in (*matrix, *links):
                if array is not None:
                    parts.update(np.ascontiguousarray(array).data)
            self._content = parts.hexdigest()[:32]
        return self._content


def packed(graph: OneGraph) -> np.ndarray:
    """A graph as one float32 array: how many nodes, edges and values; edges, values, features.

    Node numbers stay exact below 2²⁴.
    """
    sizes = np.array([len(graph.features), *graph.values.shape], dtype=np.float32)
    parts = [sizes, graph.edges.reshape(-1), graph.values.reshape(-1), graph.features.reshape(-1)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def unpacked(flat: np.ndarray) -> OneGraph:
    """What `packed` made."""
    nodes, edges, values = (int(size) for size in flat[:3])
    first, second = 3 + 2 * edges, 3 + 2 * edges + edges * values
    return OneGraph(
        flat[second:].reshape(nodes, -1) if nodes else flat[second:].reshape(0, 0),
        flat[3:first].astype(np.int64).reshape(2, edges),
        flat[first:second].reshape(edges, values),
    )
