"""Global alignment of two sequences of ids, and how alike they are.

Needleman & Wunsch 1970, with a linear gap cost; a row of the table at once. n and m elements.
"""

from __future__ import annotations

import numpy as np

MATCH, OTHER, GAP = 2, -1, -2
"""What a pair of equal elements adds, a pair of others, and an element without a partner."""


def aligned(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(k, 2) the places of `one` (n,) and of `other` (m,) that stand opposite each other in a best global alignment.

    Of several best ones, that which pairs elements rather than leaving gaps, from the end on.
    """
    table = _table(one, other)
    pairs, i, j = [], len(one), len(other)
    while i and j:
        if table[i, j] == table[i - 1, j - 1] + (MATCH if one[i - 1] == other[j - 1] else OTHER):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif table[i, j] == table[i - 1, j] + GAP:
            i -= 1
        else:
            j -= 1
    return np.array(pairs[::-1], dtype=np.int64).reshape(-1, 2)


def _table(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n + 1, m + 1) the best score of every pair of beginnings."""
    steps = GAP * np.arange(len(other) + 1)
    rows = [steps]
    for at, element in enumerate(one.tolist(), 1):
        above = rows[-1]
        best = above + GAP
        best[0] = GAP * at
        best[1:] = np.maximum(best[1:], above[:-1] + np.where(other == element, MATCH, OTHER))
        # a gap along the row: the best of all earlier places, each less the gaps from there
        rows.append(np.maximum.accumulate(best - steps) + steps)
    return np.stack(rows)


def identity(one: np.ndarray, other: np.ndarray) -> float:
    """Equal elements that stand opposite each other, as a share of the longer sequence; 1 for two empty ones.

    Sequences of one length whose plain comparison is at least half alike are not aligned.
    """
    longest = max(len(one), len(other))
    if not longest:
        return 1.0
    if len(one) == len(other):
        plain = float((one == other).mean())
        if plain >= 0.5:
            return plain
    pairs = aligned(one, other)
    return float((one[pairs[:, 0]] == other[pairs[:, 1]]).sum()) / longest
