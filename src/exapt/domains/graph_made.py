"""Graphs that need no file: Zachary's karate club, and graphs with planted communities.

`sbm:nodes=1000,communities=4,inside=0.05,outside=0.005` draws a stochastic block model (Holland et al. 1983): nodes of
one community are joined with one probability, others with another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from exapt.domains.graph_objects import networkx_of, of_networkx
from exapt.domains.graph_parts import RawGraphs
from exapt.domains.graph_tables import Choice
from exapt.errors import InputError, nearest

USUAL = {"nodes": 300, "communities": 3, "inside": 0.1, "outside": 0.01, "features": 0, "signal": 1.0, "seed": 0}
"""What a description leaves out. `features`: Gaussian numbers a node has, the mean of each community drawn `signal`
deviations wide; 0: none."""


def read_made(path: str) -> RawGraphs | None:
    """The graph that a path describes; None where it names files."""
    if path.startswith("networkx:"):
        return _karate(path)
    if path.startswith("sbm:") or path == "sbm":
        return block_model(path, **_settings(path))
    return None


def _karate(path: str) -> RawGraphs:
    """Zachary 1977: 34 members, the club each went to as `label`, and how often two met outside as edge value."""
    if path != "networkx:karate":
        raise InputError(f"{path}: unknown graph; valid: networkx:karate")
    graph = networkx_of(path).karate_club_graph()
    raw = of_networkx(graph, path, Choice(without=["club"]))
    return RawGraphs(**{**vars(raw), "columns": {**raw.columns, "label": raw.columns["club"]}, "whole": {}})


def _settings(path: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(USUAL)
    for part in filter(None, path.removeprefix("sbm").removeprefix(":").split(",")):
        name, _, value = part.partition("=")
        if name not in USUAL:
            raise InputError(f"{path}: unknown key '{name}'; {nearest(name, USUAL)}")
        try:
            found[name] = type(USUAL[name])(value)
        except ValueError:
            raise InputError(f"{path}: {name}={value} is no {type(USUAL[name]).__name__}") from None
    return found


def block_model(
    path: str, nodes: int, communities: int, inside: float, outside: float, features: int, signal: float, seed: int
) -> RawGraphs:
    """A graph with planted communities, as near in size as can be, in `label`. The same seed gives the same graph.

    Raises `InputError` for probabilities outside [0, 1] and for more communities than nodes.
    """
    if not 1 <= communities <= nodes:
        raise InputError(f"{path}: {communities} communities of {nodes} nodes; valid: 1 to nodes")
    for name, value in (("inside", inside), ("outside", outside)):
        if not 0 <= value <= 1:
            raise InputError(f"{path}: {name}={value} is no probability; valid: 0 to 1")
    rng = np.random.default_rng(seed)
    sizes = np.full(communities, nodes // communities) + (np.arange(communities) < nodes % communities)
    firsts = np.concatenate([[0], sizes.cumsum()])
    blocks = [
        _block(firsts[[a, a + 1]], firsts[[b, b + 1]], inside if a == b else outside, rng)
        for a in range(communities)
        for b in range(a, communities)
    ]
    member = np.repeat(np.arange(communities), sizes)
    shuffled = rng.permutation(nodes)
    edges, owner = shuffled[np.concatenate(blocks, axis=1)], np.empty(nodes, np.int64)
    owner[shuffled] = member
    centres = signal * rng.standard_normal((communities, features))
    described = centres[owner] + rng.standard_normal((nodes, features)) if features else None
    return RawGraphs(path, edges, np.array([0, nodes]), described, columns={"label": owner}).checked()


def _block(rows: np.ndarray, columns: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(2, E) pairs of two runs of nodes, each joined with a probability; within one run each pair once."""
    high, wide = int(rows[1] - rows[0]), int(columns[1] - columns[0])
    count = int(rng.binomial(high * wide, share))
    cells = rng.choice(high * wide, count, replace=False, shuffle=False) if count else np.zeros(0, np.int64)
    pairs = np.stack([cells // wide + rows[0], cells % wide + columns[0]])
    return pairs[:, pairs[0] < pairs[1]] if rows[0] == columns[0] else pairs
