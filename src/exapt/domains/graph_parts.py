"""What reading a source of graphs yields, before features and edges are made ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from exapt.errors import InputError


@dataclass(frozen=True)
class RawGraphs:
    """One graph or many, their nodes numbered end to end: n nodes, G graphs, E edges as the file has them."""

    path: str
    """What messages call it."""
    edges: np.ndarray
    """(2, E) int64 from and to."""
    bounds: np.ndarray
    """(G + 1,) where each graph's nodes begin."""
    features: Any = None
    """(n, F) numbers, an array or a CSR matrix; None where nodes have none."""
    kinds: np.ndarray | None = None
    """(n,) a name for each node's kind (an atom, a residue), or None."""
    values: np.ndarray | None = None
    """(E, k) what edges carry, or None."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of nodes (n,): labels, splits, groups."""
    whole: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of graphs (G,)."""
    names: Sequence[str] | np.ndarray | None = None
    """(n,) what the file calls its nodes."""
    feature_names: Sequence[str] = ()
    """(F,) the columns that features came from, where they have names."""
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        return int(self.bounds[-1])

    def where(self, node: int) -> str:
        """File and node, for messages."""
        name = self.names[node] if self.names is not None else node
        return f"{self.path}: node {name}"

    def checked(self) -> RawGraphs:
        """Itself; raises `InputError` for what no graph may hold."""
        if not len(self.bounds) > 1 or not self.nodes:
            raise InputError(f"{self.path}: no nodes in it; expected at least one graph of one node")
        outside = np.flatnonzero((self.edges < 0).any(0) | (self.edges >= self.nodes).any(0))
        if len(outside):
            pair = self.edges[:, outside[0]].tolist()
            raise InputError(
                f"{self.path}: edge {outside[0] + 1} joins nodes {pair[0]} and {pair[1]}, but there are nodes 0 to "
                f"{self.nodes - 1}"
            )
        self._check_within()
        self._check_features()
        for name, column in self.columns.items():
            if len(column) != self.nodes:
                raise InputError(f"{self.path}: {self.nodes} nodes but {len(column)} values of '{name}'")
        return self

    def _check_within(self) -> None:
        """An edge between two graphs belongs to neither."""
        of = np.searchsorted(self.bounds, self.edges, side="right") if len(self.bounds) > 2 else self.edges[:1]
        across = np.flatnonzero(of[0] != of[-1])
        if len(across):
            start, end = self.edges[:, across[0]].tolist()
            raise InputError(
                f"{self.where(start)} and node {end if self.names is None else self.names[end]} are joined by edge "
                f"{across[0] + 1}, but they are of two graphs; take the edge out, or give both one graph"
            )

    def _check_features(self) -> None:
        if self.features is None:
            return
        if self.features.shape[0] != self.nodes:
            raise InputError(f"{self.path}: {self.nodes} nodes but {self.features.shape[0]} rows of features")
        if sp.issparse(self.features):
            bad = np.flatnonzero(~np.isfinite(self.features.data))
            at = np.searchsorted(self.features.indptr, bad[:1], side="right") - 1
        else:
            at = np.flatnonzero(~np.isfinite(self.features).all(axis=1))[:1]
        if len(at):
            raise InputError(f"{self.where(int(at[0]))} has a feature that is missing or no finite number; fill it in")


def unlabelled(labels: np.ndarray) -> np.ndarray:
    """Labels with −1 as missing."""
    if not np.issubdtype(labels.dtype, np.integer) or not (labels == -1).any():
        return labels
    return np.where(labels == -1, np.nan, labels.astype(np.float64))


def split_of(masks: Mapping[str, Any]) -> np.ndarray | None:
    """(n,) train, valid or test from masks by those names; '' under none of them."""
    said = {"train_mask": "train", "val_mask": "valid", "valid_mask": "valid", "test_mask": "test"}
    found = {word: np.asarray(masks[name], dtype=bool) for name, word in said.items() if masks.get(name) is not None}
    if not found or any(mask.ndim != 1 for mask in found.values()):
        return None
    return np.select(list(found.values()), list(found), "")
