"""Canaries: examples planted in the training data to measure how much of them a model gives away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from exapt.errors import InputError

MOST = 50.0
"""An ε beyond which nothing is told apart."""


def exposure(canaries: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """log₂ |R| − log₂ rank of canary scores (m,) among those of candidates R that might have been planted instead.

    From 0 to log₂ |R| bits (Carlini et al. 2019, arXiv 1802.08232); R counts the canary itself. A canary
    that nothing in R beats has rank 1; ties count against it. Higher scores are likelier.
    """
    reference = np.sort(np.asarray(reference, dtype=float))
    if not len(reference):
        raise InputError("exposure: needs candidates that were not planted to rank a canary among")
    above = len(reference) - np.searchsorted(reference, np.asarray(canaries, dtype=float), side="left")
    return np.asarray(np.log2(len(reference) + 1) - np.log2(above + 1))


def repeated(canaries: np.ndarray, times: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Places to train on with canary i inserted `times[i % len(times)]` times, and how often each is in (m,)."""
    often = np.resize(np.asarray(times, dtype=np.int64), len(canaries))
    return np.repeat(canaries, often), often


def one_run_p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float = 0.0) -> float:
    """P(so many right guesses or more) if training was (ε, δ)-DP (Steinke et al. 2023, arXiv 2305.08846).

    `canaries` m were each put in with probability ½; `guesses` r of them, fixed in advance, were guessed, `right` v.
    """
    if not 0 <= right <= guesses <= canaries or guesses == 0:
        raise InputError(f"one-run audit: {right} right of {guesses} guesses of {canaries} canaries is not possible")
    truthful = 1 / (1 + np.exp(-epsilon))
    beta = float(stats.binom.sf(right - 1, guesses, truthful))
    if delta == 0:
        return beta
    steps = np.arange(1, right + 1)
    sums = np.cumsum(stats.binom.pmf(right - steps, guesses, truthful))
    alpha = float(np.max(sums / steps)) if right else 0.0
    return min(1.0, beta + 2 * canaries * delta * alpha)


def epsilon_bound(canaries: int, guesses: int, right: int, delta: float = 0.0, level: float = 0.95) -> float:
    """The largest ε that so many right guesses rule out at this level: training was not (ε, δ)-DP below it."""
    wanted = 1 - level

    def over(epsilon: float) -> float:
        return one_run_p_value(canaries, guesses, right, epsilon, delta) - wanted

    if over(0.0) >= 0:
        return 0.0
    return float(brentq(over, 0.0, MOST, xtol=1e-9)) if over(MOST) > 0 else MOST


def one_run_guesses(scores: np.ndarray, member: np.ndarray, guesses: int) -> int:
    """How many of r guesses are right: the r/2 canaries with the highest scores are called in, the r/2 lowest out."""
    if guesses % 2 or not 0 < guesses <= len(scores):
        raise InputError(
            f"one-run audit: {guesses} guesses of {len(scores)} canaries; valid: even, and no more of them"
        )
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    half = guesses // 2
    return int(member[order[:half]].sum() + (~member[order[-half:]]).sum())
