"""How well scores tell members from non-members: ROC curve, AUC, and the share caught at a low false-alarm rate.

An attack that is sure of a few members is a leak even where it is no better than chance on average, so the share of
members found at a false-alarm rate of 1 % or less counts most (Carlini et al. 2022, arXiv 2112.03570).
Scores may be of any shape; the higher, the more a member.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.finding import Series

EXPECTED = 10
"""A false-alarm rate is reported where at least so many false alarms are expected at it: 0.1 % takes 10,000."""
OFFERED = (0.001, 0.01, 0.1)


@dataclass(frozen=True)
class Roc:
    """The curve from (0, 0) to (1, 1): what is caught and what is falsely called, threshold by threshold."""

    fpr: np.ndarray
    """(t,) share of non-members with a score at or above the threshold, ascending."""
    tpr: np.ndarray
    """(t,) share of members."""
    thresholds: np.ndarray
    """(t,) descending; the first is +∞, where nothing is called a member."""


@dataclass(frozen=True)
class Rate:
    """The share of members caught at the highest threshold-wise false-alarm rate that does not exceed the one asked."""

    tpr: float
    low: float
    high: float
    """Clopper–Pearson interval of the share caught, for independent examples."""
    fpr: float
    """The false-alarm rate that was met."""
    fpr_low: float
    fpr_high: float
    threshold: float


def roc(scores: np.ndarray, member: np.ndarray) -> Roc:
    """The whole curve; equal scores make one step. Raises `InputError` where either kind is missing."""
    scores, member = _flat(scores, member)
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], member[order]
    last = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    caught, called = np.cumsum(hits)[last], np.cumsum(~hits)[last]
    start = np.zeros(1)
    return Roc(
        np.concatenate([start, called / (~member).sum()]),
        np.concatenate([start, caught / member.sum()]),
        np.concatenate([[np.inf], sorted_scores[last]]),
    )


def auc(scores: np.ndarray, member: np.ndarray) -> float:
    """P(a member scores above a non-member), ties counting half: Mann and Whitney's statistic."""
    scores, member = _flat(scores, member)
    inside, outside = int(member.sum()), int((~member).sum())
    ranks = stats.rankdata(scores)
    return float((ranks[member].sum() - inside * (inside + 1) / 2) / (inside * outside))


def auc_interval(scores: np.ndarray, member: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """An interval of the AUC for independent examples, by the variance of DeLong et al. 1988."""
    scores, member = _flat(scores, member)
    inside, outside = scores[member], scores[~member]
    both = stats.rankdata(np.concatenate([inside, outside]))
    above = (both[: len(inside)] - stats.rankdata(inside)) / len(outside)
    below = 1 - (both[len(inside) :] - stats.rankdata(outside)) / len(inside)
    variance = sum(np.var(v, ddof=1) / len(v) if len(v) > 1 else np.inf for v in (above, below))
    reach = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance)
    return max(0.0, float(above.mean() - reach)), min(1.0, float(above.mean() + reach))


def tpr_at(scores: np.ndarray, member: np.ndarray, fpr: float = 0.01, level: float = 0.95) -> Rate:
    """The share of members caught at a false-alarm rate, with exact intervals.

    Raises `InputError` where fewer than ten false alarms are expected: with 1,000 non-members the rate behind
    "0.1 %" is anything from 0.0025 % to 0.56 %.
    """
    scores, member = _flat(scores, member)
    outside = int((~member).sum())
    check_rate(outside, fpr)
    return rate_at(scores, member, fpr, level)


def rate_at(scores: np.ndarray, member: np.ndarray, fpr: float, level: float = 0.95) -> Rate:
    """`tpr_at` without asking whether there are enough non-members."""
    scores, member = _flat(scores, member)
    curve = roc(scores, member)
    place = int(np.searchsorted(curve.fpr, fpr + 1e-12, side="right")) - 1
    inside, outside = int(member.sum()), int((~member).sum())
    caught, called = round(curve.tpr[place] * inside), round(curve.fpr[place] * outside)
    low, high = clopper_pearson(caught, inside, level)
    fpr_low, fpr_high = clopper_pearson(called, outside, level)
    return Rate(caught / inside, low, high, called / outside, fpr_low, fpr_high, float(curve.thresholds[place]))


def share_caught(scores: np.ndarray, member: np.ndarray, fpr: float) -> float:
    """`rate_at(…).tpr` alone, without a curve: the share of members above the highest non-members but a few."""
    scores, member = _flat(scores, member)
    outside = scores[~member]
    allowed = int(fpr * len(outside) + 1e-9)
    if allowed >= len(outside):
        return 1.0
    place = len(outside) - 1 - allowed
    return float(np.mean(scores[member] > np.partition(outside, place)[place]))


def check_rate(nonmembers: int, fpr: float) -> None:
    """Refuse a false-alarm rate that so many non-members cannot tell; says which rate they can."""
    if nonmembers * fpr >= EXPECTED * (1 - 1e-9):
        return
    fit = [f"{rate:.1%}" for rate in OFFERED if nonmembers * rate >= EXPECTED]
    offer = f"; with {nonmembers} the lowest is {fit[0]}" if fit else ""
    needed = f"{int(np.ceil(EXPECTED / fpr - 1e-9)):,}"
    raise InputError(f"a false-alarm rate of {fpr:.1%} takes {needed} non-members, found {nonmembers}{offer}")


def clopper_pearson(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson 1934)."""
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(stats.beta.ppf(tail, count, of - count + 1))
    high = 1.0 if count == of else float(stats.beta.ppf(1 - tail, count + 1, of - count))
    return low, high


def over_examples(
    scores: np.ndarray,
    member: np.ndarray,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 300,
) -> tuple[float, float]:
    """Bootstrap interval of a statistic of scores (K, n): K models attacked on the same n examples, which are drawn.

    One example's K scores are kept together, as they depend on each other. Scores that are NaN are left out.
    """
    n = scores.shape[1]
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, n, n)
        values.append(statistic(scores[:, drawn], member[:, drawn]))
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def curve_series(name: str, curve: Roc, floor: float, points: int = 60) -> Series:
    """The curve from a false-alarm rate `floor` up, as a few points for logarithmic axes."""
    rates = np.geomspace(floor, 1, points)
    at = np.searchsorted(curve.fpr, rates + 1e-12, side="right") - 1
    return Series(name, rates.tolist(), curve.tpr[at].tolist())


def _flat(scores: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both flat, unknown scores left out."""
    scores, member = np.asarray(scores, dtype=float).ravel(), np.asarray(member, dtype=bool).ravel()
    if len(scores) != len(member):
        raise InputError(f"{len(scores)} scores but {len(member)} memberships; one each is needed")
    known = ~np.isnan(scores)
    scores, member = scores[known], member[known]
    if member.all() or not member.any():
        raise InputError("membership scores: both members and non-members are needed")
    return scores, member
