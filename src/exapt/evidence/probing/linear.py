"""The linear probe that every measure here rests on: logistic regression, at one penalty, standardised on train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch

from exapt.adaptation import ProbeResult, probe_many
from exapt.tasks import metrics

Split = tuple[np.ndarray, np.ndarray]
"""Places to train on, and places to test on."""
Measure = Literal["accuracy", "balanced-accuracy", "F1"]
"""F1 is of class 1."""
PENALTY = 1.0
"""λ of Σ loss + ½ λ ‖w‖², scikit-learn's default C = 1: fixed, so that unlike features are asked the same way."""

MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "accuracy": metrics.accuracy,
    "balanced-accuracy": metrics.balanced_accuracy,
    "F1": lambda p, truth: metrics.f1(p.argmax(1) == 1, truth == 1),
}


def fit_linear(
    features: np.ndarray, factor: np.ndarray, trains: Sequence[np.ndarray], *, balanced: bool = False
) -> list[ProbeResult]:
    """A probe for each set of training places, solved together; `balanced` weighs every class alike.

    The same as scikit-learn's `LogisticRegression(C=1)` on standardised features.
    """
    classes = int(factor.max()) + 1
    weights = [_balance(factor, rows, classes) if balanced else None for rows in trains]
    return probe_many(
        np.asarray(features, dtype=np.float32),
        factor,
        [(rows, rows) for rows in trains],
        kind="classes",
        outputs=max(classes, 2),
        penalties=[PENALTY],
        weights=weights,
        refit=False,
    )


def score_linear(
    features: np.ndarray,
    factor: np.ndarray,
    splits: Sequence[Split],
    *,
    balanced: bool = False,
    measure: Measure = "accuracy",
) -> np.ndarray:
    """(S,) the measure on the test places of each split; NaN where it is not defined there."""
    fitted = fit_linear(features, factor, [train for train, _ in splits], balanced=balanced)
    scores = []
    for probe, (_, test) in zip(fitted, splits, strict=True):
        rows = test[factor[test] >= 0]
        found = MEASURES[measure](chances(probe, features[rows]), factor[rows])
        scores.append(np.nan if found is None else found)
    return np.array(scores)


def chances(probe: ProbeResult, features: np.ndarray) -> np.ndarray:
    """(n, K) probabilities."""
    return probe(torch.as_tensor(np.asarray(features, dtype=np.float32))).softmax(-1).numpy()


def _balance(factor: np.ndarray, rows: np.ndarray, classes: int) -> np.ndarray:
    """(n, 1) weights n / (C · n_c), counted on some rows; 1 for a class that is not there."""
    known = factor[rows][factor[rows] >= 0]
    counts = np.bincount(known, minlength=classes)
    weights = len(known) / (max(int((counts > 0).sum()), 1) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 1.0)[np.maximum(factor, 0)][:, None]
