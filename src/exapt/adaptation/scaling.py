"""Standardise features on the training rows alone, rotate them to their principal axes, and fold both into weights.

An L2 penalty does not notice a rotation, so a linear fit on rotated features is the same fit; only the training rows'
span matters, so n rows never need more than n axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROWS = 1024
"""Rows of one slice, which stays in the processor's cache."""


@dataclass(frozen=True)
class Scale:
    """x -> (x − mean) / deviation."""

    mean: Tensor
    """(D,) float64, rounded to the features' own type, so that taking it off is exact."""
    deviation: Tensor
    """(D,) float64; 1 where a feature is constant over the training rows."""

    def __call__(self, features: Tensor) -> Tensor:
        """Standardised features (n, D), in the dtype of the input."""
        return (features - self.mean.to(features)).mul_((1 / self.deviation).to(features))


def standardise(features: Tensor) -> Scale:
    """The mean and standard deviation (divided by n, as scikit-learn's) of training rows (n, D)."""
    mean = _mean(features).to(features.dtype).double()
    around = features - mean.to(features.dtype)
    deviation = (_mean(around.square()) - _mean(around).square()).clamp(min=0).sqrt()
    # A constant column's deviation is rounding noise of its mean; dividing by it would blow that noise up.
    constant = deviation <= 10 * torch.finfo(features.dtype).eps * mean.abs()
    return Scale(mean, deviation.masked_fill(constant | (deviation == 0), 1.0))


def _mean(values: Tensor) -> Tensor:
    """(D,) float64 mean of (n, D), summed in float64 a slice at a time."""
    total = values.new_zeros(values.shape[1], dtype=torch.float64)
    for part in values.split(ROWS):
        total += part.sum(0, dtype=torch.float64)
    return total / len(values)


@dataclass(frozen=True)
class Rotated:
    """Training rows on their own principal axes."""

    rows: Tensor
    """(n, r) standardised and rotated, r ≤ min(n, D)."""
    axes: Tensor
    """(D, r) orthonormal columns."""
    scale: Scale

    def fold(self, weights: Tensor) -> Tensor:
        """Weights (…, r + 1) on the rotated rows to float64 ones on raw features (…, D + 1), intercept last."""
        wide = weights.double()
        slopes = wide[..., :-1] @ self.axes.double().T / self.scale.deviation
        intercept = wide[..., -1:] - (slopes * self.scale.mean).sum(-1, keepdim=True)
        return torch.cat([slopes, intercept], -1)

    def unfold(self, weights: Tensor) -> Tensor:
        """Raw weights (…, D + 1) to the nearest ones on the rotated rows (…, r + 1): a start for another fit."""
        slopes, intercept = weights[..., :-1].double(), weights[..., -1:].double()
        centred = intercept + (slopes * self.scale.mean).sum(-1, keepdim=True)
        turned = (slopes * self.scale.deviation) @ self.axes.double()
        return torch.cat([turned, centred], -1).to(self.rows.dtype)


def rotate(features: Tensor) -> Rotated:
    """Standardise training rows (n, D) and turn them to their principal axes."""
    scale = standardise(features)
    rows = scale(features)
    axes = _tall_axes(rows) if rows.shape[1] <= rows.shape[0] else _wide_axes(rows)
    return Rotated((rows @ axes).contiguous(), axes, scale)


def _tall_axes(rows: Tensor) -> Tensor:
    """All D axes: any orthonormal basis is exact, so rounding in which one it is costs speed only."""
    return torch.linalg.eigh(rows.T @ rows).eigenvectors


def _wide_axes(rows: Tensor) -> Tensor:
    """The at most n axes that span the rows; found in float64, as small ones are divided by their length."""
    wide = rows.double()
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    kept = values > 1e-10 * values[-1].clamp(min=1e-30)
    return ((wide.T @ vectors[:, kept]) / values[kept].sqrt()).to(rows.dtype)
