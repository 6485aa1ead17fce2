"""Graphs in tables: a list of edges, beside it a table of nodes, and for many graphs a table of these.

Shapes: n nodes, E edges.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from exapt.domains.graph_parts import RawGraphs
from exapt.domains.opening import TABLES, File, beside, find_files
from exapt.domains.pieces import ROWS, Wanted, require
from exapt.domains.tables import read_table
from exapt.errors import InputError

FROM, TO = ("source", "from", "src", "u"), ("target", "to", "dst", "v")
NAMES = ("id", "node", "name")
GRAPH = ("graph", "graph_id")
ASIDE = frozenset({"label", "labels", "class", "target", "y", "split", "set", "validation", "group", "fold"})
"""Columns of nodes that are no features unless named."""
EDGE_LISTS = TABLES | {".txt", ".edgelist"}

Table = dict[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """Which columns of nodes are features."""

    columns: Sequence[str] | None = None
    without: Sequence[str] = ()
    nodes: str | None = None
    """The file of nodes beside the edges; None: `nodes.csv` or the like, where there is one."""
    roles: Sequence[str] = ()
    """Label, group and split as the source names them."""

    def features(self, table: Mapping[str, Any], path: str) -> list[str]:
        """The columns of a table that are features; raises `InputError` for one that is not there."""
        for name in [*(self.columns or ()), *self.without]:
            require(name, table, path)
        aside = {*ASIDE, *GRAPH, *NAMES, "kind", *self.without, *self.roles}
        return [name for name in self.columns or table if self.columns or name not in aside]


def read_folder(folder: Path, choice: Choice) -> RawGraphs:
    """A folder with `edges.csv` (or .tsv, .txt, .jsonl, .parquet), and `nodes.csv` and `graphs.csv` where there are."""
    found = _named(folder, "edges", EDGE_LISTS)
    if found is None:
        raise InputError(f"{folder}: no edges.csv in it; expected edges.csv and nodes.csv, or NAME_A.txt of a TU set")
    return read_edge_list(found, choice)


def read_edge_list(file: File, choice: Choice) -> RawGraphs:
    """A list of edges with whatever stands beside it."""
    nodes = beside(file, choice.nodes) if choice.nodes else _named(file.path.parent, "nodes", TABLES)
    table = whole_table(nodes) if nodes and nodes.path != file.path else None
    pairs, more = _edges(file, None if table is None else set(_ids(table)[:ROWS].tolist()))
    if table is None:
        ids, ends = np.unique(pairs, return_inverse=True)
        return RawGraphs(
            file.name, ends.reshape(2, -1), np.array([0, len(ids)]), values=_values(more, file.name), names=ids
        ).checked()
    assert nodes is not None
    return _with_nodes(file, pairs, more, nodes, table, choice)


def _with_nodes(file: File, pairs: np.ndarray, more: Table, nodes: File, table: Table, choice: Choice) -> RawGraphs:
    """Edges between the rows of a table of nodes, those of one graph together."""
    graph = next((table[name] for name in GRAPH if name in table), None)
    order, bounds = np.arange(len(_ids(table))), np.array([0, len(_ids(table))])
    if graph is not None:
        kinds, member = np.unique(graph, return_inverse=True)
        order, bounds = np.argsort(member, kind="stable"), np.append(0, np.bincount(member).cumsum())
    table = {name: column[order] for name, column in table.items()}
    ids, ends = _alike(_ids(table), pairs)
    of = next((more[name] for name in GRAPH if name in more), None)
    if graph is not None and of is not None:  # numbers that begin anew in every graph
        ids, ends = _within(graph[order], ids), _within(of, ends)
    edges = _places(ends, ids, file, nodes)
    features, names, kinds_of = node_features(table, choice, nodes.name)
    whole = {} if graph is None else _whole(file, kinds)
    values = _values(more, file.name)
    return RawGraphs(nodes.name, edges, bounds, features, kinds_of, values, table, whole, _ids(table), names).checked()


def node_features(
    table: Mapping[str, np.ndarray], choice: Choice, path: str
) -> tuple[np.ndarray | None, list[str], np.ndarray | None]:
    """Features (n, F) with their columns' names, and kinds (n,) from a column `kind`; None where there are none."""
    names = [name for name in choice.features(table, path) if name != _id(table)]
    columns = [_numbers(name, table[name], path) for name in names]
    return np.stack(columns, axis=1) if columns else None, names, table.get("kind")


def _numbers(name: str, column: np.ndarray, path: str) -> np.ndarray:
    """(n,) float64, NaN where a cell is empty."""
    try:
        return np.array([np.nan if v is None or v == "" else float(v) for v in column.tolist()], dtype=np.float64)
    except (TypeError, ValueError):
        bad = next(v for v in column.tolist() if not _is_number(v))
        raise InputError(
            f"{path}: column '{name}' says '{bad}'; features are numbers: choose them with domain.columns, or leave "
            f"columns out with domain.without=[{name}]"
        ) from None


def _is_number(value: Any) -> bool:
    try:
        float(value or "nan")
    except (TypeError, ValueError):
        return False
    return True


def whole_table(file: File, header: tuple[str, ...] = ()) -> Table:
    """Every column of a table, numbers where all its values are whole numbers as these are written."""
    parts: dict[str, list[np.ndarray]] = {}
    for piece in read_table(file, Wanted(None, (), whole=True, header=header)):
        for name, values in piece.columns.items():
            parts.setdefault(name, []).append(_tight(values))
    if not parts:
        raise InputError(f"{file.name}: no rows in it")
    return {name: joined(columns) for name, columns in parts.items()}


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Parts of a column end to end; words where any part holds words."""
    kinds = {part.dtype.kind for part in parts}
    return np.concatenate([part if len(kinds) == 1 else part.astype(str) for part in parts])


def _tight(values: Sequence[Any]) -> np.ndarray:
    """(k,) int64 where every value is a whole number as it is usually written, else what numpy makes of it."""
    found = np.array(["" if v is None else v for v in values] if None in values else values)
    if found.dtype.kind == "U":
        try:
            numbers = found.astype(np.int64)
        except ValueError:
            return found
        return numbers if (numbers.astype(found.dtype) == found).all() else found
    return found


def _edges(file: File, known: set[Any] | None) -> tuple[np.ndarray, Table]:
    """Ends (2, E) as the file names them, and what else its columns hold."""
    table = _txt(file) if file.suffix not in TABLES else whole_table(file, _header(file, known))
    names = list(table)
    if len(names) < 2:
        raise InputError(f"{file.name}: one column; expected two, the nodes that each edge joins")
    first, second = (next((n for n in usual if n in names), None) for usual in (FROM, TO))
    if first is None or second is None:
        first, second = [name for name in names if name not in GRAPH][:2]
    ends = joined([table[first], table[second]]).reshape(2, -1)
    return ends, {name: column for name, column in table.items() if name not in (first, second)}


def _header(file: File, known: set[Any] | None) -> tuple[str, ...]:
    """Names for the columns of a csv whose first line is an edge already: two numbers, or two known nodes."""
    if file.suffix not in (".csv", ".tsv"):
        return ()
    with file.text() as text:
        line = text.readline()
    words = next(csv.reader([line], delimiter="\t" if file.suffix == ".tsv" else ","), [])
    edge = len(words) > 1 and all(word.strip().isdecimal() or word in (known or ()) for word in words[:2])
    return _usual_names(len(words)) if edge else ()


def _txt(file: File) -> Table:
    """Words parted by spaces or commas, lines with # or % passed over, as SNAP and others write edges."""
    parts: list[list[np.ndarray]] = []
    for block in _blocks(file):
        if len({len(row) for row in block}) > 1 or len(block[0]) < 2:
            raise InputError(f"{file.name}: every line must name two nodes, and as many values as the first line")
        parts.append([_tight(column) for column in zip(*block, strict=True)])
    if not parts:
        raise InputError(f"{file.name}: no edges in it")
    columns = [joined(column) for column in zip(*parts, strict=True)]
    return dict(zip(_usual_names(len(columns)), columns, strict=True))


def _usual_names(count: int) -> tuple[str, ...]:
    return ("source", "target", *(f"value_{i}" for i in range(1, count - 1)))


def _blocks(file: File) -> Iterator[list[list[str]]]:
    with file.text() as lines:
        rows = (line.replace(",", " ").split() for line in lines if line.strip() and line[0] not in "#%")
        while block := list(islice(rows, ROWS)):
            yield block


def _places(ends: np.ndarray, ids: np.ndarray, file: File, nodes: File) -> np.ndarray:
    """(2, E) rows of the nodes that edges name, each of which `nodes` must hold once."""
    _check_once(ids, nodes.name, "node")
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    at = np.minimum(np.searchsorted(ranked, ends), len(ids) - 1)
    strange = np.argwhere(ranked[at] != ends)
    if len(strange):
        side, row = min(map(tuple, strange), key=lambda pair: pair[1])
        raise InputError(f"{file.name}: row {row + 1}: '{ends[side, row]}' is no node of {nodes.name}")
    return np.asarray(order[at], dtype=np.int64)


def _check_once(ids: np.ndarray, path: str, what: str) -> None:
    found, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"{path}: {what} '{found[counts > 1][0]}' stands twice")


def _values(more: Mapping[str, np.ndarray], path: str) -> np.ndarray | None:
    """(E, k) the other columns of edges, where they are numbers."""
    columns = [_numbers(n, c, path) for n, c in more.items() if n not in GRAPH and c.dtype.kind != "U"]
    columns += [_numbers(n, c, path) for n, c in more.items() if c.dtype.kind == "U" and _is_number(c[0])]
    return np.stack(columns, axis=1).astype(np.float32) if columns else None


def _alike(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as numbers where both are, else both as words."""
    numbers = first.dtype.kind == second.dtype.kind != "U"
    return (first, second) if numbers else (first.astype(str), second.astype(str))


def _within(graph: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Names of nodes with their graph's before them."""
    return np.char.add(np.char.add(graph.astype(str), " "), names.astype(str))


def _ids(table: Mapping[str, np.ndarray]) -> np.ndarray:
    """The column that names the nodes."""
    return table[_id(table)]


def _id(table: Mapping[str, np.ndarray]) -> str:
    return next((name for name in NAMES if name in table), next(iter(table)))


def _whole(file: File, graphs: np.ndarray) -> Table:
    """Columns of `graphs.csv` in the order of the graphs."""
    found = _named(file.path.parent, "graphs", TABLES)
    if found is None:
        return {"graph": graphs}
    table = whole_table(found)
    names = next((table[name] for name in (*GRAPH, *NAMES) if name in table), next(iter(table.values())))
    ids, wanted = _alike(names, graphs[None])
    _check_once(ids, found.name, "graph")
    strange = wanted[~np.isin(wanted, ids)]
    if len(strange):
        raise InputError(f"{found.name}: no row of graph '{strange[0]}', which nodes are of; add one")
    at = _places(wanted, ids, found, found)[0]
    return {name: column[at] for name, column in table.items()}


def _named(folder: Path, stem: str, endings: frozenset[str] | set[str]) -> File | None:
    """The one file of a folder by that name, whatever its ending."""
    there = [path for path in sorted(folder.glob(f"{stem}.*")) if path.is_file()]
    return find_files(str(there[0]), endings, f"{stem}.csv")[0] if there else None
