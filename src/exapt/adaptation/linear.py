"""Linear probes: many problems on one matrix of features, all penalties of all problems solved together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from exapt.adaptation.judging import By, Judged, Score, judge
from exapt.adaptation.logistic import ROWS, Design, design, minimise, solve_path
from exapt.adaptation.ridge import ridge_path
from exapt.adaptation.scaling import Rotated, rotate
from exapt.adaptation.selection import Choice

Kind = Literal["classes", "labels", "values"]
"""What the labels are: one of K classes (n,), K yes-or-no labels (n, K), or T numbers (n, T)."""

PENALTIES = tuple(float(f"{p:.4g}") for p in np.logspace(-3, 5, 32))
"""λ of Σ loss + ½ λ ‖w‖² on standardised features."""


@dataclass(frozen=True)
class ProbeResult:
    """A fitted probe, on raw features."""

    weights: Tensor
    """(K, D) float64, the standardisation folded in."""
    intercept: Tensor
    """(K,) float64."""
    penalty: float
    choice: Choice
    score: float
    """Validation score of the chosen penalty, before the refit; NaN where validation holds a single class."""
    losses: list[float]
    """Validation loss of each penalty, ascending."""
    converged: bool

    def __call__(self, features: Tensor) -> Tensor:
        """Outputs (n, K) in float64."""
        return features.double() @ self.weights.T + self.intercept

    @property
    def record(self) -> dict[str, Any]:
        """Plain facts: what was chosen, and on what grounds."""
        return {
            "penalty": self.penalty,
            "chosen_by": self.choice.by,
            "valid_score": self.score,
            "valid_loss": self.losses[self.choice.place],
            "converged": self.converged,
        }


@dataclass(frozen=True)
class Shared:
    """What all problems share."""

    features: Tensor
    """(n, D)."""
    labels: np.ndarray
    """As given, for the score."""
    targets: Tensor
    """(n, K') with NaN where missing: one-hot classes (a single column for two classes), labels or values."""
    kind: Kind
    penalties: Tensor
    """(P,) ascending."""
    weights: Sequence[Tensor | None]
    """(n, 1 | K') or None, for each problem: how much each label counts in the fit."""

    @property
    def softmax(self) -> bool:
        """Whether the outputs compete."""
        return self.kind == "classes" and self.targets.shape[1] > 1

    def known(self, places: np.ndarray) -> np.ndarray:
        """Those of some rows that have any label."""
        there = (~self.targets[torch.as_tensor(places)].isnan()).any(1)
        return np.asarray(places)[there.cpu().numpy()]

    def fitted(self, problem: int, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Targets and weights of some rows of a problem."""
        weights = self.weights[problem]
        return self.targets[rows], None if weights is None else weights[rows]


def probe_many(
    features: np.ndarray | Tensor,
    labels: np.ndarray,
    problems: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    kind: Kind,
    outputs: int,
    penalties: Sequence[float] = PENALTIES,
    by: By = "loss",
    score: Score | None = None,
    weights: Sequence[np.ndarray | None] | None = None,
    refit: bool = True,
    tolerance: float = 1e-6,
) -> list[ProbeResult]:
    """One probe for each problem (train rows, valid rows) of features (n, D) and labels; K = `outputs`.

    Every problem: standardise on its training rows, fit every penalty, choose on its validation rows `by` the loss, or
    by the metric `score` (default accuracy, or R²) with the loss between equals; then, with `refit`, standardise and
    fit train + valid anew at the chosen penalty. Missing labels are −1 or NaN and cost nothing. `tolerance` bounds the
    mean loss still to be gained where a fit stops. Solutions are scikit-learn's
    `LogisticRegression(C=1/penalty)` (label by label for kind 'labels') and `Ridge(alpha=penalty)` on standardised
    features. `weights` (n, 1 | K) of each problem multiply its losses while fitting (classes and labels). The loss is
    the better judge where labels are few: on 20 to 400 digits the metric chose 0 to 2.7 points worse.
    """
    matrix = torch.as_tensor(features)
    matrix = matrix if matrix.is_floating_point() else matrix.float()
    targets = encode(labels, kind, outputs).to(matrix)
    ascending = torch.tensor(sorted(penalties), dtype=torch.float64, device=matrix.device)
    heavy = [None if w is None else torch.as_tensor(w).to(matrix) for w in weights or [None] * len(problems)]
    shared = Shared(matrix, np.asarray(labels), targets, kind, ascending, heavy)
    rows = [(shared.known(np.asarray(train)), shared.known(np.asarray(valid))) for train, valid in problems]
    paths = _paths(shared, [train for train, _ in rows], tolerance)
    judged = [
        judge(widened(path, kind, outputs), matrix[valid], targets[valid], shared.labels[valid], kind, score, by)
        for path, (_, valid) in zip(paths, rows, strict=True)
    ]
    jobs = [np.concatenate(pair) if refit else pair[0] for pair in rows]
    starts = [path[verdict.choice.place] for path, verdict in zip(paths, judged, strict=True)]
    places = [verdict.choice.place for verdict in judged]
    finals = _finals(shared, jobs, starts, ascending[places], tolerance)
    return [
        _result(widened(raw, kind, outputs), float(ascending[verdict.choice.place]), verdict, converged)
        for (raw, converged), verdict in zip(finals, judged, strict=True)
    ]


def _result(raw: Tensor, penalty: float, verdict: Judged, converged: bool) -> ProbeResult:
    return ProbeResult(raw[:, :-1], raw[:, -1], penalty, verdict.choice, verdict.score, verdict.losses, converged)


def encode(labels: np.ndarray, kind: Kind, outputs: int) -> Tensor:
    """(n, K') float64 targets with NaN where missing; two classes become one column."""
    if kind == "classes":
        classes = torch.as_tensor(np.asarray(labels, dtype=np.int64))
        hot = one_hot(classes.clamp(min=0), outputs).double().masked_fill(classes[:, None] < 0, torch.nan)
        return hot[:, 1:] if outputs == 2 else hot
    wide = torch.as_tensor(np.asarray(labels, dtype=np.float64)).reshape(len(labels), -1)
    return wide.masked_fill(wide < 0, torch.nan) if kind == "labels" else wide


def widened(weights: Tensor, kind: Kind, outputs: int) -> Tensor:
    """Weights (…, K', D + 1) to (…, K, D + 1): one column z for two classes becomes (−z/2, z/2), the same softmax."""
    if kind == "classes" and outputs == 2:
        return torch.cat([-weights / 2, weights / 2], -2)
    return weights


def _paths(shared: Shared, trains: Sequence[np.ndarray], tolerance: float) -> list[Tensor]:
    """Raw weights (P, K', D + 1) of every penalty, for each problem."""
    if shared.kind == "values":
        return [ridge_path(shared.features[rows], shared.targets[rows], shared.penalties) for rows in trains]
    solve = lambda stacked, _group, _turned: solve_path(stacked, shared.penalties, tolerance)  # noqa: E731
    return [weights for weights, _ in _solved(shared, trains, solve)]


def _finals(
    shared: Shared, jobs: Sequence[np.ndarray], starts: Sequence[Tensor], penalties: Tensor, tolerance: float
) -> list[tuple[Tensor, bool]]:
    """Raw weights (K', D + 1) of each problem at its own penalty, and whether they converged."""
    if shared.kind == "values":
        single = penalties.split(1)
        pairs = zip(jobs, single, strict=True)
        return [(ridge_path(shared.features[r], shared.targets[r], p)[0], True) for r, p in pairs]

    def solve(stacked: Design, group: list[int], turned: list[Rotated]) -> tuple[Tensor, Tensor]:
        width = stacked.rows.shape[2]
        start = torch.stack([_stretch(t.unfold(starts[i]), width) for t, i in zip(turned, group, strict=True)])
        return minimise(stacked, penalties[group, None], tolerance, start[:, None])

    return [(weights[0], bool(converged[0])) for weights, converged in _solved(shared, jobs, solve)]


def _solved(
    shared: Shared,
    jobs: Sequence[np.ndarray],
    solve: Callable[[Design, list[int], list[Rotated]], tuple[Tensor, Tensor]],
) -> list[tuple[Tensor, Tensor]]:
    """Raw weights (P, K', D + 1) and convergence (P,) of each job, solved in stacks of jobs of like size."""
    out: dict[int, tuple[Tensor, Tensor]] = {}
    for group in _alike([len(rows) for rows in jobs]):
        turned = [rotate(shared.features[jobs[i]]) for i in group]
        parts = [(t.rows, *shared.fitted(i, jobs[i])) for t, i in zip(turned, group, strict=True)]
        weights, converged = solve(design(parts, shared.softmax), group, turned)
        for i, one, done, rotated in zip(group, weights, converged, turned, strict=True):
            width = rotated.rows.shape[1]
            out[i] = rotated.fold(torch.cat([one[..., :width], one[..., -1:]], -1)), done
    return [out[i] for i in range(len(jobs))]


def _alike(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Stacks of problems: sizes within a quarter of each other, and together one slice of rows where they are small."""
    group: list[int] = []
    for i in np.argsort(sizes, kind="stable").tolist():
        if group and (sizes[group[0]] < 0.75 * sizes[i] or (len(group) + 1) * sizes[i] > 4 * ROWS):
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _stretch(weights: Tensor, width: int) -> Tensor:
    """Weights (K', r + 1) padded with zeros before the intercept to (K', width)."""
    return torch.cat([pad(weights[:, :-1], (0, width - weights.shape[1])), weights[:, -1:]], 1)
