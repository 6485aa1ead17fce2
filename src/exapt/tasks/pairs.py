"""Pairs of an example's elements in one order: (0, 1), (0, 2), (1, 2), (0, 3) …: a shorter chain's are the first.

Shapes: L elements, P = L (L − 1) / 2 pairs.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from exapt.errors import InputError

SHORTEST = 6
"""The least separation along the chain of a pair that counts: nearer residues always touch."""
RANGES = {"short": (6, 12), "medium": (12, 24), "long": (24, 1 << 30), "all": (6, 1 << 30)}
"""Separations |i − j| of each range, the second not included (as in CASP)."""


def pair_count(length: int) -> int:
    """How many pairs i < j there are."""
    return length * (length - 1) // 2


def length_of(pairs: int) -> int:
    """How many elements have so many pairs."""
    length = int((1 + (1 + 8 * pairs) ** 0.5) / 2)
    assert pair_count(length) == pairs
    return length


@lru_cache(maxsize=4)
def pair_places(length: int) -> tuple[np.ndarray, np.ndarray]:
    """(P,) i and (P,) j > i of every pair."""
    second = np.repeat(np.arange(length), np.arange(length))
    first = np.arange(len(second)) - second * (second - 1) // 2
    return first, second


def from_square(values: Tensor) -> Tensor:
    """(…, L, L) to (…, P)."""
    first, second = pair_places(values.shape[-1])
    return values[..., torch.from_numpy(first), torch.from_numpy(second)]


def in_range(length: int, name: str) -> np.ndarray:
    """(P,) whether a pair's separation is of a range."""
    if name not in RANGES:
        raise InputError(f"range '{name}'; valid: {', '.join(RANGES)}")
    first, second = pair_places(length)
    low, high = RANGES[name]
    return np.asarray((second - first >= low) & (second - first < high))


def contacts_of(places: np.ndarray, cutoff: float) -> np.ndarray:
    """(P,) int8: 1 where two places (L, 3) lie nearer than the cutoff, 0 where not, −1 where one is not known (NaN) or
    they are less than 6 apart along the chain."""
    first, second = pair_places(len(places))
    found = np.full(len(first), -1, dtype=np.int8)
    seen = np.isfinite(places).all(1)
    known = seen[first] & seen[second] & (second - first >= SHORTEST)
    apart = places[first[known]] - places[second[known]]
    found[known] = (apart**2).sum(1) < cutoff**2
    return found
