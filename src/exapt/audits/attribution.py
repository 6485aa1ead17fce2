"""Attribution: which places of aligned DNA the adapted model reads, as a sequence logo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from exapt.adaptation import ClassicalSpec, Fitted, Start, fit
from exapt.adaptation.mutagenesis import Score, mutants, support
from exapt.audits.base import Audit, Subject, Trial
from exapt.domains.base import Dataset
from exapt.domains.dna import DnaDomain
from exapt.domains.tokens import PLAIN
from exapt.errors import InputError, nearest
from exapt.evidence.attribution import Profile, profile, runs, within
from exapt.evidence.finding import Finding, Listing, Logo, Plot, Series
from exapt.tasks.classify import ClassifyTask
from exapt.tasks.splits import draw_budget

LETTERS = "ACGT"
IDS = tuple(range(PLAIN, PLAIN + len(LETTERS)))
LEAST = 20
"""Fewer test examples of a class are too few."""
ArmName = Literal["pretrained", "scratch", "classical"]


@dataclass(frozen=True)
class Read:
    """What one model reads."""

    profile: Profile
    heights: np.ndarray
    """(L, 4) how much each base at each place raises the class's log-odds in the class's own sequences, against the
    mean of the four."""
    marked: tuple[float, float, float] | None
    """Support inside the marks less that outside, in the class's own sequences more than in others: estimate, low and
    high (90 %)."""


class AttributionAudit(Audit):
    """Which places of aligned sequences the adapted model reads.

    LOCALISED: some place is read more than the others, or the marked stretches are; FLAT: none.
    """

    asks: ClassVar[str] = "Which places of aligned sequences does the adapted model read?"
    kind: Literal["attribution"] = "attribution"
    arms: list[ArmName] = Field(default=["pretrained", "scratch", "classical"], min_length=1)
    """The models to look at, each fitted with the largest budget; the first decides the verdict."""
    budget: int | None = Field(default=None, ge=2)
    """Labels to fit with; None: the largest budget of the study."""
    examples: int = Field(default=100, ge=LEAST)
    """Test examples of the class, and as many others."""
    label: str | None = None
    """The class whose evidence is looked for; None: the last."""
    origin: int | None = Field(default=None, ge=0)
    """Which place, counted from 0, is called +1 (the start of transcription); the one before it is −1. None: places
    are counted from 1."""
    marks: dict[str, tuple[int, int]] = {}
    """Stretches to mark by name, their first and last place in the count of `origin`: `{"-10": [-13, -6]}`."""
    seed: int = 0

    @model_validator(mode="after")
    def _in_order(self) -> AttributionAudit:
        for name, (first, last) in self.marks.items():
            if first > last or 0 in (first, last):
                raise ValueError(f"marks.{name}: [{first}, {last}]; expected first ≤ last, and there is no place 0")
        return self

    def run(self, subject: Subject) -> Finding:
        """Raises `InputError` for what is not DNA in single bases, not classes, or of no common length."""
        task = subject.task
        if not isinstance(subject.domain, DnaDomain) or subject.domain.spec.tokens != "base":
            raise self.refuse("needs domain.kind=dna with tokens: base, where a place is one letter")
        if not isinstance(task, ClassifyTask):
            raise self.refuse("needs task.kind=classify with one class an example")
        name = self.label or task.classes[-1]
        if name not in task.classes:
            raise self.refuse(f"label: '{name}' is no class; {nearest(name, task.classes)}")
        ids, positive = self._chosen(subject, task.classes.index(name))
        marks = self._marks(ids.shape[1])
        found = {}
        for arm in self.arms:
            score = log_odds(self._fitted(subject, arm), task.classes.index(name))
            found[arm] = read(score, ids, positive, marks, self.seed)
        return self._finding(found, name, ids.shape[1], int(positive.sum()), marks)

    def _fitted(self, subject: Subject, arm: ArmName) -> Fitted:
        start = {
            "pretrained": lambda: Start(subject.domain, subject.start.backbone, objective=subject.start.objective),
            "scratch": lambda: Start(subject.domain, subject.fresh(self.seed)),
            "classical": lambda: Start(subject.domain),
        }[arm]()
        data, budget = subject.labelled, self.budget or max(subject.budgets)
        train, valid = draw_budget(data, subject.task, subject.pool, budget, self.seed)
        spec = ClassicalSpec() if arm == "classical" else subject.adapt
        return fit(spec, start, subject.task, data.subset(train), data.subset(valid), self.seed)

    def _chosen(self, subject: Subject, wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """Test examples of the commonest length (n, L), and which are of the class (n,)."""
        tests = subject.labelled.subset(subject.test)
        lengths, counts = np.unique(tests.lengths, return_counts=True)
        length = int(lengths[counts.argmax()])
        truth = subject.task.truth(tests)
        rng, chosen = np.random.default_rng(self.seed), []
        for mine in (truth == wanted, (truth != wanted) & (truth >= 0)):
            places = np.flatnonzero(mine & (tests.lengths == length))
            if len(places) < LEAST:
                raise self.refuse(f"{len(places)} test examples of a class have {length} bases; needs {LEAST}")
            chosen.append(np.sort(rng.permutation(places)[: self.examples]))
        ids = np.stack([tests.store[int(tests.rows[at])] for part in chosen for at in part])
        return ids, np.repeat([True, False], [len(part) for part in chosen])

    def _marks(self, length: int) -> dict[str, tuple[int, int]]:
        """The marks as first and last place, counted from 0."""
        names = self._names(length)
        found = {}
        for name, ends in self.marks.items():
            if not set(ends) <= set(names):
                raise self.refuse(f"marks.{name}: {list(ends)}; valid: places from {names[0]} to {names[-1]}")
            found[name] = (names.index(ends[0]), names.index(ends[1]))
        return found

    def _names(self, length: int) -> list[int]:
        """What each place is called."""
        origin = self.origin or 0
        return [place - origin + (place >= origin) for place in range(length)]

    def _finding(
        self, found: dict[ArmName, Read], label: str, length: int, count: int, marks: dict[str, tuple[int, int]]
    ) -> Finding:
        first = found[self.arms[0]]
        names = self._names(length)
        localised = first.profile.p < 0.05 or (first.marked is not None and first.marked[1] > 0)
        top = int(first.profile.t.argmax())
        effect = first.marked or (float(first.profile.excess[top]),) * 3
        return Finding(
            name="attribution",
            verdict="LOCALISED" if localised else "FLAT",
            effect=effect[0],
            interval=(effect[1], effect[2]) if first.marked else None,
            n=count,
            how=f"in-silico mutagenesis of {count} test sequences of class '{label}' and as many others, every base at "
            f"every place; log-odds of the class; {_what(bool(marks))}; the largest t over places under "
            "permuted classes, 90 % intervals",
            details={
                arm: {"p": one.profile.p, "excess": one.profile.excess.tolist(), "heights": one.heights.tolist()}
                for arm, one in found.items()
            },
            sentence=_sentence(self.arms[0], first, names, localised),
            level="good" if localised else "unsure",
            caveats=CAVEATS,
            plots=[_plot(found, names, label)],
            listings=[_table(found, names, marks)],
            logos=[
                Logo(
                    f"{arm}: how much each base at each place raises or lowers the log-odds of '{label}', mean over "
                    f"{count} test sequences of that class, against the mean of the four bases there.",
                    LETTERS,
                    one.heights.tolist(),
                    names,
                    self.marks,
                )
                for arm, one in found.items()
            ],
        )

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """A motif at one place must be found there; one anywhere, and composition, must be flat."""
        from exapt.audits.planted_motif import trials

        return trials(seed)


CAVEATS = (
    "One base is changed at a time: two copies of a motif stand in for each other, and each then seems to matter less.",
    "It says what this model reads, not what the cell does; a model that is often wrong reads the wrong places too.",
    "Only sequences that are aligned have places in common; a motif at a varying distance is smeared over them.",
)


def log_odds(fitted: Fitted, wanted: int) -> Score:
    """The log-odds of a class against all others."""

    def score(dataset: Dataset) -> np.ndarray:
        logits: Tensor = fitted.outputs(dataset).double()
        others = [c for c in range(logits.shape[1]) if c != wanted]
        return np.asarray((logits[:, wanted] - logits[:, others].logsumexp(1)).cpu().numpy())

    return score


def read(
    score: Callable[[Dataset], np.ndarray],
    ids: np.ndarray,
    positive: np.ndarray,
    marks: dict[str, tuple[int, int]],
    seed: int = 0,
) -> Read:
    """What a model that scores examples reads in sequences (n, L), some of which are of the class (n,)."""
    found = mutants(score, ids, IDS)
    supports = support(found, ids, IDS)
    mine = found[positive]
    heights = (mine - mine.mean(2, keepdims=True)).mean(0)
    return Read(profile(supports, positive, np.random.default_rng(seed)), heights, _marked(supports, positive, marks))


def _marked(
    supports: np.ndarray, positive: np.ndarray, marks: dict[str, tuple[int, int]]
) -> tuple[float, float, float] | None:
    if not marks:
        return None
    inside = np.zeros(supports.shape[1], dtype=bool)
    for first, last in marks.values():
        inside[first : last + 1] = True
    if inside.all():
        raise InputError("audit attribution: the marks cover every place, so nothing is left to compare with")
    gap = np.nanmean(supports[:, inside], 1) - np.nanmean(supports[:, ~inside], 1)
    one, other = gap[positive], gap[~positive]
    mean = float(one.mean() - other.mean())
    wide = 1.645 * float((one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other)) ** 0.5)
    return mean, mean - wide, mean + wide


def _what(marked: bool) -> str:
    if marked:
        return "the effect is the support by a base inside the marks less that by one outside, more than in the others"
    return "the effect is the largest excess of support at one place"


def _sentence(arm: str, found: Read, names: list[int], localised: bool) -> str:
    p = f"p = {found.profile.p:.3g} over all places at once"
    if not localised:
        return f"No place is read more than any other by '{arm}' ({p})."
    stretches = [f"{names[a]}" if a == b else f"{names[a]} to {names[b]}" for a, b in runs(found.profile.read)]
    top = names[int(found.profile.t.argmax())]
    if not stretches:
        return f"'{arm}' reads the marked stretches more than the rest, but no single place stands out ({p})."
    said = f"'{arm}' reads {', '.join(stretches)} more than elsewhere, most of all {top}".replace("-", "−")
    return f"{said} ({p})."


def _plot(found: dict[ArmName, Read], names: list[int], label: str) -> Plot:
    series = [
        Series(arm, names, one.profile.excess.tolist(), one.profile.low.tolist(), one.profile.high.tolist())
        for arm, one in found.items()
    ]
    caption = (
        f"How much more the base that stands there supports '{label}' in its own test sequences than in the others, "
        "less the mean over places: 0 everywhere for a model that reads composition alone. Bands: 90 %, place by place."
    )
    return Plot(caption, "place", "excess support, log-odds", series)


def _table(found: dict[ArmName, Read], names: list[int], marks: dict[str, tuple[int, int]]) -> Listing:
    head = ["model", "p over all places", "places read", "most read", *(f"mean in {name}" for name in marks)]
    rows = []
    for arm, one in found.items():
        excess = one.profile.excess
        inside = within(excess, marks)
        top = int(one.profile.t.argmax())
        rows.append([arm, one.profile.p, int(one.profile.read.sum()), names[top], *(inside[m][0] for m in marks)])
    return Listing("What each model reads; excess support in log-odds, 0 on average over all places", head, rows)
