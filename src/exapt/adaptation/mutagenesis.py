"""In-silico mutagenesis: every letter of a sequence put in the place of every other, and what the answer then is.

Model-free (Alipanahi et al. 2015, doi 10.1038/nbt.3300): it takes any fitted model, a network or a baseline. Shapes:
n sequences of L elements, A letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from exapt.domains.base import Dataset
from exapt.domains.stores import TokenStore

Score = Callable[[Dataset], np.ndarray]
"""Examples to one number each (n,)."""
CHUNK = 8192
"""Mutants scored at once."""


def mutants(score: Score, ids: np.ndarray, letters: Sequence[int]) -> np.ndarray:
    """(n, L, A) the score of each sequence of `ids` (n, L) with each letter (A,) at each place, all else as it is."""
    count, length = ids.shape
    found = np.repeat(scored(score, ids)[:, None], length * len(letters), 1).reshape(count, length, len(letters))
    # a letter that stands there already is the sequence itself, and is not scored again
    row, place, letter = np.nonzero(ids[:, :, None] != np.asarray(letters))
    for start in range(0, len(row), CHUNK):
        part = slice(start, start + CHUNK)
        changed = ids[row[part]]
        changed[np.arange(len(changed)), place[part]] = np.asarray(letters)[letter[part]]
        found[row[part], place[part], letter[part]] = scored(score, changed)
    return found


def support(found: np.ndarray, ids: np.ndarray, letters: Sequence[int]) -> np.ndarray:
    """(n, L) how much higher the score is with the letter there than with the others on average; NaN where unknown."""
    own = ids[:, :, None] == np.asarray(letters)
    here = np.where(own, found, 0.0).sum(2)
    others = np.where(own, 0.0, found).sum(2) / (len(letters) - 1)
    return np.asarray(np.where(own.any(2), here - others, np.nan))


def scored(score: Score, ids: np.ndarray) -> np.ndarray:
    """(n,) the score of sequences of one length (n, L)."""
    lengths = np.full(len(ids), ids.shape[1])
    store = TokenStore(np.ascontiguousarray(ids).reshape(-1), lengths)
    return np.asarray(score(Dataset(store, np.arange(len(ids)))), dtype=np.float64)
