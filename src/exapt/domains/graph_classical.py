"""The classical baselines of nodes and graphs, worked out once for a whole store."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from exapt.domains.base import Dataset
from exapt.domains.graph_store import GraphStore
from exapt.domains.smoothing import smoothed
from exapt.domains.subtrees import mean_features, subtree_counts


def of_examples(dataset: Dataset, reach: int, counted: bool) -> Any:
    """(n, p) features of nodes, averaged over so many hops; of graphs counts of neighbourhoods of up to so many hops,
    or (not `counted`) mean features. No columns for a training part that was remembered without its store, for nothing
    is learnt of it."""
    store = dataset.store
    if not isinstance(store, GraphStore):
        return sp.csr_matrix((len(dataset), 0), dtype=np.float32)
    if store.bounds is None:
        return _averaged(store, reach)[dataset.rows]
    make = partial(subtree_counts, rounds=reach) if counted else mean_features
    return store.once(("graphs", reach, counted), make)[dataset.rows]


def of_nodes(dataset: Dataset, reach: int) -> Any:
    """(N, F) features of every node of every example, averaged over so many hops."""
    store = dataset.store
    assert isinstance(store, GraphStore)
    if store.bounds is None:
        return _averaged(store, reach)[dataset.rows]
    runs = [np.arange(store.bounds[row], store.bounds[row + 1]) for row in dataset.rows]
    return _averaged(store, reach)[np.concatenate([np.zeros(0, np.int64), *runs])]


def _averaged(store: GraphStore, times: int) -> Any:
    return store.once(("averaged", times), lambda store: unit(smoothed(store.features, store.links, times)))


def unit(features: Any) -> Any:
    """All features times one number, so that a node's have length 1 in the quadratic mean: averages are short, and a
    grid of penalties would otherwise end before the best one."""
    square = features.multiply(features).sum() if sp.issparse(features) else np.square(features, dtype=np.float64).sum()
    return features * np.float32(1 / np.sqrt(max(float(square) / features.shape[0], 1e-30)))
