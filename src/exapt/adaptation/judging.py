"""Judge every penalty of a probe on its validation rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from exapt.adaptation.selection import Choice, choose

Score = Callable[[Tensor, np.ndarray], float]
"""Outputs (n, K) and labels to a score; higher is better."""


By = Literal["loss", "metric"]


@dataclass(frozen=True)
class Judged:
    """The choice, and what it rests on."""

    choice: Choice
    score: float
    """Validation score of the chosen penalty."""
    losses: list[float]
    """Validation loss of every penalty."""


def judge(
    weights: Tensor,
    features: Tensor,
    targets: Tensor,
    labels: np.ndarray,
    kind: Literal["classes", "labels", "values"],
    score: Score | None,
    by: By,
) -> Judged:
    """Weights (P, K, D + 1), validation features (v, D), targets (v, K') and labels (v, …) to the best penalty."""
    count = len(weights)
    if not len(features):
        return Judged(Choice(count // 2, "default"), float("nan"), [float("nan")] * count)
    flat = weights[..., :-1].flatten(0, 1).to(features)
    outputs = (flat @ features.T).unflatten(0, weights.shape[:2]) + weights[..., -1:].to(features)
    losses = _losses(outputs, targets.T, kind).double().tolist()
    usable = varied(targets)
    if by == "metric" and usable:
        scores = _scores(outputs, targets.T, labels, kind, score)
        choice = choose(scores, losses, usable, count // 2)
        return Judged(choice, scores[choice.place], losses)
    choice = choose([float("nan")] * count, losses, False, count // 2)
    alone = _scores(outputs[choice.place, None], targets.T, labels, kind, score)[0] if usable else float("nan")
    return Judged(choice, alone, losses)


def varied(targets: Tensor) -> bool:
    """Whether any column of targets (v, K) holds two different labels: one class alone lets no metric judge."""
    low = targets.nan_to_num(torch.inf).amin(0)
    high = targets.nan_to_num(-torch.inf).amax(0)
    return bool((low < high).any())


def loss_of(output: Tensor, targets: Tensor, kind: str) -> float:
    """Mean loss of outputs (n, K) over the labels there are in targets (n, K), as they were encoded for a solver."""
    return float(_losses(output.T[None].float(), targets.T.float(), kind))


def _losses(outputs: Tensor, targets: Tensor, kind: str) -> Tensor:
    """(P,) mean loss of outputs (P, K, v) over the labels there are; targets (K', v)."""
    seen = ~targets.isnan()
    wanted = targets.nan_to_num()
    if kind == "values":
        return ((outputs - wanted).square() * seen).sum((1, 2)) / seen.sum()
    if kind == "classes":
        wanted = torch.cat([1 - wanted, wanted]) if len(wanted) == 1 else wanted
        return -(log_softmax(outputs, 1) * wanted).sum((1, 2)) / seen[0].sum()
    each = binary_cross_entropy_with_logits(outputs, wanted.expand_as(outputs), reduction="none")
    return (each * seen).sum((1, 2)) / seen.sum()


def _scores(outputs: Tensor, targets: Tensor, labels: np.ndarray, kind: str, score: Score | None) -> list[float]:
    """Scores of outputs (P, K, v); by default accuracy, or R² (mean over the outputs)."""
    if score is not None:
        return [score(one.T, labels) for one in outputs]
    if kind == "classes":
        truth = torch.as_tensor(np.asarray(labels), device=outputs.device)
        return (outputs.argmax(1) == truth).double().mean(1).tolist()
    seen = ~targets.isnan()
    if kind == "labels":
        right = ((outputs > 0) == (targets > 0.5)) & seen
        return (right.sum((1, 2)) / seen.sum()).tolist()
    wanted = targets.nan_to_num()
    middle = (wanted * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True)
    total = ((wanted - middle).square() * seen).sum(1)
    left = ((outputs - wanted).square() * seen).sum(2)
    return (1 - left / total)[:, total > 0].mean(1).tolist()
