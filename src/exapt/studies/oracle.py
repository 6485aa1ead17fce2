"""Measured sequences as an oracle: ridge regression on which letter stands where, and on pairs of places.

n sequences of one length, p features.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from scipy.stats import spearmanr

from exapt.errors import InputError

Key = tuple[tuple[int, int], ...]
"""A place with the id that stands there, or two of them."""
PENALTIES = np.logspace(-1, 4, 11)
PAIRED = 8
"""With at most so many places that vary, pairs of them are features too."""
HELD_OUT = 0.2
LEAST = 20
"""The fewest measurements."""


@dataclass(frozen=True)
class Oracle:
    """A regression that was fitted to measurements alone, with what it is worth on those held out."""

    seen: dict[Key, int]
    """The feature of each (place, id), or pair of them, that some measured sequence holds."""
    length: int
    places: tuple[int, ...]
    """Those that vary in the measurements."""
    wild: np.ndarray
    """(L,) the commonest id at each place."""
    regression: Any
    spearman: float
    """Rank correlation on the measurements held out; the regression returned is fitted to all."""
    held_out: int

    @classmethod
    def learn(cls, sequences: Sequence[np.ndarray], values: np.ndarray, seed: int = 0) -> Self:
        """From measured sequences; raises `InputError` for too few, or for different lengths."""
        if len(sequences) < LEAST:
            raise InputError(f"--judge: {len(sequences)} measured sequences; an oracle needs {LEAST} or more")
        lengths = sorted({len(sequence) for sequence in sequences})
        if len(lengths) > 1:
            raise InputError(
                f"--judge: measured sequences of {lengths[0]} to {lengths[-1]} letters; valid: all of one length"
            )
        letters = np.stack(sequences)
        places = tuple(np.flatnonzero((letters != letters[0]).any(0)).tolist())
        wild = np.array([np.bincount(column).argmax() for column in letters.T])
        order = np.random.default_rng(seed).permutation(len(letters))
        test, train = np.split(order, [max(2, round(HELD_OUT * len(order)))])
        seen = _features(letters[train], places)
        fitted = _fit(_design(letters[train], places, seen), values[train])
        guessed = fitted.predict(_design(letters[test], places, seen))
        rank = float(spearmanr(guessed, values[test]).statistic) if np.ptp(guessed) else 0.0
        seen = _features(letters, places)
        return cls(seen, lengths[0], places, wild, _fit(_design(letters, places, seen), values), rank, len(test))

    def scores(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """(m,) predicted values; NaN for a sequence of another length, which was never measured."""
        fit = [i for i, sequence in enumerate(sequences) if len(sequence) == self.length]
        out = np.full(len(sequences), np.nan)
        if fit:
            letters = np.stack([sequences[i] for i in fit])
            out[fit] = self.regression.predict(_design(letters, self.places, self.seen))
        return out

    def outside(self, sequences: Sequence[np.ndarray]) -> int:
        """How many sequences hold a letter where no measurement has it: the oracle knows nothing of these."""
        return sum(len(sequence) != self.length or self._unknown(sequence) for sequence in sequences)

    def _unknown(self, sequence: np.ndarray) -> bool:
        varied = any(((place, int(sequence[place])),) not in self.seen for place in self.places)
        rest = np.delete(np.arange(self.length), self.places)
        return varied or bool((sequence[rest] != self.wild[rest]).any())


def _keys(row: np.ndarray, places: Sequence[int]) -> list[Key]:
    single: list[Key] = [((place, int(row[place])),) for place in places]
    if len(places) > PAIRED:
        return single
    return single + [a + b for a, b in itertools.combinations(single, 2)]


def _features(letters: np.ndarray, places: Sequence[int]) -> dict[Key, int]:
    keys = dict.fromkeys(key for row in letters for key in _keys(row, places))
    return {key: at for at, key in enumerate(keys)}


def _design(letters: np.ndarray, places: Sequence[int], seen: dict[Key, int]) -> sp.csr_matrix:
    found = [(i, seen[key]) for i, row in enumerate(letters) for key in _keys(row, places) if key in seen]
    rows, columns = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(letters), len(seen)))


def _fit(features: sp.csr_matrix, values: np.ndarray) -> Any:
    """Ridge with the penalty that five folds like best."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(Ridge(), {"alpha": PENALTIES}, cv=5, scoring="neg_mean_squared_error")
    return search.fit(features, values).best_estimator_
