"""Disentanglement, completeness and informativeness (Eastwood & Williams 2018).

A matrix R (D, K) says how much each dimension matters for each factor. Disentanglement: does a dimension serve one
factor only? Completeness: does one dimension serve a factor alone? Informativeness: how well the factors are told.
Scores depend on the family of probes, so two are given, and numbers of unlike families are not to be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from exapt.evidence.probing.linear import Split

Family = Literal["trees", "lasso"]
FAMILIES: tuple[Family, ...] = ("trees", "lasso")


@dataclass(frozen=True)
class Disentanglement:
    """Scores in [0, 1]."""

    disentanglement: float | None
    """None for a single factor: there is nothing to be told apart from."""
    completeness: float | None
    """None for a single dimension."""
    informativeness: float
    """Mean test accuracy over factors."""
    importance: np.ndarray
    """(D, K), columns sum to 1 where a probe used anything."""


def disentanglement(
    features: np.ndarray, factors: np.ndarray, split: Split, family: Family = "trees", *, seed: int = 0, trees: int = 50
) -> Disentanglement:
    """DCI of features (n, D) for factors (n, K), each as class numbers with −1 where it is not known."""
    columns = [
        importance(features, factors[:, k], split, family, seed=seed, trees=trees) for k in range(factors.shape[1])
    ]
    matrix = np.stack([column for column, _ in columns], axis=1)
    d, c = from_importance(matrix)
    return Disentanglement(d, c, float(np.mean([score for _, score in columns])), matrix)


def from_importance(matrix: np.ndarray) -> tuple[float | None, float | None]:
    """Disentanglement Σ_d ρ_d (1 − H_K(P_d.)) and completeness mean_k (1 − H_D(P_.k)) of importances (D, K).

    ρ_d is a dimension's share of all importance. Factors that no dimension matters for have completeness 0.
    """
    dims, factors = matrix.shape
    rows, columns = matrix.sum(1), matrix.sum(0)
    total = matrix.sum()
    d = c = None
    if factors > 1:
        each = 1 - _entropy(matrix / np.maximum(rows, 1e-30)[:, None], factors)
        d = float((each * rows).sum() / total) if total else 0.0
    if dims > 1:
        c = float(np.where(columns > 0, 1 - _entropy((matrix / np.maximum(columns, 1e-30)).T, dims), 0.0).mean())
    return d, c


def importance(
    features: np.ndarray, factor: np.ndarray, split: Split, family: Family = "trees", *, seed: int = 0, trees: int = 50
) -> tuple[np.ndarray, float]:
    """How much each dimension (D,) matters for one factor, in shares, and the probe's test accuracy.

    `trees`: gradient boosting, every feature tried at every cut; a random forest's random choice of features smears
    importance over dimensions that say nothing. `lasso`: the absolute weights of an L1-penalised logistic regression.
    """
    train, test = (rows[factor[rows] >= 0] for rows in split)
    x, mean, spread = features[train], features[train].mean(0), features[train].std(0)
    scale = np.where(spread > 0, spread, 1.0)
    model = _boosted(trees, seed) if family == "trees" else _lasso(seed)
    if len(np.unique(factor[train])) < 2:
        return np.zeros(features.shape[1]), float((factor[test] == factor[train][0]).mean())
    model.fit((x - mean) / scale, factor[train])
    found = model.feature_importances_ if family == "trees" else np.abs(model.coef_).mean(0)
    score = float((model.predict((features[test] - mean) / scale) == factor[test]).mean())
    return np.asarray(found, dtype=float) / max(float(np.sum(found)), 1e-30), score


def _boosted(trees: int, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=trees, random_state=seed)


def _lasso(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(l1_ratio=1, C=0.1, solver="saga", max_iter=500, tol=1e-3, random_state=seed)


def _entropy(shares: np.ndarray, base: int) -> np.ndarray:
    """Entropy of each row in units of log `base`."""
    safe = np.where(shares > 0, shares, 1.0)
    entropies: np.ndarray = -(shares * np.log(safe)).sum(1) / np.log(base)
    return entropies
