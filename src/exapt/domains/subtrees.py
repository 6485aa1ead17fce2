"""The classical features of whole graphs: how often each rooted neighbourhood stands in them.

Shervashidze et al. 2011, §3.2 'The Weisfeiler–Lehman subtree kernel', with colours hashed into a fixed number of
columns, so that nothing is learnt. Shapes: n nodes of all graphs, G graphs, F features.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from exapt.domains.graph_store import GraphStore
from exapt.domains.isomorphism import Graph, colours, once, row_hashes

BUCKETS = 1 << 14
"""Columns of each round."""


def node_colours(store: GraphStore, rounds: int) -> np.ndarray:
    """(rounds + 1, n) colours of every node of a store, by its features and its neighbours'."""

    def make(store: GraphStore) -> np.ndarray:
        return colours(Graph(once(store.links.edges, len(store.links)), store_hashes(store)), rounds)

    found: np.ndarray = store.once(("colours", rounds), make)
    return found


def store_hashes(store: GraphStore, block: int = 4096) -> np.ndarray:
    """(n,) a hash of each node's features; sparse ones are opened a block at a time."""
    count = len(store.links)
    parts = [row_hashes(store.rows(np.arange(a, min(a + block, count)))) for a in range(0, count, block)]
    return np.concatenate([np.zeros(0, np.uint64), *parts])


def subtree_counts(store: GraphStore, rounds: int) -> sp.csr_matrix:
    """(G, (rounds + 1)·buckets) log(1 + how often each colour stands in each graph)."""
    assert store.bounds is not None
    owner = np.repeat(np.arange(len(store)), store.lengths)
    blocks = []
    for colour in node_colours(store, rounds):
        bucket = (colour % np.uint64(BUCKETS)).astype(np.int64)
        ones = np.ones(len(owner), np.float32)
        blocks.append(sp.csr_matrix((ones, (owner, bucket)), shape=(len(store), BUCKETS)))
    return sp.hstack(blocks, format="csr", dtype=np.float32).log1p()


def mean_features(store: GraphStore) -> np.ndarray:
    """(G, F + 1) the mean of each feature over a graph's nodes, and log(1 + how many there are)."""
    assert store.bounds is not None
    owner = np.repeat(np.arange(len(store)), store.lengths)
    sums = sp.csr_matrix((np.ones(len(owner)), (owner, np.arange(len(owner)))), shape=(len(store), len(owner)))
    total = sums @ store.features
    dense = total.toarray() if sp.issparse(total) else total
    return np.column_stack([dense / np.maximum(store.lengths, 1)[:, None], np.log1p(store.lengths)]).astype(np.float32)
