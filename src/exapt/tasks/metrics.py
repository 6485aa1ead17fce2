"""Metrics, higher is better. Shapes: n examples (or elements), C classes.

A metric that its data cannot define (one class only, no spread) is None: the caller says what that is worth.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def accuracy(probabilities: np.ndarray, truth: np.ndarray) -> float | None:
    """The share of examples whose likeliest class (n, C) is the true one (n,)."""
    return float((probabilities.argmax(1) == truth).mean()) if len(truth) else None


def balanced_accuracy(probabilities: np.ndarray, truth: np.ndarray) -> float | None:
    """The mean over the classes there of the share of each that is found (recall)."""
    right = probabilities.argmax(1) == truth
    return average(float(right[truth == c].mean()) for c in np.unique(truth))


def macro_f1(probabilities: np.ndarray, truth: np.ndarray) -> float | None:
    """The mean over classes there (true or predicted) of F1 = 2 TP / (2 TP + FP + FN)."""
    predicted = probabilities.argmax(1)
    return average(f1(predicted == c, truth == c) for c in np.union1d(predicted, truth))


def f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F1 of one class from booleans (n,); 0 where it was neither there nor predicted."""
    both = predicted.sum() + truth.sum()
    return float(2 * (predicted & truth).sum() / both) if both else 0.0


def auc(scores: np.ndarray, truth: np.ndarray) -> float | None:
    """Area under the ROC curve: the chance that a true example (n,) outscores a false one, ties half."""
    from scipy.stats import rankdata

    truth = truth.astype(bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return None
    ranks = rankdata(scores)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float | None:
    """Σ (R_k − R_{k−1}) P_k over the distinct scores, highest first."""
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = truth[order].cumsum()[last]
    precision = found / (last + 1)
    return float((np.diff(found, prepend=0) * precision).sum() / found[-1])


def r_squared(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """1 − squared error over the squared spread of the truth (n,)."""
    spread = float(((truth - truth.mean()) ** 2).sum()) if len(truth) else 0.0
    return 1 - float(((prediction - truth) ** 2).sum()) / spread if spread else None


def pearson(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Linear correlation."""
    if len(truth) < 2:
        return None
    a, b = prediction - prediction.mean(), truth - truth.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size else None


def spearman(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Correlation of the ranks, ties sharing their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(prediction), rankdata(truth)) if len(truth) else None


def minus_mae(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Minus the mean absolute error."""
    return -float(np.abs(prediction - truth).mean()) if len(truth) else None


def minus_mape(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """Minus the mean absolute error relative to the truth, in per cent."""
    return -float(np.abs(prediction / truth - 1).mean() * 100) if len(truth) else None


def average(values: Iterable[float | None]) -> float | None:
    """The mean of those that are defined."""
    there = [v for v in values if v is not None]
    return float(np.mean(there)) if there else None
