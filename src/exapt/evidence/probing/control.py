"""Selectivity (Hewitt & Liang 2019, arXiv 1909.03368): what a probe says of a factor beyond what it can memorise.

A control task gives every *type* of example a random class, so that only memory of the type can solve it. Selectivity
is accuracy on the factor minus accuracy on the control. Words are the types of the paper. Examples of other fields have
none, so here a type is an exact duplicate's content, or a k-means cluster of the raw inputs: our extension, and one
that depends on the number of clusters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exapt.evidence.probing.linear import Split, score_linear


@dataclass(frozen=True)
class Selectivity:
    """Accuracies (S,) over splits."""

    task: np.ndarray
    control: np.ndarray

    @property
    def each(self) -> np.ndarray:
        """(S,) task minus control."""
        return self.task - self.control


def selectivity(
    features: np.ndarray, factor: np.ndarray, types: np.ndarray, splits: Sequence[Split], seed: int = 0
) -> Selectivity:
    """Accuracy on the factor and on its control task; every split draws the control's classes anew."""
    known = [(train[factor[train] >= 0], test[factor[test] >= 0]) for train, test in splits]
    task = score_linear(features, factor, known)
    controls = [control_labels(factor, types, seed + s) for s in range(len(known))]
    control = [float(score_linear(features, y, [split])[0]) for y, split in zip(controls, known, strict=True)]
    return Selectivity(task, np.array(control))


def control_labels(factor: np.ndarray, types: np.ndarray, seed: int) -> np.ndarray:
    """(n,) a random class for each type (n,), drawn in the shares the factor has; −1 where the factor is not known."""
    kinds, place = np.unique(types, return_inverse=True)
    drawn = np.random.default_rng(seed).choice(factor[factor >= 0], len(kinds))
    return np.where(factor >= 0, drawn[place], -1)


def duplicate_types(rows: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) one number for every distinct content."""
    names = [hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest() for row in rows]
    return np.unique(np.array(names), return_inverse=True)[1]


def kmeans_types(inputs: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(n,) the k-means cluster of each row (n, p) of raw inputs, standardised."""
    from sklearn.cluster import KMeans

    spread = inputs.std(0)
    z = (inputs - inputs.mean(0)) / np.where(spread > 0, spread, 1.0)
    found: np.ndarray = KMeans(min(count, len(z)), n_init=1, random_state=seed).fit(z).labels_
    return found
