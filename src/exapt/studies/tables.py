"""Tables of results on disk: csv, npz or parquet by the file's ending."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from exapt.errors import InputError
from exapt.files import atomic
from exapt.training.weights import room_for

ENDINGS = (".csv", ".npz", ".parquet")


def check_ending(path: Path) -> None:
    """Refuse an unknown ending before any work is done."""
    if path.suffix not in ENDINGS:
        raise InputError(f"{path}: unknown ending '{path.suffix}'; valid: {', '.join(ENDINGS)}")


def write_table(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of equal length, (n,) or (n, k), atomically; (n, k) becomes k columns in csv and parquet."""
    check_ending(path)
    with room_for(path), atomic(path) as temporary:
        if path.suffix == ".npz":
            with open(temporary, "wb") as file:
                np.savez(file, allow_pickle=False, **{k: _plain(v) for k, v in columns.items()})
        elif path.suffix == ".csv":
            _write_csv(temporary, flat(columns))
        else:
            _write_parquet(temporary, flat(columns))


def flat(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every (n, k) column as k columns `name_0` …"""
    out: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if values.ndim == 1:
            out[name] = values
        else:
            out |= {f"{name}_{i}": values[:, i] for i in range(values.shape[1])}
    return out


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(str) if values.dtype == object else values


def _write_csv(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(v.tolist() for v in columns.values()), strict=True))


def _write_parquet(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({k: pa.array(v.tolist()) for k, v in columns.items()}), path)
