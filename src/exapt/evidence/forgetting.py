"""How much of what was learnt before is lost by learning something else: figures of a matrix of scores.

R[i, j] is the score on task j after training on task i, tasks in the order they were learnt (Lopez-Paz & Ranzato 2017,
arXiv 1706.08840; Chaudhry et al. 2018, arXiv 1801.10112). Shapes: T tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exapt.errors import InputError


@dataclass(frozen=True)
class Retention:
    """The usual figures; higher is better but for `forgetting`."""

    accuracy: float
    """ACC: the mean score on all tasks at the end."""
    backward: float | None
    """BWT: the mean change of a task's score since it was learnt; negative where it was forgotten."""
    forward: float | None
    """FWT: the mean score on a task just before it is learnt, minus that of an untrained network."""
    forgetting: list[float]
    """F_j of all tasks but the last: the best score it ever had before the end, minus the one at the end."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def retention(scores: Sequence[Sequence[float]] | np.ndarray, untrained: Sequence[float] | None = None) -> Retention:
    """The figures of a matrix (T, T); `untrained` (T,) are the scores before anything was learnt, for FWT.

    Raises `InputError` for anything but a square of finite numbers.
    """
    matrix = np.asarray(scores, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.isfinite(matrix).all():
        raise InputError(f"scores: shape {matrix.shape}; expected a finite square, row i after learning task i")
    count = len(matrix)
    if untrained is not None and len(untrained) != count:
        raise InputError(f"untrained: {len(untrained)} scores for {count} tasks")
    last = matrix[-1]
    if count < 2:
        return Retention(float(last.mean()), None, None, [])
    best = matrix[:-1, :-1].max(0)
    ahead = np.diag(matrix, 1)
    forward = None if untrained is None else float((ahead - np.asarray(untrained, dtype=float)[1:]).mean())
    return Retention(
        accuracy=float(last.mean()),
        backward=float((last - np.diag(matrix))[:-1].mean()),
        forward=forward,
        forgetting=(best - last[:-1]).tolist(),
    )


def relative_rise(before: float | np.ndarray, after: float | np.ndarray) -> np.ndarray:
    """(after − before) / |before| of a loss: 0.1 is a loss a tenth higher. Raises `InputError` for a loss of 0."""
    first = np.asarray(before, dtype=float)
    if not np.isfinite(first).all() or (first == 0).any():
        raise InputError(f"the held-out loss before adaptation is {before}; a relative rise needs one that is not 0")
    return (np.asarray(after, dtype=float) - first) / np.abs(first)


def recoverable(old: np.ndarray, new: np.ndarray, seed: int = 0, penalty: float = 1e-3) -> float:
    """The share of the old features' variance that a linear map of the new ones gives back on other rows.

    Old (n, D) and new (n, E) features of the same rows; half of the rows fit the map (ridge), the other half judge it.
    1 where nothing is lost that a new linear head could not read, whatever rotation or scaling the features went
    through; 0 where nothing is left. Raises `InputError` for too few rows.
    """
    if len(old) != len(new) or len(old) < 2 * (new.shape[1] + 1):
        raise InputError(f"{len(old)} and {len(new)} rows; a linear map of {new.shape[1]} features needs twice as many")
    order = np.random.default_rng(seed).permutation(len(old))
    fit, judge = order[: len(order) // 2], order[len(order) // 2 :]
    centre, mean = new[fit].mean(0), old[fit].mean(0)
    rows, wanted = (new[fit] - centre).astype(float), (old[fit] - mean).astype(float)
    gram = rows.T @ rows
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram) + 1e-12
    weights = np.linalg.solve(gram, rows.T @ wanted)
    left = np.square((new[judge] - centre) @ weights - (old[judge] - mean)).sum()
    return float(1 - left / np.square(old[judge] - old[judge].mean(0)).sum())
