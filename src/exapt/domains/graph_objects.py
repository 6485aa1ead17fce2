"""Graphs in memory: PyTorch Geometric's `Data`, networkx graphs, GraphML files, and anything with an `edge_index`.

Shapes: n nodes of all graphs, G graphs, E edges, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from exapt.domains.base import Arrays
from exapt.domains.graph_parts import RawGraphs, split_of, unlabelled
from exapt.domains.graph_tables import Choice, Table, node_features
from exapt.domains.opening import File
from exapt.errors import InputError

EXPECTED = "a PyTorch Geometric Data, a networkx graph, or an object with edge_index (2, E) and x (n, F)"


def read_objects(arrays: Arrays, choice: Choice) -> RawGraphs:
    """Graphs in memory, with columns for each node or for each graph beside them."""
    values = list(arrays.values) if isinstance(arrays.values, list | tuple) else [arrays.values]
    if not values:
        raise InputError(f"{arrays.path}: no graphs; expected a list of {EXPECTED}")
    found = stacked([_one(value, f"{arrays.path}: graph {i + 1}", choice) for i, value in enumerate(values)], arrays)
    columns, whole = dict(found.columns), dict(found.whole)
    for name, column in arrays.columns.items():
        sizes = {len(values): whole, found.nodes: columns}
        if len(column) not in sizes:
            raise InputError(
                f"{arrays.path}: {len(values)} graphs of {found.nodes} nodes, but {len(column)} values of '{name}'"
            )
        for size, into in sizes.items():
            if len(column) == size:
                into[name] = np.asarray(column)
    return RawGraphs(**{**vars(found), "columns": columns, "whole": whole}).checked()


def stacked(parts: Sequence[RawGraphs], arrays: Arrays) -> RawGraphs:
    """Graphs end to end; raises `InputError` where one has features, kinds or labels and another has not."""
    counts = [part.nodes for part in parts]
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    edges = [part.edges + first for part, first in zip(parts, bounds[:-1], strict=True)]

    def joined(pick: Callable[[RawGraphs], Any]) -> Any:
        there = [pick(part) for part in parts]
        if all(one is None for one in there):
            return None
        lacking = next((part.path for part, one in zip(parts, there, strict=True) if one is None), None)
        if lacking or len({one.shape[1:] for one in there}) > 1:
            one = lacking or next(p.path for p in parts if pick(p).shape[1:] != there[0].shape[1:])
            raise InputError(f"{one}: its features, kinds or labels are not like those of the first graph")
        return np.concatenate(there)

    def columns(of: Callable[[RawGraphs], Mapping[str, np.ndarray]]) -> Table:
        names = [name for name in of(parts[0]) if all(name in of(part) for part in parts)]
        return {name: joined(lambda part, name=name: of(part)[name]) for name in names}  # type: ignore[misc]

    return RawGraphs(
        arrays.path,
        np.concatenate(edges, axis=1),
        bounds,
        joined(lambda part: part.features),
        joined(lambda part: part.kinds),
        joined(lambda part: part.values),
        columns(lambda part: part.columns),
        columns(lambda part: part.whole),
        feature_names=parts[0].feature_names,
    )


def _one(value: Any, path: str, choice: Choice) -> RawGraphs:
    if hasattr(value, "edge_index"):
        return _of_data(value, path)
    if hasattr(value, "nodes") and hasattr(value, "edges"):
        return of_networkx(value, path, choice)
    raise InputError(f"{path} is {type(value).__name__}; expected {EXPECTED}")


def _of_data(data: Any, path: str) -> RawGraphs:
    """`x`, `edge_index`, `edge_attr`, `y` and masks of an object like PyTorch Geometric's."""
    edges, x = _array(data, "edge_index"), _array(data, "x")
    edges = np.zeros((2, 0), np.int64) if edges is None or not edges.size else edges.astype(np.int64)
    if edges.ndim != 2 or len(edges) != 2:
        raise InputError(f"{path}: edge_index has shape {edges.shape}; expected (2, edges)")
    count = len(x) if x is not None else int(getattr(data, "num_nodes", None) or edges.max(initial=-1) + 1)
    features = None if x is None else x.reshape(count, -1).astype(np.float64)
    carried = _array(data, "edge_attr")
    values = None if carried is None else carried.reshape(edges.shape[1], -1).astype(np.float32)
    columns, whole = _labels(_array(data, "y"), count)
    masks = {name: _array(data, name) for name in ("train_mask", "val_mask", "test_mask")}
    split = split_of(masks)
    columns |= {} if split is None else {"split": split}
    return RawGraphs(path, edges, np.array([0, count]), features, None, values, columns, whole)


def _labels(y: np.ndarray | None, nodes: int) -> tuple[Table, Table]:
    """Columns of nodes and of the graph that `y` is: one value or row for the graph, or a value for each node."""
    if y is None:
        return {}, {}
    columns = {"label": unlabelled(y)} if y.shape == (nodes,) else {}
    if y.size == 1 or (y.ndim == 2 and len(y) == 1):
        flat = y.reshape(-1)
        names = ["label"] if len(flat) == 1 else [f"label_{i}" for i in range(len(flat))]
        return columns, {name: unlabelled(flat[i : i + 1]) for i, name in enumerate(names)}
    return columns, {}


def _array(data: Any, name: str) -> np.ndarray | None:
    value = getattr(data, name, None)
    if value is None:
        return None
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def of_networkx(graph: Any, path: str, choice: Choice) -> RawGraphs:
    """A networkx graph: attributes of nodes are features or columns as those of a table are, `weight` is a value."""
    names = list(graph.nodes)
    place = {name: i for i, name in enumerate(names)}
    ends = [(place[a], place[b]) for a, b in graph.edges()]
    table: Table = {"id": np.array([str(name) for name in names])}
    for attribute in dict.fromkeys(key for _, there in graph.nodes(data=True) for key in there):
        table[str(attribute)] = _attribute([there.get(attribute) for _, there in graph.nodes(data=True)])
    features, kept, kinds = node_features(table, choice, path)
    weights = [there.get("weight") for _, _, there in graph.edges(data=True)]
    values = None if not weights or None in weights else np.array(weights, dtype=np.float32)[:, None]
    whole = {
        str(name): np.array([value]) for name, value in graph.graph.items() if isinstance(value, int | float | str)
    }
    edges = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    bounds = np.array([0, len(names)])
    return RawGraphs(path, edges, bounds, features, kinds, values, table, whole, table["id"], kept)


def _attribute(values: list[Any]) -> np.ndarray:
    """(n,) as numpy reads them; words, with '' where one is missing, if some are words."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    return np.array([np.nan if value is None else value for value in values])


def read_graphml(file: File, choice: Choice) -> RawGraphs:
    """The graph of a GraphML file, through networkx."""
    from xml.etree.ElementTree import ParseError

    networkx = networkx_of(file.name)
    with file.open() as raw:
        try:
            graph = networkx.read_graphml(raw)
        except (ParseError, networkx.NetworkXError, KeyError, ValueError) as error:
            raise InputError(f"{file.name}: not a GraphML file ({error})") from None
    return of_networkx(graph, file.name, choice)


def networkx_of(path: str) -> Any:
    """networkx; raises `InputError` where it is not installed."""
    try:
        import networkx
    except ImportError:
        raise InputError(f"{path}: reading it needs networkx: `pip install 'exapt[graph]'`") from None
    return networkx
