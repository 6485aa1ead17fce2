"""Membership inference: from what models say of examples to a score of "this one was trained on".

φ (K, n) is the log-odds log(p / (1 − p)) that each of K models gives the true class of each of n examples; `member`
(K, n) says which model was trained on which. A target is one model, its references are others. Scores are higher for
members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.roc import auc

Variance = Literal["pooled", "each", "nig"]
"""One residual variance for all examples, one for each, or each shrunk towards all."""
TINY = 1e-12
"""A probability below this is rounding."""


def log_odds(log_p: np.ndarray) -> np.ndarray:
    """φ = log(p / (1 − p)) from log p, without cancellation (Carlini et al. 2022, arXiv 2112.03570); p and 1 − p count
    as `TINY` at least."""
    log_p = np.clip(np.asarray(log_p, dtype=float), np.log(TINY), -TINY)
    return log_p - np.log(-np.expm1(log_p))


def loss_threshold(losses: np.ndarray) -> np.ndarray:
    """Minus the loss (Yeom et al. 2018, arXiv 1709.01604): the attack that needs nothing but the model."""
    return -np.asarray(losses, dtype=float)


def calibrated_loss(losses: np.ndarray, references: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The mean loss (n,) of references (K, n) that never saw an example, less the target's: how much easier it is than
    it should be (Watson et al. 2022, arXiv 2111.08440). NaN where every reference saw it."""
    return _mean_where(np.asarray(references, dtype=float), ~member) - np.asarray(losses, dtype=float)


@dataclass(frozen=True)
class Side:
    """φ of the references that saw an example, or of those that did not: a predictive distribution an example."""

    mean: np.ndarray
    """(n,)."""
    scale: np.ndarray
    """(n,) deviation, or the scale of a Student-t."""
    freedom: np.ndarray | None = None
    """(n,) degrees of freedom of a Student-t; None: normal."""

    def log_density(self, phi: np.ndarray) -> np.ndarray:
        """log p(φ)."""
        if self.freedom is None:
            return np.asarray(stats.norm.logpdf(phi, self.mean, self.scale))
        return np.asarray(stats.t.logpdf(phi, self.freedom, self.mean, self.scale))

    def log_below(self, phi: np.ndarray) -> np.ndarray:
        """log P(Z ≤ φ)."""
        if self.freedom is None:
            return np.asarray(stats.norm.logcdf(phi, self.mean, self.scale))
        return np.asarray(stats.t.logcdf(phi, self.freedom, self.mean, self.scale))


def side(phi: np.ndarray, where: np.ndarray, variance: Variance = "nig") -> Side:
    """What references (K, n) say of each example, counting those at `where` (K, n).

    `pooled` is the *residual* variance, around each example's own mean: the spread between examples is no noise.
    Raises `InputError` where no example has two references to tell a variance from.
    """
    count = where.sum(0)
    mean = _mean_where(phi, where)
    squares = np.where(where, np.square(phi - mean), 0.0).sum(0)
    freedom = int(np.maximum(count - 1, 0).sum())
    if freedom < 1:
        raise InputError("membership: no example has two reference models of one kind; train more of them")
    pooled = max(float(squares.sum() / freedom), 1e-12)
    if variance == "pooled":
        return Side(mean, np.full(len(mean), np.sqrt(pooled)))
    if variance == "each":
        with np.errstate(invalid="ignore", divide="ignore"):
            return Side(mean, np.sqrt(np.maximum(np.where(count > 1, squares / (count - 1), np.nan), 1e-12)))
    return _shrunk(mean, squares, count, pooled)


def _shrunk(mean: np.ndarray, squares: np.ndarray, count: np.ndarray, pooled: float) -> Side:
    """Student-t predictive of a normal-inverse-gamma prior learnt from all examples (BaVarIA, 2603.11799).

    The prior's mean is the grand mean, its weight κ the ratio of variance within to variance between examples, its
    shape α by the spread of the examples' own variances, β so that the expected variance is the pooled one.
    """
    seen = count > 0
    centre = float(np.mean(mean[seen]))
    between = float(np.var(mean[seen])) - pooled * float(np.mean(1 / count[seen]))
    kappa = pooled / max(between, 1e-6 * pooled)
    alpha = _shape(squares, count, pooled)
    beta = pooled * (alpha - 1)
    gap = np.where(seen, mean - centre, 0.0)
    weight, shape = kappa + count, alpha + count / 2
    rate = beta + squares / 2 + kappa * count * gap**2 / (2 * weight)
    return Side(centre + count * gap / weight, np.sqrt(rate * (weight + 1) / (shape * weight)), 2 * shape)


def _shape(squares: np.ndarray, count: np.ndarray, pooled: float) -> float:
    """α of the inverse gamma that examples' variances follow, by the method of moments; large where they are alike."""
    enough = count > 1
    degrees = count[enough] - 1
    own = squares[enough] / degrees / pooled
    noise = float(np.mean(2 / degrees))
    excess = (float(np.var(own)) - noise) / (1 + noise)
    return float(np.clip(2 + 1 / max(excess, 1e-2), 2.1, 100.0))


def lira(phi: np.ndarray, references: np.ndarray, member: np.ndarray, variance: Variance = "nig") -> np.ndarray:
    """Online likelihood ratio (n,): log p(φ | in) − log p(φ | out) (Carlini et al. 2022, arXiv 2112.03570)."""
    inside, outside = (side(references, where, variance) for where in (member, ~member))
    return inside.log_density(phi) - outside.log_density(phi)


def lira_offline(phi: np.ndarray, references: np.ndarray, member: np.ndarray, variance: Variance = "nig") -> np.ndarray:
    """Offline score (n,): log P(Z ≤ φ) for Z of models that did not see the example, so one-sided."""
    return side(references, ~member, variance).log_below(phi)


def rmia(
    p: np.ndarray,
    references: np.ndarray,
    member: np.ndarray,
    population: np.ndarray,
    population_references: np.ndarray,
    *,
    a: float | None = None,
    gamma: float = 1.0,
) -> np.ndarray:
    """RMIA (n,): the share of population examples z with [p(x|θ)/p(x)] / [p(z|θ)/p(z)] > γ (Zarifzadeh et al. 2024).

    `p` (n,) and `references` (K, n) are probabilities of the true class; `population` (m,) and
    `population_references` (K, m) those of a third split that no model saw. Online (`a` None) p(x) is the mean of the
    references that saw x and of those that did not; offline it is ½ ((1 + a) p̄_out + 1 − a), for x and z alike.
    """
    outside = _mean_where(references, ~member)
    alike = population_references.mean(0)
    if a is None:
        base = (outside + _mean_where(references, member)) / 2
    else:
        base, alike = _from_outside(outside, a), _from_outside(alike, a)
    tiny = np.finfo(float).tiny
    ratio = p / np.maximum(base, tiny)
    others = np.sort(population / np.maximum(alike, tiny))
    share = np.searchsorted(others, ratio / gamma, side="left") / len(others)
    return np.where(np.isnan(ratio), np.nan, share)


def _from_outside(outside: np.ndarray, a: float) -> np.ndarray:
    return np.asarray(((1 + a) * outside + 1 - a) / 2)


def tune_a(
    references: np.ndarray,
    member: np.ndarray,
    population_references: np.ndarray,
    grid: Sequence[float] = (0.0, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0),
) -> float:
    """The `a` of the grid with the best mean AUC when each reference is attacked with the others: no target is used."""

    def one(a: float, k: int) -> float:
        rest = np.arange(len(references)) != k
        score = rmia(
            references[k], references[rest], member[rest], population_references[k], population_references[rest], a=a
        )
        return auc(score, member[k])

    if len(references) < 3:
        raise InputError("RMIA: tuning a takes 3 reference models, or give a yourself")
    return max(grid, key=lambda a: np.mean([one(a, k) for k in range(len(references))]))


Attack = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""φ (n,) of a target, φ (K, n) of references and their membership (K, n), to scores (n,)."""


def each_in_turn(phi: np.ndarray, member: np.ndarray, attack: Attack) -> np.ndarray:
    """(K, n) scores of every model as the target, with all others as its references."""
    places = np.arange(len(phi))
    return np.stack([attack(phi[k], phi[places != k], member[places != k]) for k in places])


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(n,) mean over the rows at `where`; NaN where there is none."""
    count = where.sum(0)
    total = np.where(where, values, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
