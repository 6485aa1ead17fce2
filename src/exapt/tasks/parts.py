"""Dividing examples between two sides: in like shares of every stratum, and without tearing groups apart.

Shapes: n examples, S strata, G groups.
"""

from __future__ import annotations

import numpy as np

TRIES = 20
"""Orders of the groups tried; the best division is kept."""


def divide(strata: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) True on the smaller side: of every stratum its share, within one example; of two and more, one a side."""
    chosen = np.zeros(len(strata), dtype=bool)
    kinds, counts = np.unique(strata, return_counts=True)
    for kind, quota in zip(kinds, quotas(counts, share), strict=True):
        places = np.flatnonzero(strata == kind)
        chosen[rng.permutation(places)[:quota]] = True
    return chosen


def quotas(counts: np.ndarray, share: float) -> np.ndarray:
    """(S,) how many of each stratum (S,) go to the smaller side: rounded so that the total is right too."""
    exact = counts * share
    taken = np.floor(exact).astype(np.int64)
    left = int(np.floor(exact.sum() + 0.5)) - int(taken.sum())
    order = np.argsort(taken - exact, kind="stable")
    taken[order[:left]] += 1
    return np.where(counts > 1, np.clip(taken, 1, counts - 1), np.minimum(taken, counts - 1))


def divide_groups(strata: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) True on the smaller side, whole groups only: the strata's shares as near as a greedy search comes.

    Groups are passed in random order, each joins where that brings the strata nearer their shares; of several orders
    the best is kept, and one that leaves a stratum on one side only counts as far worse (worst if the larger lacks it).
    """
    _, group = np.unique(groups, return_inverse=True)
    _, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((group.max() + 1, stratum.max() + 1))
    np.add.at(counts, (group, stratum), 1)
    tries = max(1, min(TRIES, 20_000 // len(counts)))
    found = [_greedy(counts, share, rng.permutation(len(counts))) for _ in range(tries)]
    best = min(found, key=lambda side: _distance(counts, side, share))
    return best[group]


def _greedy(counts: np.ndarray, share: float, order: np.ndarray) -> np.ndarray:
    total = counts.sum(0)
    scale = np.append(total, counts.sum())
    rows = np.column_stack([counts, counts.sum(1)]) / scale
    gap = np.full(len(scale), share)
    side = np.zeros(len(counts), dtype=bool)
    for g in order:
        if float(((gap - rows[g]) ** 2).sum()) < float((gap**2).sum()):
            side[g] = True
            gap = gap - rows[g]
    if not side.any():
        side[np.argmin(counts.sum(1))] = True
    return side


def _distance(counts: np.ndarray, side: np.ndarray, share: float) -> float:
    smaller, total = counts[side].sum(0), counts.sum(0)
    uneven = float(((smaller / total - share) ** 2).sum() + (smaller.sum() / total.sum() - share) ** 2)
    return uneven + 10 * int((smaller == 0).sum()) + 1000 * int((smaller == total).sum())


def interleave(strata: np.ndarray, rng: np.random.Generator, each_first: bool, balanced: bool = False) -> np.ndarray:
    """An order of n examples in which every beginning holds the strata in about their shares.

    With `each_first` it opens with one example of each stratum; `balanced` goes on like that, one of each in turn, as
    long as a stratum has more.
    """
    key = np.empty(len(strata))
    for kind in np.unique(strata):
        places = rng.permutation(np.flatnonzero(strata == kind))
        turn = np.arange(len(places)) + rng.random(len(places))
        key[places] = turn if balanced else turn / len(places)
        if each_first:
            key[places[0]] -= 1
    return np.argsort(key, kind="stable")
