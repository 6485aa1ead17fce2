"""One arm against another: at each budget, with Holm's correction over them, and on the mean over budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exapt.evidence.curves import Curves
from exapt.evidence.paired import Comparison, compare, holm
from exapt.evidence.verdict import Verdict


@dataclass(frozen=True)
class AtBudget:
    """One budget's comparison, and its one-sided t-test p after Holm over the budgets, in the direction observed."""

    budget: int
    comparison: Comparison
    p_holm: float

    @property
    def holds(self) -> bool:
        """Whether a HELPS or HARMS here survives the correction for many budgets."""
        directed = self.comparison.verdict in (Verdict.HELPS, Verdict.HARMS)
        return directed and self.p_holm <= (1 - self.comparison.confidence) / 2


@dataclass(frozen=True)
class Versus:
    """One arm against another: at each budget, and on the mean over budgets (the verdict)."""

    arm: str
    against: str
    overall: Comparison
    budgets: tuple[AtBudget, ...]

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        rows = [
            {"budget": row.budget, **row.comparison.plain(), "p_holm": row.p_holm, "holds": row.holds}
            for row in self.budgets
        ]
        return {"arm": self.arm, "against": self.against, "overall": self.overall.plain(), "budgets": rows}


def versus(
    curves: Curves, arm: str, against: str, margin: float, confidence: float = 0.9, *, bootstrap: bool = False
) -> Versus:
    """Compare two arms at each budget and on the mean over budgets."""
    d = curves.of_arm(arm) - curves.of_arm(against)
    resamples = 1999 if bootstrap else 0
    each = [compare(column, margin, confidence, resamples=resamples) for column in d.T]
    gains, losses = holm([c.t_greater for c in each]), holm([c.t_less for c in each])
    rows = tuple(
        AtBudget(budget, c, float(gain if c.mean >= 0 else loss))
        for budget, c, gain, loss in zip(curves.budgets, each, gains, losses, strict=True)
    )
    return Versus(arm, against, compare(d.mean(axis=1), margin, confidence, resamples=resamples), rows)
