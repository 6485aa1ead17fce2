"""Least squares with standard errors that need no equal variances: HC3, and its form for clusters (CR3)."""

from __future__ import annotations

import numpy as np

from exapt.errors import InputError


def robust_ols(
    design: np.ndarray, outcome: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (p,) and their covariance (p, p) of outcome (n,) on design (n, p).

    Without clusters the covariance is HC3 (MacKinnon & White 1985; Long & Ervin 2000); with them CR3, which is the
    sum of squares of what leaving each cluster out changes (Bell & McCaffrey 2002), and equals HC3 for clusters of
    one. Raises `InputError` where one cluster alone fixes a coefficient.
    """
    bread = np.linalg.inv(design.T @ design)
    coefficients = bread @ (design.T @ outcome)
    scores = design * (outcome - design @ coefficients)[:, None]
    products = design[:, :, None] * design[:, None, :]
    if clusters is not None:
        scores, products = _summed(scores, clusters), _summed(products, clusters)
    left = np.eye(design.shape[1]) - products @ bread
    if np.abs(np.linalg.det(left)).min() < 1e-12:
        raise InputError("least squares: one item or cluster alone fixes a coefficient; its error cannot be estimated")
    changes = np.linalg.solve(left, scores[:, :, None])[:, :, 0]
    return coefficients, bread @ (changes.T @ changes) @ bread


def linear_effect(outcome: np.ndarray, cause: np.ndarray) -> np.ndarray:
    """(2,) intercept and slope of a straight line by least squares."""
    slope, intercept = np.polyfit(cause, outcome, 1)
    return np.array([intercept, slope])


def _summed(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums over the rows of each cluster."""
    owner = np.unique(clusters, return_inverse=True)[1].reshape(-1)
    if int(owner.max()) + 1 == len(values):
        return values  # clusters of one, in whatever order
    total = np.zeros((int(owner.max()) + 1, *values.shape[1:]))
    np.add.at(total, owner, values)
    return total
