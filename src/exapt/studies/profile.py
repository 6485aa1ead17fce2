"""A family as a profile: which letter stands at which place, with pseudo-counts.

L places of the reference, K letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from exapt.domains.alignment import aligned

LEAST_ALIGNED = 0.5
"""A member that pairs a smaller share of the reference's places does not count."""


@dataclass(frozen=True)
class Profile:
    """log2 of how much likelier a letter is at a place than anywhere in the family (a position-specific score matrix).

    Frequencies are (count + √n · background) / (n + √n), with √n pseudo-counts of n members (Durbin et al. 1998, §5.6).
    It knows no pairs of places, and nothing of the network that it judges.
    """

    reference: np.ndarray
    """(L,) the ids that members and designs are aligned to."""
    table: np.ndarray
    """(L, K) bits; the first of the K ids is `first`."""
    first: int

    @classmethod
    def learn(cls, members: Sequence[np.ndarray], reference: np.ndarray, first: int, letters: int) -> Self:
        """From a family's members (n_i,), aligned to the reference."""
        counts = np.zeros((len(reference), letters))
        used = 0
        for member in members:
            pairs = _pairs(member, reference)
            if len(pairs) < LEAST_ALIGNED * len(reference):
                continue
            used += 1
            known = pairs[member[pairs[:, 0]] >= first]
            np.add.at(counts, (known[:, 1], member[known[:, 0]] - first), 1.0)
        background = (counts.sum(0) + 1) / (counts.sum() + letters)
        n = counts.sum(1, keepdims=True)
        weight = np.sqrt(max(1, used))
        return cls(reference, np.log2((counts + weight * background) / (n + weight) / background), first)

    def scores(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """(m,) bits of each sequence, summed over the places that it pairs with the reference."""
        return np.array([self._score(sequence) for sequence in sequences])

    def _score(self, sequence: np.ndarray) -> float:
        pairs = _pairs(sequence, self.reference)
        known = pairs[sequence[pairs[:, 0]] >= self.first]
        return float(self.table[known[:, 1], sequence[known[:, 0]] - self.first].sum())


def _pairs(sequence: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(k, 2) places opposite each other; sequences of the reference's length are taken as they stand."""
    if len(sequence) == len(reference):
        return np.stack([np.arange(len(reference))] * 2, axis=1)
    return aligned(sequence, reference)
