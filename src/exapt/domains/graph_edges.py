"""From the edges of a file to those that messages run along: both ways, each once, no self-loops unless asked for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from exapt.domains.graph_parts import RawGraphs
from exapt.domains.links import Links


class Joined(NamedTuple):
    """Edges made ready, and what was left out of them."""

    links: Links
    skipped: dict[str, int]


def join(raw: RawGraphs, directed: bool, self_loops: bool, carried: bool) -> Joined:
    """Edges both ways unless `directed`; of equal ones the first stays. `carried` keeps what edges carry."""
    edges, values = raw.edges, raw.values if carried else None
    loops = edges[0] == edges[1]
    if not self_loops:
        edges, values = edges[:, ~loops], None if values is None else values[~loops]
    first = _first(edges, raw.nodes)
    repeats = edges.shape[1] - len(first)
    if not directed:
        first = _first(np.sort(edges, axis=0), raw.nodes)
    edges, values = edges[:, first], None if values is None else values[first]
    if not directed:
        back = edges[:, edges[0] != edges[1]][::-1]
        values = None if values is None else np.concatenate([values, values[edges[0] != edges[1]]])
        edges = np.concatenate([edges, back], axis=1)
    left = {"self-loops": 0 if self_loops else int(loops.sum()), "repeated edges": repeats}
    return Joined(Links.of(edges, raw.nodes, values), {reason: n for reason, n in left.items() if n})


def _first(edges: np.ndarray, nodes: int) -> np.ndarray:
    """The first of every set of equal edges, in order."""
    return np.sort(np.unique(edges[0] * nodes + edges[1], return_index=True)[1])


def facts(links: Links, bounds: np.ndarray) -> dict[str, int]:
    """Sizes of a corpus, for the report."""
    components = sp.csgraph.connected_components(links.matrix(), directed=False)[0]
    found = {"graphs": len(bounds) - 1, "nodes": len(links), "edges": len(links.sources)}
    alone = links.degrees == 0
    alone[links.sources] = False
    return found | {"components": int(components), "isolated nodes": int(alone.sum())}
