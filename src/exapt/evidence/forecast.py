"""How many labels each arm needs to reach a target score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from exapt.errors import InputError
from exapt.evidence.amount import Amount, amount, expanded_tail, seed_draws
from exapt.evidence.shape import curve_weights, errors_from, fit_power, isotonic, reach

BEYOND = 2.0
"""No curve is followed further than this many times the largest budget."""
PARAMETERS = 4
"""Budgets needed before a three-parameter curve is fitted at all."""


@dataclass(frozen=True)
class Need:
    """Labels one arm needs; `extrapolated` where the estimate lies beyond the budgets measured."""

    labels: Amount
    extrapolated: bool


@dataclass(frozen=True)
class Forecast:
    """Labels each arm needs to reach one target score."""

    target: float
    why: str
    arms: Mapping[str, Need]
    warnings: tuple[str, ...]


def forecast(
    budgets: np.ndarray,
    scores: Mapping[str, np.ndarray],
    control: str = "scratch",
    target: float | None = None,
    *,
    confidence: float = 0.9,
    resamples: int = 2000,
    seed: int = 0,
    ceiling: float | None = None,
) -> Forecast:
    """Labels needed by each arm (S, m) to reach a target score; by default the best mean score of the control.

    Within the budgets the isotonic curve is read off; beyond them the power law, to twice the largest budget at most
    and with a warning; further on the answer is 'at least'. Raises `InputError` for an unknown control.
    """
    if control not in scores:
        raise InputError(f"control arm '{control}' is not among the arms; valid: {', '.join(scores)}")
    errors = errors_from(*scores.values(), ceiling=ceiling)
    goal = float(np.mean(scores[control], axis=0).max()) if target is None else float(target)
    why = f"the best mean score of '{control}'" if target is None else "the target asked for"
    n, tail = np.asarray(budgets, float), expanded_tail(len(scores[control]), confidence)
    drawn = seed_draws(len(scores[control]), resamples, seed)
    arms = {name: _need(n, errors(arm), float(errors(np.array(goal))), drawn, tail) for name, arm in scores.items()}
    far = [name for name, need in arms.items() if need.extrapolated]
    said = f"Labels needed by {', '.join(far)} lie beyond the largest budget: the power law was followed to them."
    return Forecast(goal, why, arms, (said,) if far else ())


def _need(n: np.ndarray, curves: np.ndarray, goal: float, drawn: np.ndarray, tail: float) -> Need:
    """Labels at which the errors (S, m) of one arm meet the goal; `drawn` (resamples, S) are the seeds resampled."""
    samples = np.concatenate([curves.mean(axis=0)[None], curves[drawn].mean(axis=1)])
    labels = _reach_or_extrapolate(n, samples, np.full((len(samples), 1), goal), curve_weights(curves))[:, 0]
    farthest = n[-1] * (BEYOND if len(n) >= PARAMETERS else 1)
    return Need(amount(labels[0], labels[1:], n[0], farthest, tail), bool(n[-1] < labels[0] <= farthest))


def _reach_or_extrapolate(
    budgets: np.ndarray, samples: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    inside = reach(budgets, isotonic(samples), target)
    if len(budgets) < PARAMETERS:
        return inside
    beyond = np.maximum(fit_power(budgets, samples, weights).reach(target), budgets[-1])
    return np.where(np.isinf(inside), np.where(beyond > BEYOND * budgets[-1], np.inf, beyond), inside)
