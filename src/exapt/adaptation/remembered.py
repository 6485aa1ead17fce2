"""A few examples as tensors, so that what was learnt from them can be learnt again without the data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from exapt.domains.base import Dataset
from exapt.spec import digest


def remember(dataset: Dataset) -> dict[str, Tensor]:
    """The inputs of a data set, end to end, with their shapes and lengths; of molecules also which they are."""
    rows = [np.asarray(dataset.store[int(row)]) for row in dataset.rows]
    whole = all(np.issubdtype(row.dtype, np.integer) for row in rows)
    kind = np.uint8 if all(row.dtype == np.uint8 for row in rows) else np.int32 if whole else np.float32
    flat = np.concatenate([np.zeros(0, kind), *(row.reshape(-1) for row in rows)]).astype(kind)
    shapes = np.array([row.shape for row in rows], dtype=np.int64).reshape(len(rows), rows[0].ndim if rows else 1)
    tensors = {"inputs": flat, "shapes": shapes, "lengths": np.asarray(dataset.lengths, dtype=np.int64)}
    if hasattr(dataset.store, "smiles"):
        words = "\n".join(str(dataset.store.smiles[row]) for row in dataset.rows)
        tensors["smiles"] = np.frombuffer(words.encode(), np.uint8)
    return {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}


def recall(tensors: Mapping[str, Tensor]) -> Dataset:
    """The data set that `remember` kept, without labels."""
    shapes = tensors["shapes"].numpy()
    parts = np.split(tensors["inputs"].numpy(), np.cumsum(shapes.prod(1))[:-1]) if len(shapes) else []
    rows = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    smiles = tensors["smiles"].numpy().tobytes().decode().split("\n") if "smiles" in tensors and rows else []
    store = Remembered(rows, tensors["lengths"].numpy(), smiles)
    return Dataset(store, np.arange(len(store)))


@dataclass(frozen=True)
class Remembered:
    """Examples in memory."""

    rows: list[np.ndarray]
    lengths: np.ndarray
    smiles: list[str] = field(default_factory=list)
    """(n,) which molecule each is, where that was known; else nothing."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.rows[index]

    def fingerprint(self) -> str:
        return digest([row.tolist() for row in self.rows])
