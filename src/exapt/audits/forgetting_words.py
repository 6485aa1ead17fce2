"""How a finding on forgetting is told: its sentence, its plot, its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from exapt.evidence.finding import Listing, Plot, Series
from exapt.evidence.paired import Comparison

if TYPE_CHECKING:
    from exapt.audits.forgetting import Outcome

WORDS = {
    "plain": "plain fine-tuning",
    "l2sp": "L2-SP",
    "ewc": "EWC",
    "lwf": "learning without forgetting",
    "replay": "replay",
    "ewc+replay": "EWC with replay",
}
SAYS = {
    "FORGETS": "more than the margin of {margin:.0%}",
    "KEEPS": "less than the margin of {margin:.0%}",
    "UNDECIDED": "not settled against the margin of {margin:.0%}",
}


def sentence(judged: Mapping[str, Comparison], verdicts: Mapping[str, str], margin: float) -> str:
    """The outcome of the first, and which of the others keep what was learnt."""
    name, one = next(iter(judged.items()))
    rise = f"{one.mean:+.1%} (90 % interval {one.low:+.1%} to {one.high:+.1%}, n = {one.n} seeds)"
    words = f"After {WORDS[name]} the held-out pre-training loss changed by {rise}: "
    words += SAYS[verdicts[name]].format(margin=margin)
    keep = [WORDS[other] for other in judged if other != name and verdicts[other] == "KEEPS"]
    lose = [WORDS[other] for other in judged if other != name and verdicts[other] == "FORGETS"]
    kept = f"{' and '.join(keep)} kept it below" if keep else ""
    lost = f"{' and '.join(lose)} did not keep it below" if lose else ""
    told = "; ".join(part for part in (kept, lost) if part)
    return (f"{words}; {told}." if told else f"{words}.").replace("%", " %").replace("  %", " %")


def plot(found: Mapping[str, Sequence[Outcome]], before: float, metric: str) -> Plot:
    """Source loss against target score, a point a seed and remedy."""
    series = [
        Series(WORDS[name], [o.loss for o in each], [o.score for o in each], style="points")
        for name, each in found.items()
    ]
    scores = [o.score for each in found.values() for o in each]
    series.append(Series("before adaptation", [before, before], [min(scores), max(scores)], style="dashed"))
    count = max(len(each) for each in found.values())
    return Plot(
        f"Held-out pre-training loss against the task's test score after adaptation, one point for each of {count} "
        "seeds; the dashed line is the loss before. Up and to the left is better.",
        "held-out pre-training loss",
        metric,
        series,
    )


def listing(
    found: Mapping[str, Sequence[Outcome]],
    judged: Mapping[str, Comparison],
    verdicts: Mapping[str, str],
    metric: str,
    before: Mapping[str, float] | None = None,
) -> Listing:
    """One row a remedy; with what the objective calls errors, and what they were `before`."""
    errors = {name: value for name, value in (before or {}).items() if name.endswith(" error")}
    rows = []
    for name, each in found.items():
        kept = [o.kept for o in each if o.kept is not None]
        one = judged[name]
        rows.append(
            [
                WORDS[name],
                100 * one.mean,
                f"{100 * one.low:.1f} to {100 * one.high:.1f}",
                verdicts[name],
                float(np.mean(kept)) if kept else None,
                float(np.mean([o.score for o in each])),
                *(float(np.mean([o.terms[error] for o in each])) for error in errors),
            ]
        )
    head = ["remedy", "rise of the loss, %", "90 % interval", "verdict", "features kept", metric]
    head += [f"old {error} (before: {value:.3g})" for error, value in errors.items()]
    return Listing("What each remedy keeps, and the task's score with it; means over seeds", head, rows)
