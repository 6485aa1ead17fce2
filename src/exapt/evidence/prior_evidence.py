"""The precision of a prior, chosen from data: by the evidence, or by K-fold cross-validation.

The evidence of y = X w + ε under w ~ N(w0, α⁻¹ I) needs one singular value decomposition. Its maximum over α and σ² is
the fixed point that MacKay 1992 and LogME (You et al. 2021, arXiv 2102.11005) iterate: γ = Σ s/(s+λ), α = γ/‖m − w0‖²,
σ² = ‖r‖²/(n − γ), λ = ασ². Here σ² is profiled out and λ searched on a grid and refined, so that neither n < p, nor a
start without any error (α → ∞), nor a fit without residual can make an iteration run away.
Shapes: n labels, p features, L penalties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from exapt.errors import InputError

SPAN = 1e8
"""Penalties from the mean of the spectrum over this to the mean times this are looked at."""
FEWEST = 8


@dataclass(frozen=True)
class Projected:
    """A linear problem around a start, reduced to what its evidence needs."""

    spectrum: np.ndarray
    """(k,) the eigenvalues s of XᵀX that are not zero."""
    along: np.ndarray
    """(k,) uᵀ(y − X w0) for the left singular vectors u."""
    across: float
    """The squared length of the residual that no w can reach."""
    n: int
    directions: np.ndarray
    """(k, p) right singular vectors."""
    start: np.ndarray

    @property
    def scale(self) -> float:
        """The mean eigenvalue over what the features span."""
        return float(self.spectrum.mean())

    def weights(self, penalty: float) -> np.ndarray:
        """(p,) the ridge solution towards the start."""
        return self.start + (np.sqrt(self.spectrum) * self.along / (self.spectrum + penalty)) @ self.directions

    def noise2(self, penalties: np.ndarray) -> np.ndarray:
        """(L,) the σ² of highest evidence at each penalty."""
        kept = penalties[:, None] / (penalties[:, None] + self.spectrum)
        least = 1e-12 * (self.across + (self.along**2).sum()) + 1e-300  # y = X w0 exactly leaves nothing to divide by
        return np.maximum(self.across + kept @ self.along**2, least) / self.n

    def log_evidence(self, penalties: float | np.ndarray) -> np.ndarray:
        """(L,) log p(y | λ) with σ² at its best."""
        grid = np.atleast_1d(np.asarray(penalties, dtype=float))
        volume = np.log1p(self.spectrum / grid[:, None]).sum(1)
        return -0.5 * (self.n * (np.log(2 * np.pi * self.noise2(grid)) + 1) + volume)


@dataclass(frozen=True)
class Chosen:
    """A prior's precision, as the data have it."""

    precision: float
    """α; infinite where the start is as good as the data can tell."""
    noise: float
    """σ."""
    penalty: float
    """λ = ασ²."""
    low: float
    high: float
    """The 90 % profile-likelihood interval of λ; 0 or infinite where the data do not bound it."""
    effective: float
    """γ, how many parameters the labels determine."""
    log_evidence: float
    weights: np.ndarray
    """(p,) the fit at this precision."""


def project(features: np.ndarray, targets: np.ndarray, start: np.ndarray | float = 0.0) -> Projected:
    """The problem of features (n, p) and targets (n,) around a start (p,).

    Raises `InputError` for unequal lengths, values that are not finite, and features that are all zero.
    """
    x, y = np.asarray(features, dtype=float), np.asarray(targets, dtype=float)
    w0 = np.broadcast_to(np.asarray(start, dtype=float), (x.shape[-1],))
    if x.ndim != 2 or y.shape != (len(x),):
        raise InputError(f"prior: features of shape {x.shape}, targets {y.shape}; expected (n, p) and (n,)")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(w0).all()):
        raise InputError("prior: features, targets or start hold values that are not finite")
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    there = singular > max(1e-10 * singular[0], 1e-300)
    if not there.any():
        raise InputError("prior: every feature is zero")
    residual = y - x @ w0
    along = left.T[there] @ residual
    across = ((residual - left[:, there] @ along) ** 2).sum() if there.sum() < len(x) else 0.0
    return Projected(singular[there] ** 2, along, float(across), len(x), right[there], w0)


def choose_by_evidence(problem: Projected, confidence: float = 0.9) -> Chosen:
    """The precision of highest evidence. Raises `InputError` for fewer than 8 labels."""
    if problem.n < FEWEST:
        raise InputError(f"prior: {problem.n} labels say nothing of a precision; use {FEWEST} or more")
    grid = problem.scale * np.geomspace(1 / SPAN, SPAN, 400)
    seen = problem.log_evidence(grid)
    best = int(seen.argmax())
    penalty = grid[best]
    if 0 < best < len(grid) - 1:
        found = optimize.minimize_scalar(
            lambda log: -problem.log_evidence(np.exp(log))[0],
            bounds=(np.log(grid[best - 1]), np.log(grid[best + 1])),
            method="bounded",
            options={"xatol": 1e-9},
        )
        penalty = float(np.exp(found.x))
    top = float(problem.log_evidence(penalty)[0])
    low, high = _profile(grid, seen, top - stats.chi2.ppf(confidence, 1) / 2)
    unbounded = best == len(grid) - 1
    noise2 = float(problem.noise2(np.array([penalty]))[0])
    effective = float((problem.spectrum / (problem.spectrum + penalty)).sum())
    penalty = np.inf if unbounded else penalty
    weights = problem.start if unbounded else problem.weights(penalty)
    return Chosen(penalty / noise2, noise2**0.5, penalty, low, high, effective, top, weights)


def _profile(grid: np.ndarray, seen: np.ndarray, floor: float) -> tuple[float, float]:
    """The ends of the penalties whose log evidence stands above a floor; 0 and infinity beyond the grid's ends."""
    inside = np.flatnonzero(seen >= floor)
    if not len(inside):  # the maximum lies between two grid points
        inside = np.array([int(seen.argmax())])
    first, last = inside[0], inside[-1]
    low = 0.0 if first == 0 else _crossing(grid, seen, first - 1, floor)
    return low, np.inf if last == len(grid) - 1 else _crossing(grid, seen, last, floor)


def _crossing(grid: np.ndarray, seen: np.ndarray, place: int, floor: float) -> float:
    step = seen[place + 1] - seen[place]
    share = np.clip((floor - seen[place]) / step, 0, 1) if step else 0.5
    return float(grid[place] * (grid[place + 1] / grid[place]) ** share)


def choose_by_folds(
    features: np.ndarray,
    targets: np.ndarray,
    start: np.ndarray | float = 0.0,
    penalties: np.ndarray | None = None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[float, np.ndarray]:
    """The penalty λ of least squared error over K folds, and the mean error (L,) of each penalty.

    Raises `InputError` for fewer labels than folds. The default grid is 41 penalties around the mean eigenvalue.
    """
    x, y = np.asarray(features, dtype=float), np.asarray(targets, dtype=float)
    whole = project(x, y, start)
    if not 2 <= folds <= len(x) or len(x) < 3:
        raise InputError(f"prior: {folds} folds of {len(x)} labels; valid: 2 to {len(x)}")
    grid = whole.scale * np.geomspace(1e-4, 1e4, 41) if penalties is None else np.asarray(penalties, dtype=float)
    order = np.random.default_rng(seed).permutation(len(x))
    total = np.zeros(len(grid))
    for out in np.array_split(order, folds):
        kept = np.setdiff1d(order, out)
        part = project(x[kept], y[kept], start)
        fitted = np.stack([part.weights(float(penalty)) for penalty in grid])
        total += ((y[out] - fitted @ x[out].T) ** 2).sum(1)
    return float(grid[total.argmin()]), total / len(x)
