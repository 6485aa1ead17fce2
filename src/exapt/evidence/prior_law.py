"""The prior's law on measured learning curves: what a start is worth if it acts like labels seen before.

The risk of the best prior, 1/(n/(pσ²) + 1/D²), is v/(n + k) with v = pσ² and k = v/D²: a start is k labels. With a
floor that no label removes, both arms are floor + v/(n + k) with the same floor and v, and pre-training is worth
Δn = k − k₀ labels at every n (additive). The rival with as many parameters multiplies: floor + v/(ρn + k₀).
Shapes: S seeds, m budgets, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.amount import seed_draws
from exapt.evidence.shape import errors_from, two_nonnegative

FEWEST_BUDGETS, FEWEST_SEEDS = 3, 3
STEPS = 48
"""Grid points of each nonlinear parameter, before the refinement around the best."""
REACH = 30.0
"""Starts worth up to so many times the largest budget are tried, and multipliers up to so much."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to both mean curves, for each of R resamples; each (R,)."""

    floor: np.ndarray
    slope: np.ndarray
    """v = pσ², in error × labels."""
    scratch: np.ndarray
    """k₀, labels that the scratch start is worth."""
    other: np.ndarray
    """k of the pre-trained start, or ρ of the multiplicative law."""
    loss: np.ndarray
    """Mean square of the residuals."""
    multiplies: bool

    def curves(self, budgets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Errors (R, m) of scratch and pre-trained."""
        n = np.asarray(budgets, dtype=float)
        floor, slope, k0, other = (part[:, None] for part in (self.floor, self.slope, self.scratch, self.other))
        shifted = other * n + k0 if self.multiplies else n + other
        return floor + slope / (n + k0), floor + slope / shifted


@dataclass(frozen=True)
class PriorLaw:
    """Both laws, and what they say of the start."""

    budgets: np.ndarray
    additive: Fit
    multiplicative: Fit
    worth: float
    """Δn by the additive law."""
    low: float
    high: float
    """Its 90 % interval."""
    ratio: float
    ratio_low: float
    ratio_high: float
    additive_better: float
    """The share of resamples that the additive law fits better."""
    doubts: tuple[str, ...]
    """Why Δn is not identified; empty where it is."""
    ceiling: float

    @property
    def better(self) -> str:
        """Which law fits better in nine resamples of seeds out of ten; 'undecided' otherwise."""
        share = self.additive_better
        return "additive" if share >= 0.9 else "multiplicative" if share <= 0.1 else "undecided"

    @property
    def verdict(self) -> str:
        """HELPS, HARMS or UNDECIDED by the interval of Δn; NOT IDENTIFIED where the curves do not hold it."""
        if self.doubts:
            return "NOT IDENTIFIED"
        return "HELPS" if self.low > 0 else "HARMS" if self.high < 0 else "UNDECIDED"


def prior_law(
    budgets: Sequence[int] | np.ndarray,
    scratch: np.ndarray,
    pretrained: np.ndarray,
    *,
    confidence: float = 0.9,
    resamples: int = 200,
    seed: int = 0,
) -> PriorLaw:
    """Fit both laws to scores (S, m) of two arms over the same seeds and rising budgets.

    Intervals are Student's t around a jackknife that leaves out one seed at a time: with 3 to 8 seeds it covers 85 to
    93 % where 90 % is asked, a bootstrap of seeds 78 to 85 %. Budgets weigh the same: weights from so few seeds cost 4
    points of coverage. `resamples` of whole seeds say which law fits better. Raises `InputError` for fewer than 3
    budgets (two curves of m points carry four parameters) or 3 seeds, and for shapes that differ.
    """
    n = _checked(budgets, scratch, pretrained)
    errors = errors_from(scratch, pretrained)
    both = np.concatenate([errors(scratch), errors(pretrained)], axis=1)
    seeds = len(both)
    left_out = (both.sum(0) - both) / (seeds - 1)
    drawn = both[seed_draws(seeds, resamples, seed)].mean(1)
    samples = np.concatenate([both.mean(0)[None], left_out, drawn])
    additive, multiplicative = (fit_law(n, samples, multiplies=m) for m in (False, True))
    worth = _jackknife((additive.other - additive.scratch)[: seeds + 1], confidence)
    ratio = np.exp(_jackknife(np.log(multiplicative.other[: seeds + 1]), confidence))
    return PriorLaw(
        budgets=n,
        additive=additive,
        multiplicative=multiplicative,
        worth=float(worth[0]),
        low=float(worth[1]),
        high=float(worth[2]),
        ratio=float(ratio[0]),
        ratio_low=float(ratio[1]),
        ratio_high=float(ratio[2]),
        additive_better=float((additive.loss <= multiplicative.loss)[seeds + 1 :].mean()),
        doubts=tuple(_doubts(additive, n)),
        ceiling=errors.ceiling,
    )


def _jackknife(values: np.ndarray, confidence: float) -> np.ndarray:
    """Estimate and t-interval (3,) from values (1 + S,): of all seeds, then without each (Efron, Tibshirani 1993)."""
    seeds = len(values) - 1
    se = np.sqrt((seeds - 1) * values[1:].var())
    half = stats.t.ppf((1 + confidence) / 2, seeds - 1) * se
    return values[0] + half * np.array([0, -1, 1])


def fit_law(budgets: np.ndarray, errors: np.ndarray, *, multiplies: bool) -> Fit:
    """Least squares on errors (R, 2m), scratch before pre-trained: floor and v follow from k₀ and k (or ρ).

    The two are searched on a grid, then on a finer one around each resample's best: no local minimum can trap the fit.
    """
    farthest = REACH * budgets[-1]
    known = np.concatenate([[0.0], np.geomspace(budgets[0] / REACH, farthest, STEPS - 1)])
    others = np.geomspace(1 / REACH, REACH, 2 * STEPS + 1) if multiplies else known
    first, second = (part.ravel() for part in np.meshgrid(known, others, indexing="ij"))
    best = _search(budgets, errors, first, second, multiplies)
    return _refined(budgets, errors, best, multiplies, farthest)


def _search(n: np.ndarray, errors: np.ndarray, first: np.ndarray, second: np.ndarray, multiplies: bool) -> Fit:
    """The best of pairs (G,) of k₀ and k or ρ for errors (R, 2m)."""
    w = np.full(errors.shape[1], 1 / errors.shape[1])
    shifted = second[:, None] * n + first[:, None] if multiplies else n + second[:, None]
    basis = np.concatenate([1 / (n + first[:, None]), 1 / shifted], axis=1)
    floor, slope = two_nonnegative(basis, errors, w)
    residual = (w * errors**2).sum(-1)[:, None] + floor**2 + slope**2 * ((basis**2) @ w)
    residual += 2 * floor * slope * (basis @ w) - 2 * floor * (errors @ w)[:, None]
    residual -= 2 * slope * (errors @ (basis * w).T)
    at = residual.argmin(1)
    rows = np.arange(len(errors))
    return Fit(floor[rows, at], slope[rows, at], first[at], second[at], residual[rows, at], multiplies)


def _refined(n: np.ndarray, errors: np.ndarray, rough: Fit, multiplies: bool, farthest: float) -> Fit:
    """Each resample's fit on ever finer grids around its own best."""
    fits = []
    for row in range(len(errors)):
        fit = _joined([rough], slice(row, row + 1))
        for width in (1.35, 1.08, 1.015):
            step = width ** np.linspace(-1, 1, 9)
            first = np.minimum(np.maximum(fit.scratch[0], 1e-3 * n[0]) * step, farthest)
            second = np.maximum(fit.other[0], 0 if multiplies else 1e-3 * n[0]) * step
            one, other = (part.ravel() for part in np.meshgrid(first, second, indexing="ij"))
            finer = _search(n, errors[row : row + 1], one, other, multiplies)
            fit = finer if finer.loss[0] < fit.loss[0] else fit
        fits.append(fit)
    return _joined(fits, slice(None))


def _joined(fits: Sequence[Fit], rows: slice) -> Fit:
    """Some rows of each fit, one after the other."""
    parts = zip(*((f.floor, f.slope, f.scratch, f.other, f.loss) for f in fits), strict=True)
    floor, slope, scratch, other, loss = (np.concatenate([part[rows] for part in same]) for same in parts)
    return Fit(floor, slope, scratch, other, loss, fits[0].multiplies)


def _doubts(fit: Fit, n: np.ndarray) -> list[str]:
    """Signs that the curves do not hold the law's parameters."""
    said = []
    if fit.slope[0] == 0:
        said.append("the curves do not fall with labels")
    edge = 0.9 * REACH * n[-1]
    if max(fit.scratch[0], fit.other[0]) >= edge:
        said.append(f"the fit puts a start at more than {edge:,.0f} labels, the end of what was tried")
    far = np.mean((np.maximum(fit.scratch[1:], fit.other[1:]) >= edge) | (fit.slope[1:] == 0))
    if not said and far > 0.1:
        said.append(f"{100 * far:.0f} % of resampled fits run to the end of what was tried")
    return said


def _checked(budgets: Sequence[int] | np.ndarray, scratch: np.ndarray, pretrained: np.ndarray) -> np.ndarray:
    n = np.asarray(budgets, dtype=float)
    shapes = np.shape(scratch), np.shape(pretrained)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != len(n):
        raise InputError(f"prior: scores of shape {shapes[0]} and {shapes[1]}; expected (seeds, {len(n)}) twice")
    if len(n) < FEWEST_BUDGETS or shapes[0][0] < FEWEST_SEEDS:
        raise InputError(
            f"prior: {len(n)} budgets and {shapes[0][0]} seeds; the law has four parameters and needs "
            f"{FEWEST_BUDGETS} budgets and {FEWEST_SEEDS} seeds or more"
        )
    if not (np.diff(n) > 0).all() or n[0] < 1:
        raise InputError(f"prior: budgets {list(budgets)}; expected rising counts of labels, each once")
    return n
