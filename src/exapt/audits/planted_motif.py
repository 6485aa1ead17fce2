"""Sequences and models whose reading is known: a motif at one place, a motif anywhere, and composition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from exapt.audits.attribution import IDS, read
from exapt.audits.base import Trial
from exapt.domains.base import Dataset

MOTIF = np.array([IDS["ACGT".index(base)] for base in "TATAAT"])
LENGTH, PLACE, COUNT, RUNS = 40, 17, 40, 100


def sequences(rng: np.random.Generator, place: int | None, share: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Random sequences (n, L) and which hold the motif: at a place, anywhere (None), or nowhere (−1; these have more
    A and T instead)."""
    ids = rng.choice(IDS, size=(2 * COUNT, LENGTH), p=[share, 0.5 - share, 0.5 - share, share])
    positive = np.arange(2 * COUNT) < COUNT
    for row in ids[:COUNT]:
        if place == -1:
            row[rng.random(LENGTH) < 0.3] = IDS[3]
            continue
        at = ((rng.integers(LENGTH) if place is None else place) + np.arange(len(MOTIF))) % LENGTH
        row[at] = np.where(rng.random(len(MOTIF)) < 0.85, MOTIF, row[at])
    return ids, positive


def plain(dataset: Dataset) -> np.ndarray:
    """(n, L) the ids of sequences of one length."""
    return np.stack([dataset.store[int(row)] for row in dataset.rows])


def at_place(dataset: Dataset) -> np.ndarray:
    """How much of the motif stands at its place."""
    return np.asarray((plain(dataset)[:, PLACE : PLACE + len(MOTIF)] == MOTIF).sum(1), dtype=float)


def anywhere(dataset: Dataset) -> np.ndarray:
    """The largest part of the motif that stands anywhere; ends meet, so that every place is covered as often."""
    ids = plain(dataset)
    ring = np.concatenate([ids, ids[:, : len(MOTIF) - 1]], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(ring, len(MOTIF), axis=1)
    return np.asarray((windows == MOTIF).sum(2).max(1), dtype=float)


def composition(dataset: Dataset) -> np.ndarray:
    """The share of A and T."""
    return np.asarray(np.isin(plain(dataset), (IDS[0], IDS[3])).mean(1), dtype=float)


def trials(seed: int) -> list[Trial]:
    """The audit's own error rates."""
    return [
        _trial("a motif at one place is found, and only there", PLACE, at_place, "LOCALISED", 0.95, seed),
        _trial("a motif anywhere is flat", None, anywhere, "FLAT", 0.85, seed + 1),
        _trial("composition is flat", -1, composition, "FLAT", 0.85, seed + 2),
    ]


def _trial(
    what: str, place: int | None, score: Callable[[Dataset], np.ndarray], wanted: str, least: float, seed: int
) -> Trial:
    rng = np.random.default_rng(seed)
    right, inside = 0, []
    for run in range(RUNS):
        ids, positive = sequences(rng, place)
        found = read(score, ids, positive, {}, run).profile
        verdict = "LOCALISED" if found.p < 0.05 else "FLAT"
        there = np.flatnonzero(found.read)
        inside += list((there >= PLACE) & (there < PLACE + len(MOTIF)))
        right += verdict == wanted
    figures = {"places read that are the motif's": float(np.mean(inside))} if place == PLACE else {}
    return Trial(what, (wanted,), right, RUNS, least, figures)
