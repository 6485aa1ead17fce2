"""Finding communities and clusters of nodes without labels. Every way follows from its seed.

Shapes: n nodes, k communities, F features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from exapt.domains.graph_store import GraphStore
from exapt.domains.links import Links
from exapt.domains.smoothing import smoothed
from exapt.errors import InputError

STARTS = 10
"""k-means starts so often and keeps the closest fit."""
DENSE = 512
"""Graphs of fewer nodes are taken apart exactly."""


def find_communities(
    store: GraphStore, by: str, *, count: int = 10, resolution: float = 1.0, smoothing: int = 2, seed: int = 0
) -> np.ndarray:
    """(n,) the community of every node of a store; the directions of edges are not looked at.

    Raises `InputError` for more clusters than nodes, and without networkx.
    """
    if by in ("spectral", "clusters") and count > len(store.links):
        raise InputError(f"objective.count: {count} communities of {len(store.links)} nodes; valid: up to as many")
    if by == "clusters":
        features = smoothed(store.features, store.links, smoothing)
        return k_means(unit_rows(features.toarray() if sp.issparse(features) else features), count, seed)
    if by == "spectral":
        return spectral(store.links, count, seed)
    return by_modularity(store.links, by, resolution, seed)


def by_modularity(links: Links, by: str, resolution: float, seed: int) -> np.ndarray:
    """Louvain (Blondel et al. 2008, arXiv 0803.0476) or greedy modularity (Clauset et al. 2004, cond-mat/0408187)."""
    networkx = _library(by)
    graph = networkx.from_scipy_sparse_array(both_ways(links))
    if by == "louvain":
        groups = networkx.community.louvain_communities(graph, resolution=resolution, seed=seed)
    elif graph.number_of_edges():
        groups = networkx.community.greedy_modularity_communities(graph, resolution=resolution)
    else:
        groups = [{node} for node in graph]
    numbers = np.full(len(links), -1, dtype=np.int64)
    for number, group in enumerate(groups):
        numbers[list(group)] = number
    return numbers


def spectral(links: Links, count: int, seed: int) -> np.ndarray:
    """k-means on the leading vectors of D^-½ (A + τ/n) D^-½, τ the mean degree.

    Without τ every small part of a graph that falls apart would be a community of its own (Amini et al. 2013,
    arXiv 1207.2340; Qin and Rohe 2013, arXiv 1309.4111).
    """
    matrix, size = both_ways(links), len(links)
    more = float(matrix.sum()) / size or 1.0
    root = 1 / np.sqrt(np.asarray(matrix.sum(1)).ravel() + more)
    scaled = (sp.diags(root) @ matrix @ sp.diags(root)).astype(np.float64)
    if size <= max(DENSE, count + 1):
        values, vectors = np.linalg.eigh(scaled.toarray() + more / size * np.outer(root, root))
    else:
        whole = sp.linalg.LinearOperator(
            (size, size), matvec=lambda v: scaled @ v + more / size * root * (root @ v), dtype=np.float64
        )
        start = np.random.default_rng(seed).standard_normal(size)
        values, vectors = sp.linalg.eigsh(whole, k=count, which="LA", v0=start)
    leading = vectors[:, np.argsort(values)[-count:]]
    return k_means(unit_rows(leading), count, seed)


def k_means(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(n,) clusters of rows (n, F)."""
    from sklearn.cluster import KMeans

    found = KMeans(count, n_init=STARTS, random_state=seed).fit_predict(rows)
    return np.asarray(found, dtype=np.int64)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, so that clusters go by direction; an empty row stays empty."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def both_ways(links: Links) -> sp.csr_matrix:
    """(n, n) ones where two nodes are joined, whichever way; no self-loops."""
    matrix = links.matrix()
    joined = ((matrix + matrix.T) > 0).astype(np.float64).tocsr()
    joined.setdiag(0)
    joined.eliminate_zeros()
    return joined


def _library(by: str) -> Any:
    try:
        import networkx
    except ImportError:
        raise InputError(
            f"objective.by={by} needs `pip install 'exapt[graph]'`; valid without: spectral, clusters"
        ) from None
    return networkx
