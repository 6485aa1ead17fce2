"""Where a model reads: places at which the letters of one class support it more than those of the others do.

Shapes: n sequences, L places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DRAWS = 999
"""Permutations of the classes."""


@dataclass(frozen=True)
class Profile:
    """How much more the letters at each place support the class in its own sequences than in the others."""

    excess: np.ndarray
    """(L,) difference of means, less its mean over the places: how much more is read here than elsewhere."""
    low: np.ndarray
    """(L,) and `high`: 90 % intervals, each for its place alone."""
    high: np.ndarray
    threshold: float
    """The t that a permutation of the classes exceeds at any place in one of twenty cases."""
    t: np.ndarray
    """(L,) excess over its standard error."""
    p: float
    """Chance of so large a t anywhere under permuted classes: all places at once."""

    @property
    def read(self) -> np.ndarray:
        """(L,) places whose letters support the class more than elsewhere, all errors counted together."""
        return np.asarray(self.t > self.threshold)


def profile(support: np.ndarray, positive: np.ndarray, rng: np.random.Generator, draws: int = DRAWS) -> Profile:
    """The profile of supports (n, L) of sequences that are of the class (n,) or not.

    A model that reads the same everywhere, such as composition, has no excess at any place in expectation: each
    sequence's supports are taken from their own mean first. Westfall & Young's (1993) largest t over the places, under
    permuted classes, tells which excess is chance.
    """
    centred = support - np.nanmean(support, axis=1, keepdims=True)
    known = np.isfinite(centred)
    values = np.where(known, centred, 0.0)
    excess, error = _difference(values, known, positive)
    t = excess / error
    largest = np.empty(draws)
    for draw in range(draws):
        drawn, spread = _difference(values, known, rng.permutation(positive))
        largest[draw] = (drawn / spread).max()
    p = (1 + int((largest >= t.max()).sum())) / (1 + draws)
    wide = 1.645 * error
    return Profile(excess, excess - wide, excess + wide, float(np.quantile(largest, 0.95)), t, p)


def _difference(values: np.ndarray, known: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(L,) difference of means between the classes and its standard error (Welch)."""
    parts = []
    for chosen in (positive, ~positive):
        count = np.maximum(known[chosen].sum(0), 2)
        mean = values[chosen].sum(0) / count
        spread = (np.square(values[chosen] - mean) * known[chosen]).sum(0) / (count - 1) / count
        parts.append((mean, spread))
    (one, first), (other, second) = parts
    error = np.sqrt(first + second)
    return one - other, np.maximum(error, 1e-12 + 1e-9 * np.abs(one - other).max())


def within(values: np.ndarray, marks: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, float]]:
    """For each mark (first and last place) the mean of values (L,) inside it and outside all marks."""
    inside = np.zeros(len(values), dtype=bool)
    for first, last in marks.values():
        inside[first : last + 1] = True
    outside = float(values[~inside].mean()) if not inside.all() else float("nan")
    return {name: (float(values[first : last + 1].mean()), outside) for name, (first, last) in marks.items()}


def runs(read: np.ndarray) -> list[tuple[int, int]]:
    """First and last place of every run of places that are read."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], read, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
