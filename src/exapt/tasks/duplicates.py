"""Examples that are the same, so that none is learnt from on one side of a split and scored on the other."""

from __future__ import annotations

import hashlib

import numpy as np

from exapt.domains.base import Dataset, Domain


def contents(dataset: Dataset, domain: Domain | None) -> np.ndarray:
    """(n,) a number for each example's content, equal where contents are: by a 128-bit hash of what the domain says
    means the same (for DNA, both strands)."""
    same = domain.canonical if domain is not None else _as_it_is
    digests = [_digest(same(dataset.store[int(row)])) for row in dataset.rows]
    return np.unique(np.array(digests), return_inverse=True)[1].reshape(-1) if digests else np.zeros(0, dtype=np.int64)


def _as_it_is(inputs: np.ndarray) -> np.ndarray:
    return inputs


def _digest(inputs: np.ndarray) -> str:
    values = np.ascontiguousarray(inputs)
    parts = hashlib.blake2b(repr(values.shape).encode(), digest_size=16)
    parts.update(values.tobytes())
    return parts.hexdigest()


def first_of_each(content: np.ndarray) -> np.ndarray:
    """(n,) True on the first example of every content."""
    first = np.zeros(len(content), dtype=bool)
    first[np.unique(content, return_index=True)[1]] = True
    return first


def conflicting(content: np.ndarray, strata: np.ndarray) -> int:
    """How many contents stand more than once with different labels."""
    pairs = np.unique(np.column_stack([content, strata]), axis=0)
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())
