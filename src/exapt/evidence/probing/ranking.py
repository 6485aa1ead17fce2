"""Which dimensions hold a factor: dimensions ranked by difference of means, by information, or by an L1 path.

Gurnee et al. 2023 (arXiv 2305.01610) rank neurons so before sparse probing. Ranking sees training rows only: a ranking
that saw the test rows would pick dimensions by their luck there.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Ranking = Literal["difference", "information", "l1"]
RANKINGS: tuple[Ranking, ...] = ("difference", "information", "l1")
BINS = 10
PATH = 30
"""Penalties on the L1 path, geometric from where nothing enters to a hundredth of it."""


def rank(features: np.ndarray, factor: np.ndarray, by: Ranking = "difference") -> np.ndarray:
    """(D,) the dimensions of training features (n, D), the most telling of the classes (n,) first; ties keep order."""
    known = factor >= 0
    x, y = np.asarray(features, dtype=np.float64)[known], factor[known]
    spread = x.std(0)
    z = (x - x.mean(0)) / np.where(spread > 0, spread, 1.0)
    values = {"difference": mean_difference, "information": information, "l1": entry}[by](z, y)
    return np.argsort(-values, kind="stable")


def mean_difference(standardised: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(D,) the largest, over classes, |mean inside − mean outside| of standardised features (n, D)."""
    hot = one_hot(factor)
    inside, outside = hot.sum(0), (1 - hot).sum(0)
    seen = (inside > 0) & (outside > 0)
    hot, inside, outside = hot[:, seen], inside[seen], outside[seen]
    differences = hot.T @ standardised / inside[:, None] - (1 - hot).T @ standardised / outside[:, None]
    return np.abs(differences).max(0, initial=0.0)


def information(standardised: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(D,) mutual information in nats between each dimension, cut at its tenths, and the class."""
    hot = one_hot(factor)
    found = np.zeros(standardised.shape[1])
    for d, column in enumerate(standardised.T):
        cuts = np.unique(np.quantile(column, np.arange(1, BINS) / BINS))
        joint = one_hot(np.searchsorted(cuts, column, side="right")).T @ hot / len(column)
        alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        there = joint > 0
        found[d] = (joint[there] * np.log(joint[there] / alone[there])).sum()
    return found


def entry(standardised: np.ndarray, factor: np.ndarray, steps: int = 100) -> np.ndarray:
    """(D,) how early each dimension enters an L1 path of logistic regression, and with what weight among equals.

    With more than two classes a dimension's weights enter together (group lasso; Yuan & Lin 2006), so that the path
    counts dimensions. Solved by FISTA (Beck & Teboulle 2009) from the largest penalty down, each from the one before.
    """
    hot = one_hot(factor)
    n, rate = len(hot), 2.0 / max(float(np.linalg.norm(standardised, 2)) ** 2 / len(hot), 1e-12)
    start = standardised.T @ (hot - hot.mean(0)) / n
    top = float(np.linalg.norm(start, axis=1).max())
    weights, found = np.zeros_like(start), np.zeros(len(start))
    if top == 0:
        return found
    for place, penalty in enumerate(top * np.geomspace(1, 0.01, PATH)):
        weights = _fista(standardised, hot, weights, penalty, rate, steps)
        size = np.linalg.norm(weights, axis=1)
        found = np.where((found == 0) & (size > 0), PATH - place + size / (1 + size), found)
    return found


def one_hot(classes: np.ndarray) -> np.ndarray:
    """(n, C) float."""
    return np.eye(int(classes.max()) + 1)[classes]


def _fista(x: np.ndarray, hot: np.ndarray, start: np.ndarray, penalty: float, rate: float, steps: int) -> np.ndarray:
    """Weights (D, C) that minimise the mean cross entropy + penalty Σ_d ‖w_d‖; the intercept is refitted as it goes."""
    weights, ahead, momentum = start, start, 1.0
    intercept = np.log(np.maximum(hot.mean(0), 1e-12))
    for _ in range(steps):
        error = _softmax(x @ ahead + intercept) - hot
        intercept = intercept - 2 * error.mean(0)
        moved = ahead - rate * (x.T @ error) / len(x)
        size = np.linalg.norm(moved, axis=1, keepdims=True)
        new = moved * np.maximum(1 - rate * penalty / np.maximum(size, 1e-30), 0)
        later = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead, weights, momentum = new + (momentum - 1) / later * (new - weights), new, later
    return weights


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
