"""Many penalised logistic regressions solved together: problems × penalties in one stacked L-BFGS.

Minimises  Σ_i ℓ(y_i, W x_i + b) + ½ λ ‖W‖²  (the intercept is free), ℓ the softmax or, label by label, the sigmoid
cross entropy: scikit-learn's `LogisticRegression` with C = 1/λ. Where the time goes, and what is done about it:

* one penalty's product X Wᵀ is too narrow to be fast, so all penalties (and problems of like size) share one product,
  kept as (weights × features) @ (features × rows): the softmax then runs along contiguous rows;
* the features arrive rotated to their principal axes (`scaling.py`), where the Hessian is nearly diagonal: its diagonal
  from the curvature p(1 − p) of each output as it stands, preconditions every step. Kept from the start instead, as in
  Böhning (1992), the weakest penalties took ten times the steps;
* penalties are solved coarse to fine; each finer level starts from a cubic interpolation in log λ;
* steps are accepted by slopes alone (Hager & Zhang 2005, approximate Wolfe), which float32 still resolves when the
  loss no longer changes in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

ROWS = 2048
"""Rows of one slice: a slice's logits stay in the processor's cache."""
HISTORY = 5
STEPS = 1000


@dataclass(frozen=True)
class Design:
    """G stacked problems of at most n rows and r features; padding rows are all zero and so pull nowhere."""

    rows: Tensor
    """(G, n, r + 1); the last column is 1 on real rows."""
    columns: Tensor
    """(G, r + 1, n): the same, transposed and contiguous."""
    target: Tensor
    """(G, 1, K, n): 1 at the label (softmax) or the label itself (sigmoid)."""
    seen: Tensor | None
    """(G, 1, K, n): the weight of each label, 0 where it is missing; None where all weigh 1."""
    count: Tensor
    """(G, 1, 1 | K, 1): the weight of all labels together."""
    labelled: Tensor
    """(G, 1, K, 1): the weighted sum of the targets."""
    softmax: bool
    """Whether the K outputs compete (softmax) or stand alone (sigmoid)."""

    @property
    def dims(self) -> tuple[int, ...]:
        """The axes of (G, P, K, r + 1) that make one independent minimisation."""
        return (2, 3) if self.softmax else (3,)

    def take(self, problems: Tensor) -> Self:
        """Some of the G problems."""
        return replace(
            self,
            rows=self.rows[problems],
            columns=self.columns[problems],
            target=self.target[problems],
            seen=None if self.seen is None else self.seen[problems],
            count=self.count[problems],
            labelled=self.labelled[problems],
        )


def design(problems: Sequence[tuple[Tensor, Tensor, Tensor | None]], softmax: bool) -> Design:
    """Stack problems: features (n, r), targets (n, K) with NaN where missing, weights (n, 1 | K) or None for 1."""
    n = max(len(x) for x, _, _ in problems)
    r = max(x.shape[1] for x, _, _ in problems)
    first, labels, _ = problems[0]
    rows = first.new_zeros(len(problems), n, r + 1)
    target = first.new_zeros(len(problems), 1, labels.shape[1], n)
    seen = torch.zeros_like(target)
    for g, (x, y, weight) in enumerate(problems):
        rows[g, : len(x), : x.shape[1]] = x
        rows[g, : len(x), -1] = 1
        target[g, 0, :, : len(x)] = y.nan_to_num().T
        seen[g, 0, :, : len(x)] = (~y.isnan() if weight is None else ~y.isnan() * weight).T
    count = seen.sum(3, keepdim=True)
    count = count.amax(2, keepdim=True) if softmax else count
    plain = all(weight is None and not bool(y.isnan().any()) for _, y, weight in problems)
    labelled = (target * seen).sum(3, keepdim=True)
    return Design(rows, rows.mT.contiguous(), target, None if plain else seen, count.clamp(min=1), labelled, softmax)


def solve_path(
    design: Design, penalties: Tensor, tolerance: float, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Solve all penalties (P,), ascending: weights (G, P, K, r + 1), intercept last, and whether each converged (G, P).

    `tolerance` bounds what is left to gain in the mean loss, as a Newton step along the diagonal foretells it.
    """
    at = penalties.double().log().cpu().numpy()
    groups, width, outputs = design.rows.shape[0], design.rows.shape[2], design.target.shape[2]
    weights = design.rows.new_zeros(groups, len(penalties), outputs, width)
    converged = torch.ones(groups, len(penalties), dtype=torch.bool, device=weights.device)
    known = np.zeros(0, dtype=np.int64)
    for level in levels(len(penalties)):
        guess = weights[:, level] if start is None else start[:, level]
        if len(known):
            blend = torch.as_tensor(interpolation(at[known], at[level]), dtype=weights.dtype, device=weights.device)
            guess = torch.einsum("nk,gkor->gnor", blend, weights[:, known])
        weights[:, level], converged[:, level] = minimise(design, penalties[level], tolerance, guess)
        known = np.sort(np.concatenate([known, level]))
    return weights, converged


def levels(count: int, strides: Sequence[int] = (8, 2, 1)) -> list[np.ndarray]:
    """Coarse to fine: the places solved at each level; the ends come first."""
    done: set[int] = set()
    out = []
    for stride in strides:
        new = sorted({*range(0, count, stride), count - 1} - done)
        if new and (stride == 1 or count > stride):
            out.append(np.array(new))
            done |= set(new)
    return out


def interpolation(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(wanted, known) weights of the cubic through the four nearest known points (Lagrange)."""
    out = np.zeros((len(wanted), len(known)))
    for i, x in enumerate(wanted):
        near = np.argsort(np.abs(known - x), kind="stable")[:4]
        for j in near:
            out[i, j] = np.prod([(x - known[k]) / (known[j] - known[k]) for k in near if k != j])
    return out


def minimise(design: Design, penalties: Tensor, tolerance: float, start: Tensor) -> tuple[Tensor, Tensor]:
    """Preconditioned L-BFGS from `start` (G, P, K, r + 1) with penalties (P,) or (G, P); returns as `solve_path` does.

    Problems and penalties that are solved drop out of the products.
    """
    out, converged = start.clone(), torch.ones(start.shape[:2], dtype=torch.bool, device=start.device)
    state = _State.begin(design, penalties, start)
    for _ in range(STEPS):
        open_ = state.open(tolerance)
        if not bool(open_.all()):
            out[state.places] = state.weights
            if not bool(open_.any()):
                return out, converged
            state, open_ = state.keep(open_), open_[open_.any(1)][:, open_.any(0)]
        state = state.step(open_)
    out[state.places] = state.weights
    converged[state.places] = ~state.open(tolerance)
    return out, converged


@dataclass
class _State:
    """Where the minimisation stands, for the problems and penalties still open."""

    design: Design
    problems: Tensor
    columns: Tensor
    penalties: Tensor
    """(G, P, 1, r + 1)."""
    weights: Tensor
    gradient: Tensor
    bend: Tensor
    """(G, P, K, 1) the summed curvature of each output."""
    spread: Tensor
    """(G, 1, 1, r + 1) the features' mean squares."""
    history: list[tuple[Tensor, Tensor, Tensor]]
    stalled: Tensor

    @classmethod
    def begin(cls, design: Design, penalties: Tensor, start: Tensor) -> Self:
        penalty = penalties.to(start).expand(start.shape[:2])[:, :, None, None] * _slopes(start)
        gradient, bend = gradients(design, start, penalty)
        spread = design.rows.square().sum(1)[:, None, None] / design.rows[:, :, -1].sum(1)[:, None, None, None]
        places = [torch.arange(size, device=start.device) for size in start.shape[:2]]
        stalled = torch.zeros(start.shape[:2], dtype=torch.bool, device=start.device)
        return cls(design, places[0], places[1], penalty, start, gradient, bend, spread, [], stalled)

    @property
    def scale(self) -> Tensor:
        """(G, P, K, r + 1) the diagonal of the Hessian, were the features uncorrelated under its weights."""
        return (self.bend * self.spread).add_(self.penalties).clamp_(min=torch.finfo(self.bend.dtype).tiny)

    @property
    def places(self) -> tuple[Tensor, Tensor]:
        return self.problems[:, None], self.columns[None, :]

    def open(self, tolerance: float) -> Tensor:
        """(G, P) whether more than the tolerance is left to gain in a problem's mean loss."""
        gain = (self.gradient.square() / self.scale).sum(self.design.dims, keepdim=True) / (2 * self.design.count)
        return (gain.amax((2, 3)) > tolerance) & ~self.stalled

    def keep(self, open_: Tensor) -> Self:
        """Drop the problems and penalties of which nothing is open."""
        g, p = open_.any(1), open_.any(0)
        if bool(g.all()) and bool(p.all()):
            return self
        cut = lambda value: value[g][:, p]  # noqa: E731
        return replace(
            self,
            design=self.design if bool(g.all()) else self.design.take(g),
            problems=self.problems[g],
            columns=self.columns[p],
            penalties=cut(self.penalties),
            weights=cut(self.weights),
            gradient=cut(self.gradient),
            bend=cut(self.bend),
            spread=self.spread[g],
            history=[(cut(s), cut(y), cut(r)) for s, y, r in self.history],
            stalled=cut(self.stalled),
        )

    def step(self, open_: Tensor) -> Self:
        """One L-BFGS step; problems already solved, or without a downhill direction left, stand still."""
        dims = self.design.dims
        direction = self._direction().neg_()
        slope = _dot(direction, self.gradient, dims)
        moving = (slope < 0) & open_[:, :, None, None]
        direction, slope = torch.where(moving, direction, 0), torch.where(moving, slope, 0)
        size = torch.ones_like(slope)
        for _ in range(20):
            step = size * direction
            weights = self.weights + step
            gradient, bend = gradients(self.design, weights, self.penalties)
            after = _dot(direction, gradient, dims)
            steep = after > -0.9 * slope
            if not bool(steep.any()):
                break
            size = torch.where(steep, size * (slope / (slope - after)).clamp(0.05, 0.7), size)
        stalled = self.stalled | ~moving.flatten(2).any(2)
        history = self._remember(step, gradient - self.gradient)
        return replace(self, weights=weights, gradient=gradient, bend=bend, history=history, stalled=stalled)

    def _remember(self, step: Tensor, change: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The history with one more pair (s, y, 1/sᵀy); a pair without curvature counts for nothing."""
        curvature = _dot(step, change, self.design.dims)
        tiny = torch.finfo(step.dtype).tiny
        inverse = torch.where(curvature > tiny, 1 / curvature.clamp(min=tiny), 0)
        return [*self.history, (step, change, inverse)][-HISTORY:]

    def _direction(self) -> Tensor:
        """The two-loop recursion (Nocedal & Wright, algorithm 7.4) around the diagonal preconditioner."""
        dims, q, shares = self.design.dims, self.gradient.clone(), []
        for step, change, inverse in reversed(self.history):
            shares.append(inverse * _dot(step, q, dims))
            q.addcmul_(shares[-1], change, value=-1)
        scale = self.scale
        q.div_(scale)
        if self.history:
            _, change, inverse = self.history[-1]
            size = inverse * _dot(change, change / scale, dims)
            q.mul_(torch.where(size > 0, 1 / size, 1))
        for (step, change, inverse), share in zip(self.history, reversed(shares), strict=True):
            q.addcmul_(share - inverse * _dot(change, q, dims), step)
        return q


def gradients(design: Design, weights: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (G, P, K, r + 1) of the penalised sum, and the summed curvature p(1 − p) of each output (G, P, K, 1)."""
    flat, kinds = weights.flatten(1, 2), weights.shape[1:3]
    total, squares = torch.zeros_like(flat), flat.new_zeros(*flat.shape[:2], 1)
    for start in range(0, design.rows.shape[1], ROWS):
        part = slice(start, start + ROWS)
        logits = torch.bmm(flat, design.columns[:, :, part]).unflatten(1, kinds)
        chance = logits.softmax(2) if design.softmax else logits.sigmoid_()
        square = chance.square()
        error = chance.sub_(design.target[..., part])
        if design.seen is not None:
            error, square = error.mul_(design.seen[..., part]), square.mul_(design.seen[..., part])
        squares.baddbmm_(square.flatten(1, 2), design.rows[:, part, -1:])
        total.baddbmm_(error.flatten(1, 2), design.rows[:, part])
    # The intercept's gradient is Σ(p − y), so Σp need not be summed again.
    bend = (total[:, :, -1:] - squares).unflatten(1, kinds) + design.labelled
    return total.view_as(weights).addcmul_(weights, penalty), bend.clamp_(min=0)


def _slopes(weights: Tensor) -> Tensor:
    """(r + 1,) ones, and 0 at the intercept, which no penalty touches."""
    out = weights.new_ones(weights.shape[-1])
    out[-1] = 0
    return out


def _dot(a: Tensor, b: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (a * b).sum(dims, keepdim=True)
