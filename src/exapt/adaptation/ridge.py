"""Ridge regression for all penalties at once: one eigendecomposition, then a division per penalty."""

from __future__ import annotations

import torch
from torch import Tensor

from exapt.adaptation.scaling import rotate


def ridge_path(features: Tensor, targets: Tensor, penalties: Tensor) -> Tensor:
    """Weights (P, T, D + 1) on raw features, the intercept last, of every penalty and output.

    Minimises Σ_i (y_i − w x_i − b)² + λ ‖w‖² on standardised x (n, D): scikit-learn's `Ridge(alpha=λ)`. Targets (n, T)
    with NaN where missing; an output uses the rows that have it. An output without any row is 0 everywhere.
    """
    out = torch.zeros(
        len(penalties), targets.shape[1], features.shape[1] + 1, dtype=torch.float64, device=features.device
    )
    seen = ~targets.isnan()
    for pattern in seen.T.unique(dim=0):
        if bool(pattern.any()):
            columns = (seen == pattern[:, None]).all(0)
            wanted = targets[pattern][:, columns].double()
            out[:, columns] = _whole(features[pattern].double(), wanted, penalties.double())
    return out


def _whole(features: Tensor, targets: Tensor, penalties: Tensor) -> Tensor:
    """(P, T, D + 1) where every row has every output; float64."""
    rotated = rotate(features)
    middle = targets.mean(0)
    power = rotated.rows.square().sum(0)
    slopes = (rotated.rows.T @ (targets - middle)).T / (power + penalties[:, None, None])
    intercept = middle.expand(len(penalties), -1)[..., None]
    return rotated.fold(torch.cat([slopes, intercept], -1))
