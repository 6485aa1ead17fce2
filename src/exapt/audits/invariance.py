"""Inductive-bias mismatch: what a representation is blind to, and whether the task needs it.

Ericsson et al. 2022 (arXiv 2111.11398): contrastive networks become invariant to the changes they were trained with,
and tasks benefit from opposite invariances. Invariance and decodability are read together, because a small part of the
features can carry a nuisance whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from exapt.adaptation.features import device_of, evaluating
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.blindness import (
    Embed,
    Need,
    Seen,
    ahead,
    blind_spots,
    dim_spots,
    embedded,
    look,
    need,
    plain_inputs,
    warning,
)
from exapt.audits.planted_colours import Encoder, coloured
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.views import Transformation
from exapt.errors import nearest
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.invariance import Estimate, probe

CHUNK = 100
"""Examples of a batch."""
LEAST = 100
"""Fewer examples are too few to probe."""
LEVELS: dict[str, Level] = {"FITS": "good", "MISMATCH": "bad"}


@dataclass(frozen=True)
class Matched:
    """What was found of every change, by its name."""

    features: dict[str, Seen]
    random: dict[str, Seen]
    inputs: dict[str, Seen]
    blind: list[str]
    dim: list[str]
    warning: str
    """Said before any label was read."""
    needs: dict[str, Need] = field(default_factory=dict)
    """Of the changes that features are blind to or dim on; empty where no labels were given."""
    beside: Estimate | None = None
    """Score of a probe of the features less that of a probe of the inputs."""
    verdict: str = "UNDECIDED"
    missed: Sequence[str] = ()
    """Of those, what the task needs."""


def match(
    features: Embed,
    random: Embed,
    batches: Sequence[Batch],
    changes: Sequence[Transformation],
    labels: np.ndarray | None = None,
    margin: float = 0.05,
    seed: int = 0,
) -> Matched:
    """Look at every change without labels, then, with labels (n,), at what the task needs of those not seen.

    MISMATCH: blind to a change that the task needs, or dim on it, and behind the inputs for it. POSSIBLE MISMATCH: the
    former, but not behind. FITS: seeing everything, or everything that is needed. UNDECIDED: not enough labels to tell,
    or none.
    """
    seen, floor, plain = (
        {change.name: look(embed, batches, change, seed, sweep) for change in changes}
        for embed, sweep in ((features, True), (random, False), (plain_inputs, False))
    )
    blind, dim = blind_spots(seen, plain), dim_spots(seen, floor, plain)
    found = Matched(seen, floor, plain, blind, dim, warning(blind, dim))
    if not blind and not dim:
        return replace(found, verdict="FITS")
    if labels is None:
        return found
    needs = {change.name: need(batches, change, labels, seed) for change in changes if change.name in blind + dim}
    beside = ahead(embedded(features, batches), embedded(plain_inputs, batches), labels, seed)
    missed = [name for name, one in needs.items() if one.lost.low > margin]
    return replace(found, needs=needs, beside=beside, verdict=_verdict(needs, missed, beside, margin), missed=missed)


def _verdict(needs: Mapping[str, Need], missed: Sequence[str], beside: Estimate, margin: float) -> str:
    if missed:
        return "MISMATCH" if beside.high < 0 else "POSSIBLE MISMATCH"
    settled = all(one.lost.high < 4 * margin for one in needs.values()) or beside.low > -margin
    return "FITS" if settled else "UNDECIDED"


class InvarianceAudit(Audit):
    """What the pre-trained features are blind to, and whether the study's task needs it."""

    asks: ClassVar[str] = "Which changes of its inputs is the representation blind to, and does the task need them?"
    kind: Literal["invariance"] = "invariance"
    changes: list[str] | None = None
    """Which of the domain's transformations to try; None: all of them."""
    examples: int = Field(default=400, ge=LEAST)
    """Examples of the labelled pool to try them on; the test part is not touched."""
    margin: float = Field(default=0.05, ge=0)
    """The loss of score by which a task counts as needing what a change destroys."""
    seed: int = 0

    def run(self, subject: Subject) -> Finding:
        """Raises `InputError` where the domain has no transformations or the pool is too small."""
        changes = self._chosen(subject.domain.transformations(), type(subject.domain).__name__)
        labels = _labels(subject)
        pool = subject.pool if labels is None else subject.pool[_known(labels)]
        if len(pool) < LEAST:
            raise self.refuse(f"{len(pool)} labelled examples in the pool are too few to probe; {LEAST} would do")
        chosen = np.random.default_rng(self.seed).permutation(len(pool))[: self.examples]
        dataset = subject.labelled.subset(pool[chosen])
        batches = [
            subject.domain.collate([dataset[i] for i in range(at, min(at + CHUNK, len(dataset)))])
            for at in range(0, len(dataset), CHUNK)
        ]
        given = None if labels is None else labels[_known(labels)][chosen]
        backbone, fresh = subject.start.backbone, subject.fresh(self.seed)
        with evaluating(backbone), evaluating(fresh):
            found = match(_network(backbone), _network(fresh), batches, changes, given, self.margin, self.seed)
        return self._finding(found, changes, len(dataset), subject)

    def _chosen(self, there: Sequence[Transformation], domain: str) -> list[Transformation]:
        if not there:
            raise self.refuse(f"{domain} names no transformations to try; give it a method `transformations()`")
        names = [change.name for change in there]
        for name in self.changes or []:
            if name not in names:
                raise self.refuse(f"changes: '{name}' is no transformation of this domain; {nearest(name, names)}")
        return [change for change in there if self.changes is None or change.name in self.changes]

    def _finding(self, found: Matched, changes: Sequence[Transformation], n: int, subject: Subject) -> Finding:
        worst = max(found.needs, key=lambda name: found.needs[name].lost.value, default=None)
        lost = found.needs[worst].lost if worst else None
        return Finding(
            name="invariance",
            verdict=found.verdict,
            effect=lost.value if lost else None,
            interval=(lost.low, lost.high) if lost else None,
            n=n,
            how=f"normalised invariance of pooled features under {len(changes)} changes, with linear probes of what "
            f"each changes, on {n} examples of the labelled pool; the effect is the score that a probe of the inputs "
            "loses where they are scrambled by the change that the task needs most of those the features do not see",
            details=_details(found, changes),
            sentence=_sentence(found, subject.task.metric_name),
            level=LEVELS.get(found.verdict, "unsure"),
            caveats=_caveats(subject, found),
            plots=[_plot(found, changes)],
            listings=[_listing(found, changes)],
        )

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Digits in six hues, seen by an encoder that takes colours out and by one that keeps them."""
        cases: list[tuple[str, Encoder, Literal["hue", "digit"], str, bool]] = [
            ("colours taken out, the task is the hue", "grey", "hue", "MISMATCH", True),
            ("colours taken out, the task is the digit", "grey", "digit", "FITS", True),
            ("colours kept, the task is the hue", "colour", "hue", "FITS", False),
        ]
        runs = 3
        trials = []
        for what, encoder, task, wanted, warned in cases:
            right, scores = 0, []
            for run in range(runs):
                case = coloured(encoder, task, seed + run)
                found = match(case.encode, case.encode, case.batches, case.changes, case.labels, seed=seed + run)
                right += found.verdict == wanted and ("hue" in found.warning) == warned
                scores.append(float(probe(embedded(case.encode, case.batches), case.labels, seed + run).right.mean()))
            trials.append(Trial(what, (wanted,), right, runs, 1.0, {"score of the features": float(np.mean(scores))}))
        return trials


def _network(backbone: Backbone) -> Embed:
    return lambda batch: backbone(batch.to(device_of(backbone))).pooled()


def _labels(subject: Subject) -> np.ndarray | None:
    """Labels (pool,) where every example has one class or number."""
    if subject.task.per_element:
        return None
    labels = subject.task.truth(subject.labelled.subset(subject.pool))
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    return labels if labels.ndim == 1 else None


def _known(labels: np.ndarray) -> np.ndarray:
    return np.isfinite(labels) if labels.dtype.kind == "f" else labels >= 0


def _details(found: Matched, changes: Sequence[Transformation]) -> dict[str, Any]:
    sides = {"features": found.features, "random": found.random, "inputs": found.inputs}
    seen = {
        change.name: {"strengths": list(change.strengths), "unit": change.unit}
        | {side: _seen(one[change.name]) for side, one in sides.items()}
        for change in changes
    }
    needs = {name: {"lost": vars(one.lost), "alone": one.alone} for name, one in found.needs.items()}
    beside = vars(found.beside) if found.beside else None
    facts = {"changes": seen, "blind": found.blind, "needs": needs, "features less inputs": beside}
    return facts | {"dim": found.dim, "warning": found.warning, "missed": list(found.missed)}


def _seen(one: Seen) -> dict[str, Any]:
    sweep = [{**vars(step.plain), "whitened": step.whitened, "cosine": step.cosine} for step in one.sweep]
    return {"invariance": sweep, "told": {name: vars(value) for name, value in one.told.items()}, "blind": one.blind}


def _sentence(found: Matched, metric: str) -> str:
    if not found.warning:
        return "The representation is blind to none of the changes tried that its inputs show."
    if not found.needs:
        return found.warning
    worst = max(found.missed or found.needs, key=lambda name: found.needs[name].lost.value)
    lost = found.needs[worst].lost
    words = f"{100 * lost.value:.1f} points of {metric} (90 % interval {100 * lost.low:.1f} to {100 * lost.high:.1f})"
    ends = {
        "MISMATCH": f"This task does: scrambled by {worst}, the inputs lose {words}, and the features do worse on it.",
        "POSSIBLE MISMATCH": f"This task may: scrambled by {worst}, the inputs lose {words}; yet the features do no "
        "worse than the inputs.",
        "FITS": f"This task does not seem to: scrambled by {worst}, the inputs lose {words}.",
    }
    return f"{found.warning} {ends.get(found.verdict, f'Whether this task does is not settled: {worst}, {words}.')}"


def _caveats(subject: Subject, found: Matched) -> list[str]:
    said = ["Probes are linear: what only a deeper network could tell counts as not told."]
    if found.needs:
        said.append("What the task needs is judged by a linear map of the inputs, which overrates changes of place.")
    if found.warning and not found.needs:
        said.append("This task has no single class or number an example, so what it needs was not judged.")
    if len(subject.checkpoints) > 1:
        said.append(f"The first of {len(subject.checkpoints)} checkpoints was looked at.")
    return said


def _plot(found: Matched, changes: Sequence[Transformation]) -> Plot:
    places = list(range(1, len(changes) + 1))
    series = []
    for side, looks in (("pre-trained", found.features), ("random network", found.random), ("inputs", found.inputs)):
        last = [looks[change.name].sweep[-1].plain for change in changes]
        value, low, high = ([getattr(one, key) for one in last] for key in ("value", "low", "high"))
        series.append(Series(side, places, value, low, high, "points"))
    caption = "Invariance at the greatest strength (1: unmoved, 0: as far as another example), with 90 % intervals."
    return Plot(caption, "change", "invariance", series, names=[change.name for change in changes])


def _listing(found: Matched, changes: Sequence[Transformation]) -> Listing:
    head = ["change", "strength", "invariance", "whitened", "random", "inputs", "told by features", "random", "inputs"]
    rows = [_row(found, change) for change in changes]
    return Listing("Invariance and decodability, always together", [*head, "blind", "inputs lose"], rows)


def _row(found: Matched, change: Transformation) -> list[Any]:
    sides = [side[change.name] for side in (found.features, found.random, found.inputs)]
    still = [one.sweep[-1].plain.value for one in sides]
    lost = found.needs[change.name].lost.value if change.name in found.needs else math.nan
    first = [change.name, f"{change.strengths[-1]:g} {change.unit}", still[0], sides[0].sweep[-1].whitened, *still[1:]]
    said = "yes" if change.name in found.blind else "dim" if change.name in found.dim else "no"
    return [*first, *(one.most.value for one in sides), said, None if math.isnan(lost) else lost]
