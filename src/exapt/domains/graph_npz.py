"""Graphs in .npz files: adjacency and attributes in compressed sparse rows (the layout of Shchur et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from exapt.domains.graph_parts import RawGraphs, split_of, unlabelled
from exapt.domains.opening import File
from exapt.errors import InputError

PARTS = ("data", "indices", "indptr", "shape")
OWN = {"labels", "class_names", "attr_names", "idx_to_node", "idx_to_attr", "idx_to_class"}


def read_npz(file: File) -> RawGraphs:
    """One graph. Beside `adj_*`: `attr_*` or `attr_matrix`, `labels` with `class_names`, `node_names`, any other
    array with a value for each node as a column, and masks named train_mask, val_mask and test_mask as `split`."""
    arrays = _arrays(file)
    adjacency = _matrix(arrays, "adj", file.name)
    if adjacency is None:
        there = ", ".join(sorted(arrays)) or "none"
        raise InputError(f"{file.name}: no adjacency; expected adj_data, adj_indices, adj_indptr, adj_shape ({there})")
    nodes = adjacency.shape[0]
    if adjacency.shape[0] != adjacency.shape[1]:
        raise InputError(f"{file.name}: the adjacency is {nodes} × {adjacency.shape[1]}; it must be square")
    pairs = adjacency.tocoo()
    values = pairs.data.astype(np.float32)[:, None]
    return RawGraphs(
        file.name,
        np.stack([pairs.row, pairs.col]).astype(np.int64),
        np.array([0, nodes]),
        _features(arrays, file.name),
        values=None if (values == 1).all() else values,
        columns=_columns(arrays, nodes, file.name),
        names=arrays.get("node_names"),
    )


def _arrays(file: File) -> dict[str, np.ndarray]:
    with file.open() as raw:
        try:
            opened = np.load(raw, allow_pickle=False)
            return {name: _plain(opened, name) for name in opened.files}
        except (ValueError, OSError, AttributeError) as error:
            raise InputError(f"{file.name}: not a .npz file of plain arrays ({error})") from None


def _plain(opened: Any, name: str) -> np.ndarray:
    """An array; one of pickled objects is passed over, for opening it may run code."""
    try:
        return np.asarray(opened[name])
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        return np.zeros(0)


def _matrix(arrays: Mapping[str, np.ndarray], name: str, path: str) -> sp.csr_matrix | None:
    """`NAME_data`, `_indices`, `_indptr` and `_shape` as a matrix; None where there are none."""
    there = [part for part in PARTS if f"{name}_{part}" in arrays]
    if not there:
        return None
    lacking = [f"{name}_{part}" for part in PARTS if part not in there and part != "data"]
    if lacking:
        raise InputError(f"{path}: {', '.join(lacking)} is missing beside {name}_{there[0]}")
    indices, indptr, shape = (arrays[f"{name}_{part}"] for part in PARTS[1:])
    data = arrays.get(f"{name}_data", np.ones(len(indices), np.float32))
    try:
        matrix = sp.csr_matrix((data, indices, indptr), shape=tuple(int(side) for side in shape))
        matrix.check_format(full_check=True)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {name}_* is no matrix in compressed rows ({error})") from None
    return matrix


def _features(arrays: Mapping[str, np.ndarray], path: str) -> Any:
    found = _matrix(arrays, "attr", path)
    if found is not None:
        return found.astype(np.float32)
    dense = arrays.get("attr_matrix")
    if dense is not None and dense.ndim != 2:
        raise InputError(f"{path}: attr_matrix has shape {dense.shape}; expected (nodes, features)")
    return None if dense is None else dense.astype(np.float32)


def _columns(arrays: Mapping[str, np.ndarray], nodes: int, path: str) -> dict[str, np.ndarray]:
    """Labels by their class's name, and whatever else has a value for each node."""
    internal = ("adj_", "attr_")
    found = {k: v for k, v in arrays.items() if not k.startswith(internal) and k not in OWN and v.shape == (nodes,)}
    split = split_of(arrays)
    if split is not None:
        found.setdefault("split", split)
    labels = arrays.get("labels")
    if labels is None:
        return found
    if labels.shape != (nodes,):
        raise InputError(f"{path}: {nodes} nodes but labels of shape {labels.shape}; expected ({nodes},)")
    return found | {"label": _named(labels, arrays.get("class_names"), path)}


def _named(labels: np.ndarray, names: np.ndarray | None, path: str) -> np.ndarray:
    if names is None or not len(names) or not np.issubdtype(labels.dtype, np.integer):
        return unlabelled(labels)
    if labels.max(initial=-1) >= len(names):
        raise InputError(f"{path}: label {labels.max()}, but class_names holds {len(names)}")
    return np.where(labels < 0, "", names.astype(str)[labels])
