"""How many of the likeliest pairs of a chain are contacts. Shapes: n chains, P pairs in the order of `pairs`."""

from __future__ import annotations

from typing import Any

import numpy as np

from exapt.tasks.pairs import RANGES, in_range, length_of, pair_places

TOPS = {"P@L": 1, "P@L/2": 2, "P@L/5": 5}
"""The share of the chain's length that is looked at, as a divisor."""
DRAWS = 1000


def precision_at(scores: np.ndarray, truth: np.ndarray, name: str = "long", divisor: int = 1) -> float:
    """The share of contacts among the L / `divisor` best-scored pairs (P,) of a range; NaN where no contact is known.

    L counts the residues that any known pair has. Pairs of truth −1 are left out; a score that is not finite is last.
    Of equal scores at the end of the list as many count as there is room for, each by the share of contacts among them:
    what drawing among them would give in the mean.
    """
    known = (truth >= 0) & in_range(length_of(len(truth)), name)
    right = truth[known] == 1
    if not right.any():
        return float("nan")
    seen = np.where(np.isfinite(scores[known]), scores[known], -np.inf)
    wanted = min(len(seen), max(1, residues(truth) // divisor))
    last = np.partition(seen, len(seen) - wanted)[len(seen) - wanted]
    above, equal = seen > last, seen == last
    return float((right[above].sum() + (wanted - above.sum()) * right[equal].mean()) / wanted)


def residues(truth: np.ndarray) -> int:
    """How many residues of a chain stand in a known pair (P,)."""
    first, second = pair_places(length_of(len(truth)))
    known = truth >= 0
    return len(np.unique(np.concatenate([first[known], second[known]])))


def each(scores: np.ndarray, truth: np.ndarray, name: str, divisor: int) -> np.ndarray:
    """(n,) the precision of every chain; scores (n, P') may be narrower or wider than truth (n, P)."""
    width = truth.shape[1]
    filled = np.full(truth.shape, -np.inf)
    filled[:, : scores.shape[1]] = scores[:, :width]
    rows = zip(filled, truth, strict=True)
    return np.array([precision_at(*_own(s, t), name, divisor) for s, t in rows])


def _own(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A chain's pairs without the filling after them."""
    known = np.flatnonzero(truth >= 0)
    last = int(pair_places(length_of(len(truth)))[1][known[-1]]) if len(known) else 0
    size = last * (last + 1) // 2
    return scores[:size], truth[:size]


def mean_with_interval(values: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Mean over chains, with the 90 % percentile bootstrap over chains, and how many had contacts in the range."""
    there = values[np.isfinite(values)]
    if not len(there):
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    rng = np.random.default_rng(seed)
    means = there[rng.integers(len(there), size=(DRAWS, len(there)))].mean(1)
    low, high = np.quantile(means, [0.05, 0.95])
    return {"mean": float(there.mean()), "low": float(low), "high": float(high), "n": len(there)}


def table(scores: np.ndarray, truth: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Precision at L, L/2 and L/5 for every range."""
    return {
        f"{top} {name}": mean_with_interval(each(scores, truth, name, divisor), seed)
        for name in RANGES
        for top, divisor in TOPS.items()
    }
