"""Pre-training as an informative prior: what a start at some distance from the truth is worth, in closed form.

A linear task y = X w* + ε with noise variance σ² is fitted by ridge regression towards a start w0,
ŵ = w0 + (XᵀX + λI)⁻¹ Xᵀ(y − X w0): the maximum a posteriori under the prior N(w0, α⁻¹ I), with λ = α σ² for a loss that
is *summed* over examples (for a mean over n of them the same prior is λ / n: a weight that ignores n changes it).
Shapes: p parameters, n labels, L penalties. Risk is E‖ŵ − w*‖². MacKay 1992 (Bayesian interpolation); for L2-SP, the
same prior in fine-tuning, Li, Grandvalet and Davoine 2018 (arXiv 1802.01483).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exapt.errors import InputError


@dataclass(frozen=True)
class Risk:
    """The two parts of a risk, at each penalty."""

    bias2: np.ndarray
    variance: np.ndarray

    @property
    def total(self) -> np.ndarray:
        return self.bias2 + self.variance


def rotated(design: np.ndarray, difference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spectrum s (p,) of XᵀX = V diag(s) Vᵀ for a design (n, p), and δ = Vᵀ(w0 − w*) (p,)."""
    spectrum, directions = np.linalg.eigh(design.T @ design)
    return np.maximum(spectrum, 0.0), directions.T @ difference


def ridge_risk(spectrum: np.ndarray, difference: np.ndarray, penalties: float | np.ndarray, noise: float = 1.0) -> Risk:
    """Bias² Σ λ²δᵢ²/(sᵢ+λ)² and variance Σ σ²sᵢ/(sᵢ+λ)² at penalties λ > 0, for s and δ of `rotated`; σ = `noise`.

    For a δ known only by its length D put δᵢ = D/√p: then it is the mean over directions.
    """
    penalty = np.asarray(penalties, dtype=float)[..., None]
    shrink = penalty / (spectrum + penalty)
    return Risk((shrink**2 * difference**2).sum(-1), noise**2 * (spectrum / (spectrum + penalty) ** 2).sum(-1))


def best_penalty(dimension: int, noise: float, distance: float) -> float:
    """λ* = pσ²/D², the best for any design when the direction of δ is unknown; infinite for a perfect start."""
    return dimension * noise**2 / distance**2 if distance else np.inf


def best_precision(dimension: int, distance: float) -> float:
    """α* = p/D², the precision of the prior whose draws lie at distance D; it does not depend on the noise."""
    return dimension / distance**2 if distance else np.inf


def best_risk(labels: float | np.ndarray, dimension: int, noise: float, distance: float) -> np.ndarray:
    """1 / (n/(pσ²) + 1/D²): the risk at the best penalty for an orthonormal design, XᵀX = nI."""
    n = np.asarray(labels, dtype=float)
    return 1 / (n / (dimension * noise**2) + 1 / distance**2) if distance else np.zeros_like(n)


def risk_per_label(labels: float | np.ndarray, dimension: int, noise: float, distance: float) -> np.ndarray:
    """d risk / dn = −risk²/(pσ²): how much risk one more label removes, most where little is known yet."""
    return -(best_risk(labels, dimension, noise, distance) ** 2) / (dimension * noise**2)


def worth(dimension: int, noise: float, distance: float, scratch_distance: float) -> float:
    """Δn = pσ²(1/D² − 1/D₀²): the labels a start at D is worth against one at D₀, the same at every n.

    Negative where D > D₀: the start is farther from the truth than nothing was, and transfer is negative.
    """
    return best_penalty(dimension, noise, distance) - best_penalty(dimension, noise, scratch_distance)


def hurts(distance: float, scratch_distance: float) -> bool:
    """Whether transfer is negative, D > D₀, with the penalty at its best for both."""
    return distance > scratch_distance


@dataclass(frozen=True)
class Simulated:
    """The mean risk (L,) over repeated noise, and its standard error."""

    risk: np.ndarray
    error: np.ndarray


def simulate_risk(
    design: np.ndarray,
    difference: np.ndarray,
    penalties: np.ndarray,
    noise: float,
    rng: np.random.Generator,
    repeats: int = 2000,
) -> Simulated:
    """The risk by fitting: noise drawn anew, the normal equations solved, ‖ŵ − w*‖² averaged.

    It shares nothing with the closed form but the data: X (n, p) and w0 − w* (p,). The truth is put at 0.
    """
    n, p = design.shape
    if len(difference) != p:
        raise InputError(f"prior: a start of {len(difference)} parameters for a design with {p} columns")
    drawn = noise * rng.standard_normal((n, repeats))
    residual = design.T @ (drawn - (design @ difference)[:, None])
    losses = np.empty((len(penalties), repeats))
    for row, penalty in enumerate(penalties):
        fitted = difference[:, None] + np.linalg.solve(design.T @ design + penalty * np.eye(p), residual)
        losses[row] = (fitted**2).sum(0)
    return Simulated(losses.mean(1), losses.std(1, ddof=1) / np.sqrt(repeats))
