"""Sets of graphs in text files: TU folders (Morris et al. 2020), and DGCNN's one file (Zhang et al. 2018).

Shapes: n nodes of all graphs, G graphs, E edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from exapt.domains.graph_parts import RawGraphs
from exapt.domains.opening import File
from exapt.errors import InputError


def tu_name(folder: Path) -> str | None:
    """The data set that a folder holds as NAME_A.txt, NAME_graph_indicator.txt, …; None where it holds none."""
    found = sorted(path.name.removesuffix("_A.txt") for path in folder.glob("*_A.txt"))
    if len(found) > 1:
        raise InputError(f"{folder}: several data sets ({', '.join(found)}); give each a folder of its own")
    return found[0] if found else None


def read_tu(folder: Path, name: str) -> RawGraphs:
    """Graphs of a TU folder: node labels are kinds of nodes, attributes features, edge labels and attributes values."""
    graph_of = _column(folder, f"{name}_graph_indicator", None)
    if graph_of is None:
        raise InputError(f"{folder}: {name}_graph_indicator.txt is missing; it says which graph each node is of")
    count = int(graph_of.max(initial=0))
    bounds = np.searchsorted(graph_of, np.arange(1, count + 2))
    if (np.diff(graph_of) < 0).any():
        raise InputError(f"{folder}: {name}_graph_indicator.txt: the nodes of a graph must stand together, in order")
    edges = _table(folder, f"{name}_A")
    if edges is None or (len(edges) and edges.shape[1] != 2):
        raise InputError(f"{folder}: {name}_A.txt: expected two node numbers a line")
    pairs = edges.reshape(-1, 2).T.astype(np.int64) - 1
    kinds = _column(folder, f"{name}_node_labels", len(graph_of))
    labels = _column(folder, f"{name}_graph_labels", count)
    whole = {} if labels is None else {"label": labels}
    targets = _table(folder, f"{name}_graph_attributes", count)
    if targets is not None:
        whole |= {f"attribute_{i}": column for i, column in enumerate(targets.T)}
    features = _table(folder, f"{name}_node_attributes", len(graph_of))
    return RawGraphs(
        str(folder), pairs, bounds, features, kinds, _carried(folder, name, pairs.shape[1]), whole=whole
    ).checked()


def _carried(folder: Path, name: str, count: int) -> np.ndarray | None:
    """(E, k) edge labels one-hot, then attributes."""
    labels = _column(folder, f"{name}_edge_labels", count)
    parts = [] if labels is None else [np.eye(int(labels.max(initial=0)) + 1, dtype=np.float32)[labels]]
    attributes = _table(folder, f"{name}_edge_attributes", count)
    parts += [] if attributes is None else [attributes.astype(np.float32)]
    return np.concatenate(parts, axis=1) if parts else None


def _column(folder: Path, name: str, count: int | None) -> np.ndarray | None:
    """(count,) whole numbers of a file, its first column where it has several."""
    found = _table(folder, name, count)
    return None if found is None else found[:, 0].astype(np.int64)


def _table(folder: Path, name: str, count: int | None = None) -> np.ndarray | None:
    """(count, k) numbers; None where there is no such file."""
    path = folder / f"{name}.txt"
    if not path.is_file():
        return None
    try:
        found = np.loadtxt(path, delimiter=",", ndmin=2) if path.stat().st_size else np.zeros((0, 2))
    except ValueError as error:
        raise InputError(f"{path}: not a table of numbers parted by commas ({error})") from None
    if count is not None and len(found) != count:
        raise InputError(f"{path}: {len(found)} lines, expected {count}")
    return found


def read_dgcnn(file: File) -> RawGraphs:
    """Graphs of one text file: how many; then for each `n label` and n lines `kind m neighbour … attribute …`."""
    lines = _Lines(file)
    count = lines.whole(1)[0]
    bounds, labels, kinds, attributes = [0], [], [], []
    ends: list[np.ndarray] = []
    for _ in range(count):
        size, label = lines.whole(2)[:2]
        labels.append(label)
        for node in range(bounds[-1], bounds[-1] + size):
            words = lines.words(2)
            kind, many = lines.numbers(words[:2])
            near = np.array(lines.numbers(words[2 : 2 + many]), dtype=np.int64)
            if len(near) < many or ((near < 0) | (near >= size)).any():
                raise InputError(f"{lines.where}: expected {many} neighbours from 0 to {size - 1}")
            ends.append(np.stack([near + bounds[-1], np.full(many, node)]))
            kinds.append(kind)
            attributes.append(words[2 + many :])
        bounds.append(bounds[-1] + size)
    edges = np.concatenate([np.zeros((2, 0), np.int64), *ends], axis=1)
    features = lines.attributes(attributes)
    whole = {"label": np.array(labels)}
    return RawGraphs(file.name, edges, np.array(bounds), features, np.array(kinds), whole=whole).checked()


class _Lines:
    """The lines of a file, counted for messages."""

    def __init__(self, file: File) -> None:
        self.file, self.number = file, 0
        with file.text() as text:
            self.lines: Iterator[str] = iter(text.read().splitlines())

    @property
    def where(self) -> str:
        return f"{self.file.name}: line {self.number}"

    def words(self, least: int) -> list[str]:
        """The next line's."""
        self.number += 1
        found = next(self.lines, "").split()
        if len(found) < least:
            raise InputError(f"{self.where}: {len(found)} words, expected {least} or more; the file ends too soon?")
        return found

    def whole(self, least: int) -> list[int]:
        return self.numbers(self.words(least))

    def numbers(self, words: list[str]) -> list[int]:
        try:
            return [int(word) for word in words]
        except ValueError:
            raise InputError(f"{self.where}: '{' '.join(words)[:40]}' should be whole numbers") from None

    def attributes(self, rows: list[list[str]]) -> np.ndarray | None:
        """(n, F); None where no node has any."""
        if not any(rows):
            return None
        try:
            return np.array(rows, dtype=np.float64)
        except ValueError:
            raise InputError(f"{self.file.name}: every node needs the same number of attributes, all numbers") from None


def is_dgcnn(file: File) -> bool:
    """Whether a text begins with one whole number: how many graphs follow."""
    with file.text() as text:
        return len(text.readline().split()) == 1
