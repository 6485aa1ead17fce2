"""The strength a/σ of a task's signal in real features, without optimism, and the learning curve it predicts.

Two classes with means ±a along the best direction and noise σ are a/σ apart from their midpoint; half the Mahalanobis
distance between them. Shapes: n examples, D features, K classes, m labels.

The prediction is for regularised linear discriminants, which a linear probe with its penalty chosen well is close to:
classes are normal with one covariance Σ, and learning from m labels has two costs. The means are off by Σ·K/m (Raudys
and Young 2004, J. Multivariate Analysis 89). The inverse of the sample covariance plus a penalty acts like (Σ + κ)⁻¹,
with noise larger by 1/(1 − df₂/m), df₂ = tr Σ²(Σ + κ)⁻², for every κ with tr Σ(Σ + κ)⁻¹ < m (Dobriban and Wager 2018,
arXiv 1507.03003; Elkhalil et al. 2020, arXiv 1711.00382). Accuracy is the best over κ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from exapt.errors import InputError

FEWEST = 20
"""Examples of each class, so that folds hold some of it."""
KAPPAS = np.geomspace(1e-3, 1e2, 16)
"""Times the mean eigenvalue of Σ."""


@dataclass(frozen=True)
class Strength:
    """a/σ of the classes against the rest, averaged, with what an interval needs."""

    value: float
    low: float
    high: float
    draws: np.ndarray
    """(R,) the same from resampled examples."""


@dataclass(frozen=True)
class Gaussians:
    """Classes as normal clouds with one covariance, in its eigenbasis."""

    means: np.ndarray
    """(K, D), their spread corrected for the noise of finitely many examples."""
    spectrum: np.ndarray
    """(D,) eigenvalues of Σ."""
    shares: np.ndarray
    """(K,) of the classes."""


def held_out_scores(features: np.ndarray, classes: np.ndarray, *, folds: int = 5, seed: int = 0) -> np.ndarray:
    """(n, K) scores of each class against the rest by linear discriminants fitted without the example's fold.

    Each fold's scores are scaled to unit noise. The covariance is shrunk as Ledoit and Wolf 2004 say. Raises
    `InputError` where a class has fewer than 20 examples.
    """
    x, y = _checked(features, classes)
    fold = _folds(y, folds, seed)
    scores = np.empty((len(y), y.max() + 1))
    for out in range(folds):
        kept = fold != out
        means, covariance = _moments(x[kept], y[kept])
        for k in range(scores.shape[1]):
            rest = x[kept][y[kept] != k].mean(0)
            spread = covariance + _between(means, y[kept], k)
            direction = np.linalg.solve(spread, means[k] - rest)
            projected = x[fold == out] @ direction
            scores[fold == out, k] = projected / np.sqrt(direction @ spread @ direction)
    return scores


def held_out_accuracy(features: np.ndarray, classes: np.ndarray, *, folds: int = 5, seed: int = 0) -> float:
    """The share of examples that discriminants fitted without their fold put into the right class."""
    x, y = _checked(features, classes)
    fold = _folds(y, folds, seed)
    right = np.empty(len(y), dtype=bool)
    for out in range(folds):
        means, covariance = _moments(x[fold != out], y[fold != out])
        towards = np.linalg.solve(covariance, means.T)
        scores = x[fold == out] @ towards - (means.T * towards).sum(0) / 2
        right[fold == out] = scores.argmax(1) == y[fold == out]
    return float(right.mean())


def calibrate(model: Gaussians, accuracy: float, labels: int, seed: int = 0) -> Gaussians:
    """The model with its means pulled together (or apart) until m labels predict an accuracy that was measured.

    Real classes are no normal clouds of one shape; this takes one number from them, by bisection.
    """
    middle = model.shares @ model.means
    low, high = 0.2, 2.0
    for _ in range(8):
        factor = (low + high) / 2
        tried = replace(model, means=middle + factor * (model.means - middle))
        enough = predicted_accuracy(tried, labels, np.random.default_rng(seed)) > accuracy
        low, high = (low, factor) if enough else (factor, high)
    return tried


def strength(
    scores: np.ndarray, classes: np.ndarray, *, confidence: float = 0.9, resamples: int = 400, seed: int = 0
) -> Strength:
    """a/σ from held-out scores (n, K): half the distance of the means over the pooled spread, mean over classes.

    The interval resamples examples of each class, directions as they are. The same seed resamples the same examples, so
    that two representations' draws can be subtracted.
    """
    groups = [np.flatnonzero(classes == k) for k in range(scores.shape[1])]
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):
        draws[i] = _apart(scores, classes, np.concatenate([rng.choice(g, len(g)) for g in groups]))
    value = _apart(scores, classes, np.arange(len(classes)))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Strength(value, float(low), float(high), draws)


def fit_gaussians(features: np.ndarray, classes: np.ndarray) -> Gaussians:
    """The normal model of features (n, D): shrunk pooled covariance, and means pulled together until their spread is
    what is left without the noise of estimating them, direction by direction."""
    x, y = _checked(features, classes)
    means, covariance = _moments(x, y)
    spectrum, directions = np.linalg.eigh(covariance)
    spectrum = np.maximum(spectrum, 1e-12 * spectrum.max())
    counts = np.bincount(y)
    turned = means @ directions
    middle = (counts / len(y)) @ turned
    off = turned - middle
    seen = (off**2).sum(0)
    noise = spectrum * ((1 / counts).sum() - len(counts) / len(y))
    kept = np.sqrt(np.maximum(0, 1 - noise / np.maximum(seen, 1e-300)))
    return Gaussians(middle + kept * off, spectrum, counts / len(y))


def binary_accuracy(model: Gaussians, labels: float) -> float:
    """Expected accuracy of two balanced classes learnt from m labels, in closed form; the best over κ."""
    difference2 = (model.means[1] - model.means[0]) ** 2
    s = model.spectrum
    found = [0.5]
    for kappa, inflation in _penalties(s, labels):
        inverse = 1 / (s + kappa)
        signal = (difference2 * inverse).sum() / 2
        noise = (difference2 * s * inverse**2).sum() + 4 / labels * (s**2 * inverse**2).sum()
        noise = noise * inflation + (difference2 * s * inverse**2).sum() / labels
        found.append(float(special.ndtr(signal / np.sqrt(max(noise, 1e-300)))))
    return max(found)


def predicted_accuracy(
    model: Gaussians, labels: int, rng: np.random.Generator, *, repeats: int = 30, tests: int = 200
) -> float:
    """Expected accuracy of K classes learnt from m labels in their shares, by drawing means and test points.

    The same law as `binary_accuracy`, which it equals for two balanced classes up to its own noise.
    """
    k, d = model.means.shape
    counts = np.maximum(labels * model.shares, 1e-9)
    penalties = _penalties(model.spectrum, labels)
    right = np.zeros(len(penalties))
    for _ in range(repeats):
        learnt = model.means + rng.standard_normal((k, d)) * np.sqrt(model.spectrum / counts[:, None])
        truth = rng.choice(k, tests, p=model.shares)
        noise = rng.standard_normal((tests, d)) * np.sqrt(model.spectrum)
        for i, (kappa, inflation) in enumerate(penalties):
            scaled = learnt / (model.spectrum + kappa)
            centre = model.means[truth] + np.sqrt(inflation) * noise
            scores = centre @ scaled.T - (learnt * scaled).sum(1) / 2
            right[i] += (scores.argmax(1) == truth).mean()
    return float(right.max() / repeats) if len(penalties) else float(model.shares.max())


def labels_to_reach(model: Gaussians, target: float, most: int, rng: np.random.Generator) -> int | None:
    """The fewest labels on a grid (half as many again each) with which the prediction reaches a target; None beyond."""
    labels = 2 * len(model.shares)
    while labels <= most:
        if predicted_accuracy(model, labels, rng) >= target:
            return labels
        labels = int(np.ceil(labels * 1.25))
    return None


def _penalties(spectrum: np.ndarray, labels: float) -> list[tuple[float, float]]:
    """κ that m labels allow, each with the factor by which it inflates noise."""
    found = []
    for kappa in spectrum.mean() * KAPPAS:
        share = spectrum / (spectrum + kappa)
        if share.sum() < labels and (share**2).sum() < labels:
            found.append((float(kappa), float(1 / (1 - (share**2).sum() / labels))))
    return found


def _folds(classes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(n,) the fold of each example; every class is spread evenly over them."""
    order = np.argsort(classes + np.random.default_rng(seed).random(len(classes)), kind="stable")
    fold = np.empty(len(classes), dtype=int)
    fold[order] = np.arange(len(classes)) % folds
    return fold


def _apart(scores: np.ndarray, classes: np.ndarray, rows: np.ndarray) -> float:
    picked, y = scores[rows], classes[rows]
    ones = range(1, 2) if scores.shape[1] == 2 else range(scores.shape[1])
    found = []
    for k in ones:
        inside, outside = picked[y == k, k], picked[y != k, k]
        pooled = (inside.var() * len(inside) + outside.var() * len(outside)) / (len(y) - 2)
        found.append((inside.mean() - outside.mean()) / 2 / np.sqrt(pooled))
    return float(np.mean(found))


def _moments(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class means (K, D) and the shrunk covariance (D, D) within classes."""
    from sklearn.covariance import ledoit_wolf

    means = np.stack([x[y == k].mean(0) for k in range(y.max() + 1)])
    covariance, _ = ledoit_wolf(x - means[y], assume_centered=True)
    freedom = len(y) / max(len(y) - len(means), 1)
    return means, covariance * freedom + 1e-9 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def _between(means: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """How the other classes' means spread: noise to whoever must tell class k from the rest."""
    counts = np.bincount(y)[np.arange(len(means)) != k]
    others = np.delete(means, k, axis=0)
    off = others - (counts / counts.sum()) @ others
    spread: np.ndarray = (off * counts[:, None]).T @ off / len(y)
    return spread


def _checked(features: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(features, dtype=float), np.asarray(classes)
    if x.ndim != 2 or y.shape != (len(x),):
        raise InputError(f"signal: features of shape {x.shape}, classes {y.shape}; expected (n, D) and (n,)")
    if not np.isfinite(x).all():
        raise InputError("signal: features hold values that are not finite")
    counts = np.bincount(y) if len(y) and y.min() >= 0 else np.zeros(1, dtype=int)
    if len(counts) < 2 or counts.min() < FEWEST:
        raise InputError(
            f"signal: {int(counts.min())} labelled examples in the smallest class; needs two classes or more of "
            f"{FEWEST} each"
        )
    return x, y
