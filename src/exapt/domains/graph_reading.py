"""From a source to graphs: which reader a path or an object is for."""

from __future__ import annotations

from pathlib import Path

from exapt.domains.base import Arrays, Source
from exapt.domains.graph_made import read_made
from exapt.domains.graph_npz import read_npz
from exapt.domains.graph_objects import read_graphml, read_objects
from exapt.domains.graph_parts import RawGraphs
from exapt.domains.graph_tables import EDGE_LISTS, Choice, read_edge_list, read_folder
from exapt.domains.graph_texts import is_dgcnn, read_dgcnn, read_tu, tu_name
from exapt.domains.opening import File, find_files
from exapt.errors import InputError

ENDINGS = frozenset({".npz", ".graphml"}) | EDGE_LISTS
WHAT = (
    "a .npz or .graphml file, a list of edges (.csv, .txt), a .txt of graphs, or a folder with edges.csv or NAME_A.txt"
)


def read_raw(source: Source | Arrays, choice: Choice) -> RawGraphs:
    """Every graph of a source, checked; raises `InputError` for what cannot be read."""
    if isinstance(source, Arrays):
        return read_objects(source, choice)
    for key in ("column", "mask", "record", "header"):
        if getattr(source, key) is not None:
            raise InputError(f"{source.path}: '{key}' says nothing of graphs; leave it out (features: domain.columns)")
    made = read_made(source.path)
    if made is not None:
        return made
    folder = Path(source.path).expanduser()
    if folder.is_dir():
        name = tu_name(folder)
        return read_folder(folder, choice) if name is None else read_tu(folder, name)
    return _of_file(find_files(source.path, ENDINGS, WHAT)[0], choice)


def _of_file(file: File, choice: Choice) -> RawGraphs:
    if file.suffix == ".npz":
        return read_npz(file).checked()
    if file.suffix == ".graphml":
        return read_graphml(file, choice).checked()
    if file.suffix == ".txt" and is_dgcnn(file):
        return read_dgcnn(file)
    return read_edge_list(file, choice)
