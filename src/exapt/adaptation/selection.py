"""Choose on validation: the best metric; ties, and what the metric cannot judge, go by the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Choice:
    """Which candidate was chosen, and on what grounds."""

    place: int
    by: str
    """`metric`, `loss` (the metric could not judge), `slack` (stronger than the best, and nearly as good), or
    `default` (nothing to judge by)."""


def choose(scores: Sequence[float], losses: Sequence[float], usable: bool = True, default: int = 0) -> Choice:
    """The candidate with the highest score, among equals the lowest loss, then the last.

    Candidates whose score and loss are not finite are out of the running. `usable` says whether the validation part
    lets the metric judge at all (a single class does not).
    """
    score, loss = np.asarray(scores, dtype=float), np.asarray(losses, dtype=float)
    if usable and np.isfinite(score).any():
        best = np.nanmax(np.where(np.isfinite(score), score, -np.inf))
        tied = np.flatnonzero(score >= best - 1e-9)
        return Choice(int(_lowest(loss, tied)), "metric")
    if np.isfinite(loss).any():
        return Choice(int(_lowest(loss, np.arange(len(loss)))), "loss")
    return Choice(default, "default")


def firmest(best: Choice, losses: Sequence[float], strengths: Sequence[float], slack: float) -> Choice:
    """The strongest candidate whose loss is at most `slack` (a share) above that of the best, else the best itself."""
    loss, strength = np.asarray(losses, dtype=float), np.asarray(strengths, dtype=float)
    near = np.flatnonzero((loss <= (1 + slack) * loss[best.place]) & (strength > strength[best.place]))
    if not len(near):
        return best
    return Choice(int(_lowest(loss, near[strength[near] == strength[near].max()])), "slack")


def _lowest(loss: np.ndarray, places: np.ndarray) -> int:
    """The place of the lowest loss; of equal ones the last, which is the simplest where penalties ascend."""
    values = np.where(np.isfinite(loss[places]), loss[places], np.inf)
    return places[len(places) - 1 - int(np.argmin(values[::-1]))]
