"""What a comparison of a corpus with evaluation examples ends in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Pair(NamedTuple):
    """An evaluation example beside the record of the corpus that overlaps it most."""

    example: int
    record: int
    score: float
    how: str
    """'run' (a common run of units) or 'near' (similar as a whole)."""
    text: str
    """The example around the run, which stands in ⟦ ⟧."""
    found: str
    """The record around the run."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Overlap of E evaluation examples with a corpus; arrays are (E,)."""

    unit: str
    """What is counted: 'word', 'base', 'residue', 'token', 'picture' …"""
    n: int
    """Shortest common run that counts; 0 where only whole examples were compared."""
    length: np.ndarray
    """Units of each example, those that stand in boilerplate alone left out."""
    covered: np.ndarray
    """Units that lie in any common run, with whatever record."""
    longest: np.ndarray
    """Units of the longest common run with a single record."""
    record: np.ndarray
    """That record, counted from 0 in the order of the corpus; −1 where there is none."""
    place: np.ndarray
    """Where the run begins in the record, in units; −1 where there is none."""
    at: np.ndarray
    """Where the run begins in the example."""
    reverse: np.ndarray
    """Whether the run lies on the other strand."""
    undecidable: np.ndarray
    """Whether an example is too short (or all boilerplate) to say, and equals no record."""
    similarity: np.ndarray
    """Verified similarity to the most similar record as a whole, where that reached the threshold, else 0."""
    twin: np.ndarray
    """That record, or −1."""
    excerpts: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Example and record around the longest run, for the examples where it is long enough to be shown."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Records and units looked at, n-grams masked as boilerplate …"""

    def __len__(self) -> int:
        return len(self.length)

    @property
    def match(self) -> np.ndarray:
        """Longest common run as a share of the example: the score that separates best in ConTAM (arXiv 2411.03923)."""
        return np.divide(self.longest, self.length, out=np.zeros(len(self)), where=self.length > 0)

    @property
    def coverage(self) -> np.ndarray:
        """Units in any common run as a share of the example."""
        return np.divide(self.covered, self.length, out=np.zeros(len(self)), where=self.length > 0)

    @property
    def score(self) -> np.ndarray:
        """The larger of `match` and `similarity`; 0 where undecidable."""
        return np.maximum(np.minimum(self.match, 1.0), self.similarity)

    @property
    def source(self) -> np.ndarray:
        """The record behind `score`, or −1."""
        return np.where(self.similarity > self.match, self.twin, self.record)

    def overlapping(self, threshold: float = 0.2) -> np.ndarray:
        """Whether the score reaches a threshold."""
        return np.asarray(self.score >= threshold)

    def pairs(self, most: int = 20, threshold: float = 0.0) -> list[Pair]:
        """The pairs that overlap most, the worst first."""
        score, source = self.score, self.source
        order = np.argsort(-score, kind="stable")[:most]
        worst = [int(i) for i in order if score[i] > 0 and score[i] >= threshold]
        near = self.similarity > self.match
        return [
            Pair(i, int(source[i]), float(score[i]), "near" if near[i] else "run", *self.excerpts.get(i, ("", "")))
            for i in worst
        ]
