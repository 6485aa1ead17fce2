"""A probe that learns nothing: what an example's nearest neighbours say of its label."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NEIGHBOURS = 20
TEMPERATURE = 0.07
"""Weights exp(similarity / 0.07) of Wu et al. 2018, as DINO's."""


def neighbour_score(features: Tensor, labels: np.ndarray) -> float:
    """Leave-one-out score of the 20 nearest neighbours by centred cosine, for features (n, D).

    Accuracy where labels (n,) are class numbers, else R². Features that are all alike score what their ties give.
    """
    x = features.double()
    x = torch.nn.functional.normalize(x - x.mean(0), dim=1)
    near = (x @ x.T).fill_diagonal_(-torch.inf).topk(min(NEIGHBOURS, len(x) - 1), dim=1)
    weights = (near.values / TEMPERATURE).softmax(1)
    known = torch.as_tensor(labels, device=x.device)
    if not known.is_floating_point():
        hot = torch.nn.functional.one_hot(known[near.indices].long(), int(known.max()) + 1).to(weights)
        votes = (weights[..., None] * hot).sum(1)
        return float((votes.argmax(1) == known).double().mean())
    guess = (weights * known[near.indices]).sum(1)
    power = float((known - known.mean()).square().sum())
    return 1 - float((guess - known).square().sum()) / power if power > 0 else 0.0
