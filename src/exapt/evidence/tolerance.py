"""How much of a network can go: the largest sparsity whose loss of score is shown to be within a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exapt.errors import InputError
from exapt.evidence.paired import Comparison, compare, holm


@dataclass(frozen=True)
class Tolerance:
    """What pruning to each sparsity cost, over seeds."""

    sparsities: tuple[float, ...]
    """Ascending."""
    changes: tuple[Comparison, ...]
    """Score at each sparsity minus the whole network's; two-sided 90 % intervals, so one-sided 95 % bounds."""
    largest: float | None
    """The largest sparsity up to which every tested one costs less than the margin; None where not even the first."""
    verdict: str
    """PRUNABLE TO s, FRAGILE (the smallest sparsity costs more than the margin), or INCONCLUSIVE."""

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        rows = {f"{s:g}": c.plain() for s, c in zip(self.sparsities, self.changes, strict=True)}
        return {"largest": self.largest, "verdict": self.verdict, "changes": rows}


def tolerance(
    whole: Sequence[float] | np.ndarray, pruned: np.ndarray, sparsities: Sequence[float], margin: float = 0.01
) -> Tolerance:
    """Judge scores (S,) of whole networks and (S, P) of the same ones pruned to P ascending sparsities.

    The sparsities are tested from the smallest up, and the first that is not shown to be within the margin ends it: a
    fixed sequence, so that no correction for their number is needed (Maurer et al. 1995). Raises `InputError` for fewer
    than two seeds or sparsities that do not ascend.
    """
    scores, dense = np.asarray(pruned, dtype=float), np.asarray(whole, dtype=float)
    if list(sparsities) != sorted(set(sparsities)) or scores.shape != (len(dense), len(sparsities)):
        raise InputError(
            f"scores {scores.shape} for {len(dense)} seeds at sparsities {list(sparsities)}; "
            "expected one row a seed and ascending sparsities"
        )
    changes = tuple(compare(scores[:, p] - dense, margin, resamples=0) for p in range(len(sparsities)))
    within = [change.low > -margin for change in changes]
    count = within.index(False) if False in within else len(within)
    largest = sparsities[count - 1] if count else None
    fragile = bool(changes) and changes[0].high < -margin
    verdict = "FRAGILE" if fragile else "INCONCLUSIVE"
    if largest is not None:
        verdict = f"PRUNABLE TO {100 * largest:g} %"
    return Tolerance(tuple(sparsities), changes, largest, verdict)


@dataclass(frozen=True)
class Contrast:
    """Whether one start loses less than another when pruned."""

    changes: tuple[Comparison, ...]
    """At each sparsity: the loss of the other minus the loss of the one, so that above 0 the one tolerates more."""
    p: tuple[float, ...]
    """One-sided p-values that the one tolerates more, after Holm …"""
    p_less: tuple[float, ...]
    """… and that it tolerates less."""

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        return {"changes": [c.plain() for c in self.changes], "p": list(self.p), "p_less": list(self.p_less)}


def contrast(one: Sequence[np.ndarray], other: Sequence[np.ndarray], margin: float = 0.01) -> Contrast:
    """Compare (whole (S,), pruned (S, P)) of two starts, paired by seed, at each sparsity, with Holm's correction."""
    losses = [np.asarray(whole)[:, None] - np.asarray(pruned) for whole, pruned in (one, other)]
    changes = tuple(compare(column, margin, resamples=0) for column in (losses[1] - losses[0]).T)
    more, less = (holm([getattr(c, key) for c in changes]) for key in ("t_greater", "t_less"))
    return Contrast(changes, tuple(more.tolist()), tuple(less.tolist()))
