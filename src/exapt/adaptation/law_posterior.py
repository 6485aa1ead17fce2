"""A power law, a smooth residual and noise, all Gaussian in the logarithm: every unknown size averaged over.

log y = φ(x)ᵀβ + g(x) + ε, where φ(x) = (1, log x) in x's regime, β ~ N(m, S), g a Gaussian process with a squared
exponential kernel and ε noise. What is not known of it (how far exponents may move from the source's, how large the
residual is, its length, the noise) runs over a grid, and every point of the grid counts by its evidence (Rasmussen and
Williams 2006, §2.7 and §5.2). So nothing is tuned on held-out labels, and intervals hold what the sizes leave open.

Shapes: n labels, m new points, k quantities, P = R(1 + k) coefficients, G points of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor

CONSTANT = 3.0
"""Prior deviation of the logarithm of C: a factor of twenty."""
LEAST = 1e-3
"""Points of the grid that carry less of the evidence than this share are left out of predictions."""
STEPS = 35
"""Bisections for a quantile: to within 2⁻³⁵ of how far its parts lie apart."""


@dataclass(frozen=True)
class Grid:
    """What each unknown size may be; all in units of a logarithm but `lengths`."""

    moves: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    """Deviation by which an exponent may differ from the source's."""
    widths: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Deviation of an exponent that no source tells of."""
    residuals: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
    """Deviation of the residual."""
    lengths: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Over how many deviations of the inputs the residual stays alike."""
    noises: tuple[float, ...] = (0.005, 0.007, 0.01, 0.014, 0.02, 0.028, 0.04, 0.057, 0.08, 0.113, 0.16)
    """Deviation of the noise."""


@dataclass(frozen=True)
class Known:
    """What a source tells of the coefficients of one regime after another: see `backbones.powerlaw.Law`."""

    information: np.ndarray
    """(R, 1 + k, 1 + k); zeros: nothing."""
    moment: np.ndarray
    """(R, 1 + k)."""

    def prior(self, width: float, move: float, law: bool) -> tuple[np.ndarray, np.ndarray]:
        """Mean (P,) and covariance (P, P) of the coefficients; without a law the exponents are zero."""
        regimes, size = self.moment.shape
        mean, covariance = np.zeros((regimes, size)), np.zeros((regimes * size, regimes * size))
        plain = np.diag([CONSTANT**-2, *[width**-2] * (size - 1)])
        for r in range(regimes):
            at = slice(r * size, (r + 1) * size)
            inverse = np.linalg.inv(self.information[r] + plain)
            mean[r] = inverse @ self.moment[r]
            block = inverse + np.diag([CONSTANT**2, *[move**2] * (size - 1)])
            covariance[at, at] = block if law else np.diag([CONSTANT**2, *[0.0] * (size - 1)])
            mean[r, 1:] *= law
        return mean.reshape(-1), covariance


@dataclass(frozen=True)
class Point:
    """One point of the grid."""

    move: float
    width: float
    residual: float
    length: float
    noise: float
    offset: float
    """How much of the source's own residual counts: 0 or 1."""


LEAST_SQUARES = Point(move=0.0, width=30.0, residual=0.0, length=1.0, noise=1e-3, offset=0.0)
"""A prior so wide, and noise so small, that only the labels count."""


@dataclass(frozen=True)
class Rows:
    """Inputs of some points."""

    regimes: np.ndarray
    """(n,) int64."""
    logs: np.ndarray
    """(n, k)."""
    offset: np.ndarray
    """(n,) the source's own residual."""

    def some(self, places: np.ndarray) -> Rows:
        """The rows at some places."""
        return Rows(self.regimes[places], self.logs[places], self.offset[places])

    def design(self, regimes: int) -> np.ndarray:
        """(n, P) φ: one and the logarithms, in the columns of each row's regime."""
        rows = np.column_stack([np.ones(len(self.logs)), self.logs])
        return (np.eye(regimes)[self.regimes][:, :, None] * rows[:, None, :]).reshape(len(rows), -1)


@dataclass(frozen=True)
class Posterior:
    """What labels leave of the grid: points, their weights, and the labels."""

    known: Known
    points: list[Point]
    weights: np.ndarray
    """(G,) shares of the evidence."""
    rows: Rows
    targets: np.ndarray
    """(n,) logarithms."""
    scale: np.ndarray
    """(k,) deviations of the inputs, the unit of lengths."""
    law: bool

    def on(self, rows: Rows, targets: np.ndarray) -> Posterior:
        """The same grid with these labels."""
        return replace(self, rows=rows, targets=targets)

    def predict(self, new: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (G, m) of the logarithm of new values, noise included, for every point of the grid."""
        fresh = new.design(len(self.known.moment))
        found = [self._at(point, new, fresh) for point in self.points]
        return np.stack([mean for mean, _ in found]), np.stack([spread for _, spread in found])

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (P,) of C's logarithm and the exponents, over the whole grid."""
        means, squares = [], []
        for point in self.points:
            mean, covariance = self.known.prior(point.width, point.move, self.law)
            cross = self.design @ covariance
            kept, solved = self._solve(point, mean, cross, cross)
            means.append(mean + cross.T @ solved)
            squares.append(np.diag(covariance) - (kept**2).sum(0) + means[-1] ** 2)
        middle = self.weights @ np.stack(means)
        return middle, np.sqrt(np.maximum(self.weights @ np.stack(squares) - middle**2, 0))

    @cached_property
    def design(self) -> np.ndarray:
        """(n, P) φ of the labels."""
        return self.rows.design(len(self.known.moment))

    def _at(self, point: Point, new: Rows, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What `predict` says of one point; `fresh` (m, P) is φ of the new rows."""
        mean, covariance = self.known.prior(point.width, point.move, self.law)
        linear = self.design @ covariance
        cross = linear @ fresh.T + kernel(self.rows.logs, new.logs, self.scale, point)
        kept, solved = self._solve(point, mean, linear, cross)
        own = np.einsum("mp,pq,mq->m", fresh, covariance, fresh) + point.residual**2
        spread = np.sqrt(np.maximum(own - (kept**2).sum(0), 0) + point.noise**2)
        return point.offset * new.offset + fresh @ mean + cross.T @ solved, spread

    def _solve(
        self, point: Point, mean: np.ndarray, linear: np.ndarray, cross: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """L⁻¹ cross and K⁻¹ (y − prior), K = L Lᵀ the covariance of the labels; `linear` (n, P) is φ S."""
        total = linear @ self.design.T + kernel(self.rows.logs, self.rows.logs, self.scale, point)
        lower = np.linalg.cholesky(total + point.noise**2 * np.eye(len(total)))
        left = self.targets - point.offset * self.rows.offset - self.design @ mean
        half = solve_triangular(lower, left, lower=True)
        return solve_triangular(lower, cross, lower=True), solve_triangular(lower, half, lower=True, trans="T")


def posterior(
    known: Known, rows: Rows, targets: np.ndarray, grid: Grid, *, law: bool = True, offset: bool = False
) -> Posterior:
    """The grid's points that matter for n labels, with their shares of the evidence.

    `law`: whether there are exponents at all; `offset`: whether the source's own residual may count.
    """
    spread = rows.logs.std(0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    points, evidence = [], []
    told = bool(np.abs(known.information).sum())
    moves = grid.moves if told else (0.0,)
    design = rows.design(len(known.moment))
    for width, move in product(grid.widths if law else (1.0,), moves if law else (0.0,)):
        mean, covariance = known.prior(width, move, law)
        linear = design @ covariance @ design.T
        centred = targets - design @ mean
        for share, residual, length in product((0.0, 1.0) if offset else (0.0,), grid.residuals, grid.lengths):
            if residual == 0 and length != grid.lengths[0]:
                continue
            some = [Point(move, width, residual, length, noise, share) for noise in grid.noises]
            smooth = kernel(rows.logs, rows.logs, scale, some[0])
            points += some
            evidence += log_evidence(linear + smooth, centred - share * rows.offset, grid.noises)
    # without a residual its length means nothing: one point stands for all lengths
    shares = np.array([len(grid.lengths) if p.residual == 0 else 1 for p in points])
    log = np.array(evidence) + np.log(shares)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    kept = weights >= LEAST * weights.max()
    chosen = [point for point, keep in zip(points, kept, strict=True) if keep]
    return Posterior(known, chosen, weights[kept] / weights[kept].sum(), rows, targets, scale, law)


def log_evidence(covariance: np.ndarray, left: np.ndarray, noises: tuple[float, ...]) -> list[float]:
    """log N(left; 0, covariance + s² I) less its constant, for every noise s: one eigendecomposition for all."""
    values, vectors = np.linalg.eigh(covariance)
    turned = (vectors.T @ left) ** 2
    found = []
    for noise in noises:
        total = np.maximum(values, 0) + noise**2
        found.append(float(-0.5 * (np.log(total) + turned / total).sum()))
    return found


def kernel(first: np.ndarray, second: np.ndarray, scale: np.ndarray, point: Point) -> np.ndarray:
    """(n, m) squared exponential covariance of the residual."""
    if point.residual == 0:
        return np.zeros((len(first), len(second)))
    a, b = first / (scale * point.length), second / (scale * point.length)
    far = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(point.residual**2 * np.exp(-0.5 * np.maximum(far, 0)))


def mixture_quantile(share: float, weights: np.ndarray, means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """(m,) where a mixture of normal laws, with means and deviations (G, m), has so much below it: by bisection.

    It lies between the least and the largest of its parts' own quantiles.
    """
    weigh, centre, wide = (torch.from_numpy(np.asarray(v, dtype=np.float64)) for v in (weights, means, spreads))
    own = centre + wide * torch.special.ndtri(torch.tensor(share, dtype=torch.float64))
    low, high = own.amin(0), own.amax(0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        below = _below(middle, weigh, centre, wide) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return np.asarray(((low + high) / 2).numpy())


def _below(at: Tensor, weights: Tensor, means: Tensor, spreads: Tensor) -> Tensor:
    return weights @ torch.special.ndtr((at - means) / spreads)
