"""What describes a node: the file's own features, its kind, its degree, or nothing; and bringing numbers to one scale.

Shapes: n nodes, F features.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp

from exapt.domains.graph_parts import RawGraphs
from exapt.domains.links import Links
from exapt.errors import InputError

Describing = Literal["given", "degree", "constant", "identity"]
Scaling = Literal["rows", "columns", "none"]
MOST = 10_000
"""More nodes than this cannot have a feature each."""


class NodeFeatures(NamedTuple):
    """How nodes are described, as learnt from a corpus."""

    by: Describing
    scale: Scaling
    width: int
    """F."""
    kinds: list[str]
    """The kinds of node that have a feature each; others have none set."""
    mean: list[float]
    spread: list[float]
    """(F,) of each feature, where columns are scaled."""
    names: list[str]
    """Columns of the file that they came from, where these have names."""

    def of(self, raw: RawGraphs, links: Links) -> Any:
        """(n, F) float32, sparse where the file's are."""
        made = described(raw, links, self.by, self.kinds, self.width)
        if made.shape[1] != self.width:
            raise InputError(f"{raw.path}: nodes have {made.shape[1]} features, the domain's have {self.width}")
        if self.scale == "columns":
            dense = made.toarray() if sp.issparse(made) else made
            return ((dense - np.array(self.mean)) / np.array(self.spread)).astype(np.float32)
        return by_rows(made) if self.scale == "rows" else made


def learn_features(
    raw: RawGraphs, links: Links, by: Describing | None, scale: Scaling | None, cap: int
) -> NodeFeatures:
    """Settle how nodes are described: None takes the file's features and kinds, or degrees where it has neither."""
    own = raw.features is not None or raw.kinds is not None
    chosen: Describing = by or ("given" if own else "degree")
    if chosen == "given" and not own:
        raise InputError(f"{raw.path}: nodes have no features; valid for domain.features: degree, constant, identity")
    if chosen == "identity" and raw.nodes > MOST:
        raise InputError(f"{raw.path}: {raw.nodes} nodes are too many for a feature each; valid: up to {MOST}")
    kinds = [] if raw.kinds is None or chosen != "given" else sorted({str(k) for k in raw.kinds}, key=_in_order)
    made = described(raw, links, chosen, kinds, raw.nodes if chosen == "identity" else cap + 1)
    if not made.shape[1]:
        raise InputError(f"{raw.path}: nodes have 0 features; set domain.features to degree")
    how = scale or ("rows" if _counts(made) else "columns")
    mean, spread = moments(made) if how == "columns" else ([], [])
    return NodeFeatures(chosen, how, made.shape[1], kinds, mean, spread, list(raw.feature_names))


def described(raw: RawGraphs, links: Links, by: Describing, kinds: list[str], width: int) -> Any:
    """(n, F) before any scaling."""
    if by == "identity":
        if raw.nodes != width:
            raise InputError(f"{raw.path}: {raw.nodes} nodes, but domain.features=identity was made for {width}")
        return sp.identity(raw.nodes, dtype=np.float32, format="csr")
    if by == "constant":
        return np.ones((raw.nodes, 1), np.float32)
    if by == "degree":
        return one_hot(np.minimum(links.degrees, width - 1), width)
    place = {kind: i for i, kind in enumerate(kinds)}
    parts = [] if raw.features is None else [raw.features]
    if kinds:
        if raw.kinds is None:
            raise InputError(f"{raw.path}: nodes have no kinds (node labels), the domain's have")
        parts.append(one_hot(np.array([place.get(str(kind), -1) for kind in raw.kinds]), len(kinds)))
    if not parts:
        raise InputError(f"{raw.path}: nodes have no features, the domain's have")
    sparse = all(sp.issparse(part) for part in parts)
    if sparse:
        return sp.hstack(parts, format="csr", dtype=np.float32)
    dense = [part.toarray() if sp.issparse(part) else np.asarray(part) for part in parts]
    return np.concatenate(dense, axis=1).astype(np.float32)


def one_hot(codes: np.ndarray, width: int) -> sp.csr_matrix:
    """(n, width), nothing set where a code is −1."""
    known = codes >= 0
    starts = np.concatenate([[0], known.cumsum()])
    return sp.csr_matrix((np.ones(int(known.sum()), np.float32), codes[known], starts), shape=(len(codes), width))


def by_rows(features: Any) -> Any:
    """Each row over its sum; an empty one stays so."""
    sums = np.asarray(features.sum(axis=1), dtype=np.float64).reshape(-1)
    scale = np.where(sums > 0, 1 / np.where(sums > 0, sums, 1), 0)
    if sp.issparse(features):
        scaled = features.astype(np.float32, copy=True)
        scaled.data *= np.repeat(scale, np.diff(features.indptr)).astype(np.float32)
        return scaled
    return (features * scale[:, None]).astype(np.float32)


def moments(features: Any) -> tuple[list[float], list[float]]:
    """Mean and standard deviation (F,) of each feature; one that never changes keeps a deviation of 1."""
    mean = np.asarray(features.mean(axis=0), dtype=np.float64).reshape(-1)
    squares = features.multiply(features) if sp.issparse(features) else np.square(features, dtype=np.float64)
    spread = np.sqrt(np.maximum(np.asarray(squares.mean(axis=0)).reshape(-1) - mean**2, 0))
    return mean.tolist(), np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0).tolist()


def _counts(features: Any) -> bool:
    """Whether every value is 0, 1, 2, …: words in a text, or a kind."""
    values = features.data if sp.issparse(features) else features
    return bool((values >= 0).all() and (values == np.round(values)).all())


def _in_order(kind: str) -> tuple[float, str]:
    """Numbers by value, then words."""
    try:
        return float(kind), kind
    except ValueError:
        return float("inf"), kind
