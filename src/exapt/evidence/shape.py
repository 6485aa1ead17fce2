"""The shape of a learning curve: errors that fall with labels, without a formula (isotonic) and with one (power law).

Shapes: m budgets, … any leading axes (bootstrap resamples). Everything is vectorised over the leading axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXPONENTS = np.linspace(0.05, 2.0, 79)
"""The grid of c; a and b then follow by least squares, so no local minimum can trap the fit."""


@dataclass(frozen=True)
class Errors:
    """How scores (higher is better) became errors (lower is better): error = ceiling − score."""

    ceiling: float
    how: str

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        return self.ceiling - np.asarray(scores, dtype=float)

    def score(self, error: float) -> float:
        """The score of an error."""
        return self.ceiling - error


def errors_from(*scores: np.ndarray, ceiling: float | None = None) -> Errors:
    """The natural ceiling of some scores: 1 for accuracy, AUC, R² …, 0 for negated errors; else made up, and said so.

    Without a natural ceiling it is the best score plus the range seen; the non-parametric answers hardly depend on it.
    """
    seen = np.concatenate([np.ravel(s) for s in scores]).astype(float)
    best, worst = float(seen.max()), float(seen.min())
    if ceiling is not None:
        return Errors(float(ceiling), f"error = {ceiling:g} − score")
    if best <= 0:
        return Errors(0.0, "error = −score")
    if best <= 1:
        return Errors(1.0, "error = 1 − score")
    top = best + max(best - worst, 1e-12)
    return Errors(top, f"error = {top:.4g} − score (the score has no upper limit; the best seen plus the range seen)")


def isotonic(errors: np.ndarray) -> np.ndarray:
    """The closest curve (…, m) that never rises, by least squares; the min–max form (Robertson et al. 1988, §1.4).

    fitted[k] = min over i ≤ k of the max over j ≥ k of mean(errors[i..j]).
    """
    e = np.asarray(errors, dtype=float)
    m = e.shape[-1]
    total = np.concatenate([np.zeros((*e.shape[:-1], 1)), np.cumsum(e, axis=-1)], axis=-1)
    i, j = np.meshgrid(np.arange(m), np.arange(m), indexing="ij")
    means = np.where(j >= i, total[..., j + 1] - total[..., i], -np.inf) / np.maximum(j - i + 1, 1)
    fitted = [means[..., : k + 1, k:].max(-1).min(-1) for k in range(m)]
    return np.stack(fitted, axis=-1)


def reach(budgets: np.ndarray, errors: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Labels at which a falling curve (…, m) first meets each target (…, k): (…, k).

    Between budgets the curve is read off straight in log labels and log error (straight in error where an error is
    not positive). A target above the whole curve gives 0, one below it gives infinity: censored, never extrapolated.
    """
    x = np.log(np.asarray(budgets, dtype=float))
    logarithmic = bool((errors > 0).all() and (target > 0).all())
    y, goal = (np.log(errors), np.log(target)) if logarithmic else (errors, target)
    above = (y[..., None, :] > goal[..., :, None] + 1e-12).sum(-1)
    right = np.clip(above, 1, y.shape[-1] - 1)
    y0 = np.take_along_axis(y, right - 1, -1)
    y1 = np.take_along_axis(y, right, -1)
    drop = np.where(y0 > y1, y0 - y1, 1.0)
    share = np.clip((y0 - goal) / drop, 0.0, 1.0)
    found = np.exp(x[right - 1] + share * (x[right] - x[right - 1]))
    found = np.where((above == 0) & (goal > y[..., :1] + 1e-12), 0.0, found)
    return np.where(above == y.shape[-1], np.inf, found)


@dataclass(frozen=True)
class PowerLaw:
    """error = a + b n^−c with a, b ≥ 0; each (…)."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Errors (…, k) at labels (k,)."""
        n = np.asarray(labels, dtype=float)
        return self.a[..., None] + self.b[..., None] * n ** -self.c[..., None]

    def reach(self, target: np.ndarray) -> np.ndarray:
        """Labels (…, k) at which the curve meets each target (…, k); infinity at or below the asymptote."""
        gap = np.asarray(target, dtype=float) - self.a[..., None]
        with np.errstate(divide="ignore", over="ignore"):
            ratio = np.where(gap > 0, self.b[..., None] / np.where(gap > 0, gap, 1.0), np.inf)
            return ratio ** (1 / self.c[..., None])


def fit_power(budgets: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> PowerLaw:
    """Weighted least squares of errors (…, m), non-negative in a and b, over the grid of exponents."""
    n = np.asarray(budgets, dtype=float)
    w = np.asarray(weights, dtype=float) / np.sum(weights)
    basis = n[None, :] ** -EXPONENTS[:, None]
    e = np.asarray(errors, dtype=float)
    a, b = two_nonnegative(basis, e, w)
    residual = e[..., None, :] - a[..., None] - b[..., None] * basis
    best = np.argmin((w * residual**2).sum(-1), axis=-1)[..., None]
    pick = [np.take_along_axis(part, best, -1)[..., 0] for part in (a, b)]
    return PowerLaw(pick[0], pick[1], EXPONENTS[best[..., 0]])


def two_nonnegative(basis: np.ndarray, e: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """min Σ w (e − a − b·basis)² over a, b ≥ 0, exactly: (…, C) each, for a basis (C, m)."""
    x_mean, e_mean = basis @ w, (e @ w)[..., None]
    cross = e @ (basis * w).T
    square = (basis**2) @ w
    b = (cross - x_mean * e_mean) / (square - x_mean**2)
    a = e_mean - b * x_mean
    a, b = np.where(b < 0, e_mean, a), np.maximum(b, 0)
    through_zero = np.maximum(cross / square, 0)
    negative = a < 0
    return np.where(negative, 0.0, a), np.where(negative, through_zero, b)


def curve_weights(errors: np.ndarray) -> np.ndarray:
    """1/se² of each budget's mean error (S, m); variances go half-way to their mean, as few seeds know them ill."""
    variance = np.asarray(errors, dtype=float).var(axis=0, ddof=1)
    steadied = (variance + variance.mean()) / 2
    return np.ones_like(steadied) if steadied.max() == 0 else 1 / np.maximum(steadied, 1e-6 * steadied.max())
