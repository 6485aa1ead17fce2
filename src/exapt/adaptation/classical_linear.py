"""Logistic and ridge regression over wide, possibly sparse features, with scikit-learn, along a path of penalties."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from exapt.adaptation.linear import Kind

UNSEEN = -10.0
"""Intercept of a class that the training part does not hold."""


def fit_path(
    matrix: Any, labels: np.ndarray, kind: Kind, outputs: int, penalties: Sequence[float], weights: np.ndarray | None
) -> np.ndarray:
    """Weights (P, K, p + 1), the intercept last, for each penalty λ (C = 1/λ, or Ridge's alpha) in the order given.

    Features (n, p), labels as `answers` gives them (missing ones are left out), weights (n, 1 | K) or None.
    """
    if kind == "classes":
        seen = labels >= 0
        heavy = None if weights is None else weights[seen, 0]
        return _classes(matrix[seen], labels[seen], outputs, penalties, heavy)
    columns = []
    for k in range(outputs):
        seen = np.isfinite(labels[:, k])
        heavy = None if weights is None else np.broadcast_to(weights, labels.shape)[seen, k]
        part, wanted = matrix[seen], labels[seen, k]
        if kind == "values":
            columns.append(_values(part, wanted, penalties))
        else:
            both = _classes(part, wanted.astype(int), 2, penalties, heavy)
            columns.append(both[:, 1] - both[:, 0])
    return np.stack(columns, 1)


def apply(weights: np.ndarray, matrix: Any) -> np.ndarray:
    """Outputs (n, K) of weights (K, p + 1)."""
    return np.asarray(matrix @ weights[:, :-1].T) + weights[:, -1]


def _classes(
    matrix: Any, labels: np.ndarray, outputs: int, penalties: Sequence[float], weights: np.ndarray | None
) -> np.ndarray:
    """(P, K, p + 1), warm-started from the strongest penalty to the weakest."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    out = np.zeros((len(penalties), outputs, matrix.shape[1] + 1))
    out[:, :, -1] = UNSEEN
    there = np.unique(labels)
    if len(there) < 2:
        out[:, there, -1] = 0.0
        return out
    model = LogisticRegression(tol=1e-5, max_iter=300, warm_start=True)
    for place in np.argsort(-np.asarray(penalties), kind="stable"):
        model.C = 1 / penalties[place]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest penalties, far past the best one
            model.fit(matrix, labels, sample_weight=weights)
        learned = np.concatenate([model.coef_, model.intercept_[:, None]], 1)
        out[place, there] = np.concatenate([-learned / 2, learned / 2]) if len(there) == 2 else learned
    return out


def _values(matrix: Any, wanted: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
    """(P, p + 1)."""
    from sklearn.linear_model import Ridge

    if not len(wanted):
        return np.zeros((len(penalties), matrix.shape[1] + 1))
    models = [Ridge(alpha=penalty).fit(matrix, wanted) for penalty in penalties]
    return np.stack([np.append(model.coef_, model.intercept_) for model in models])
