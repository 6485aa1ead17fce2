"""From a source to graphs: which reader a path or an object is for."""

from __future__ import annotations

from exapt.domains.base import Arrays, Source
from exapt.domains.graph_npz import read_npz
from exapt.domains.graph_parts import RawGraphs
from exapt.domains.opening import find_files
from exapt.errors import InputError

ENDINGS = frozenset({".npz"})
WHAT = "a .npz file of a graph"


def read_raw(source: Source | Arrays) -> RawGraphs:
    """Every graph of a source, checked; raises `InputError` for what cannot be read."""
    if isinstance(source, Arrays):
        raise InputError(f"{source.path}: graphs in memory are not read yet")
    files = find_files(source.path, ENDINGS, WHAT)
    return read_npz(files[0]).checked()
