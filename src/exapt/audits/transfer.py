"""Negative transfer: whether pre-training hurt, as a whole or for some part of the examples that the mean hides.

Wang et al. 2019 (arXiv 1811.09751): transfer is negative when the same algorithm has the higher risk with the source
than without it. A class or group can lose while the mean gains, so each part is tested too, with Holm's correction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from exapt.audits.base import Audit, Subject, Trial
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.paired import Comparison, compare, holm
from exapt.evidence.unit import Unit
from exapt.evidence.verdict import Verdict
from exapt.tasks.base import Task
from exapt.tasks.regress import RegressTask

LEVELS: dict[str, Level] = {"HELPS": "good", "EQUIVALENT": "good", "NON-INFERIOR": "good", "HARMS": "bad"}
ALPHA = 0.05
POINTS = Unit("right answers", points=True)


class TransferAudit(Audit):
    """Whether pre-training hurt: over all test examples, and for each class or group of them."""

    asks: ClassVar[str] = "Did pre-training hurt, or hurt some of the examples?"
    kind: Literal["transfer"] = "transfer"
    by: str = "class"
    """What tells parts apart: `class`, or a column of the labelled file that was read (its group column)."""
    margin: float = Field(default=0.01, ge=0)
    """The difference in the share of right answers that matters, set before looking."""
    least: PositiveInt = 10
    """A part with fewer test examples is not judged by itself."""

    def run(self, subject: Subject) -> Finding:
        """Judge the study's own fits; raises `InputError` where there are none, or no part is large enough."""
        differences = paired_items(subject)
        parts = self._parts(subject)
        overall = compare(np.nanmean(differences, axis=1), self.margin, resamples=0)
        sizes = {name: int(mask.sum()) for name, mask in parts.items()}
        judged = {name: mask for name, mask in parts.items() if sizes[name] >= self.least}
        each = {
            name: compare(np.nanmean(differences[:, mask], axis=1), self.margin, resamples=0)
            for name, mask in judged.items()
        }
        harmed = harmed_parts(each)
        verdict = "HARMS" if overall.verdict is Verdict.HARMS else "HARMS SOME" if harmed else str(overall.verdict)
        return Finding(
            name="transfer",
            verdict=verdict,
            effect=overall.mean,
            interval=(overall.low, overall.high),
            n=overall.n,
            how=f"{_what(subject.task)[0]}, pre-trained minus scratch, paired by seed over {overall.n} seeds, mean "
            f"over budgets; {len(each)} parts by {self.by}, one-sided t-tests after Holm",
            details={
                "overall": overall.plain(),
                "parts": {name: c.plain() for name, c in each.items()},
                "sizes": sizes,
                "harmed": harmed,
            },
            sentence=_sentence(overall, harmed, len(each), self.by, _what(subject.task)),
            level="bad" if harmed else LEVELS.get(verdict, "unsure"),
            caveats=_caveats(subject, sizes, self.least),
            plots=[_plot(each, self.by, _what(subject.task)[1])] if each else [],
            listings=[_listing(each, sizes, self.by)] if each else [],
        )

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """A useful source, a harmful one, none, and one that harms a single class of ten."""
        cases = {
            "useful source (+3 points)": (0.03, 0.0, ("HELPS",), 0.9),
            "harmful source (−3 points)": (-0.03, 0.0, ("HARMS",), 0.9),
            "no difference: no harm is claimed": (
                0.0,
                0.0,
                ("HELPS", "EQUIVALENT", "NON-INFERIOR", "INCONCLUSIVE"),
                0.85,
            ),
            "helps on average (+2 points), one class of ten loses 15": (0.02, -0.15, ("HARMS SOME",), 0.8),
        }
        rng = np.random.default_rng(seed)
        return [_trial(what, *case, rng=rng) for what, case in cases.items()]

    def _parts(self, subject: Subject) -> dict[str, np.ndarray]:
        """Masks (n,) over the test examples, or over all their elements where those are labelled, by name."""
        test = subject.labelled.subset(subject.test)
        if self.by != "class":
            values = test.column(self.by)
            each = subject.domain.kept(test) if subject.task.per_element else 1
            return {str(value): np.repeat(values == value, each) for value in sorted(set(values.tolist()), key=str)}
        if not subject.task.every_stratum:
            return {}
        strata = subject.task.strata(test)
        names = list(subject.task.counts(test))
        return {names[int(k)] if int(k) < len(names) else str(k): strata == k for k in np.unique(strata)}


def paired_items(subject: Subject, treatment: str = "pretrained", control: str = "scratch") -> np.ndarray:
    """(seeds, test examples) differences of item scores, averaged over budgets."""
    if not subject.fits or subject.items is None:
        raise TransferAudit().refuse("needs a study's fits; run `exapt run` first and give its folder")
    scores: dict[str, dict[int, list[np.ndarray]]] = {treatment: defaultdict(list), control: defaultdict(list)}
    for record in sorted(subject.fits, key=lambda r: r["budget"]):
        if record["arm"] in scores:
            scores[record["arm"]][record["seed"]].append(subject.items(record))
    seeds = sorted(scores[treatment].keys() & scores[control].keys())
    return np.stack([np.mean(scores[treatment][s], axis=0) - np.mean(scores[control][s], axis=0) for s in seeds])


def harmed_parts(each: dict[str, Comparison], alpha: float = ALPHA) -> list[str]:
    """The parts whose loss survives Holm's correction."""
    if not each:
        return []
    adjusted = holm([c.t_less for c in each.values()])
    return [name for name, p, c in zip(each, adjusted, each.values(), strict=True) if p <= alpha and c.mean < 0]


def _what(task: Task) -> tuple[str, str]:
    """What an example scores, and its unit where it is told as 100 times as much."""
    if isinstance(task, RegressTask):
        return "negative squared error of test examples", "hundredths of the labels' variance"
    return "share of right test answers", "points"


def _sentence(overall: Comparison, harmed: Sequence[str], parts: int, by: str, what: tuple[str, str]) -> str:
    mean = POINTS.number(overall.mean, 1, signed=True)
    words = f"The {what[0]} changed by {mean} {what[1]} with pre-training "
    words += f"(90 % interval {_ends(overall)}, n = {overall.n} seeds)"
    if harmed:
        return f"{words}; {by} {', '.join(harmed)} lost by more than chance, of {parts} tested."
    return f"{words}; none of {parts} parts by {by} lost by more than chance." if parts else f"{words}."


def _ends(c: Comparison) -> str:
    return f"{POINTS.number(c.low, 1)} to {POINTS.number(c.high, 1)}"


def _caveats(subject: Subject, sizes: dict[str, int], least: int) -> list[str]:
    small = [name for name, size in sizes.items() if size < least]
    said = ["Answers are counted right or wrong (or by squared error) whatever the study's metric is."]
    if len(subject.checkpoints) == 1:
        said.append("One checkpoint was adapted: another pre-training run could harm other parts.")
    return said + ([f"Too few test examples to judge: {', '.join(small)}."] if small else [])


def _plot(each: dict[str, Comparison], by: str, unit: str) -> Plot:
    places = list(range(1, len(each) + 1))
    low, mean, high = ([100 * getattr(c, key) for c in each.values()] for key in ("low", "mean", "high"))
    series = Series("difference", places, mean, low, high, "points")
    names = ", ".join(f"{i} {name}" for i, name in zip(places, each, strict=True))
    return Plot(
        f"Pre-trained minus scratch for each {by} with its 90 % interval over seeds: {names}.", by, unit, [series]
    )


def _listing(each: dict[str, Comparison], sizes: dict[str, int], by: str) -> Listing:
    adjusted = holm([c.t_less for c in each.values()])
    rows = [
        [name, sizes[name], 100 * c.mean, _ends(c), str(c.verdict), float(p)]
        for (name, c), p in zip(each.items(), adjusted, strict=True)
    ]
    return Listing(
        f"Each {by}", [by, "test examples", "difference, points", "90 % interval", "verdict", "p of a loss, Holm"], rows
    )


def _trial(
    what: str,
    gain: float,
    loss: float,
    wanted: tuple[str, ...],
    least: float,
    *,
    rng: np.random.Generator,
    runs: int = 60,
) -> Trial:
    """Simulated item differences of five seeds: ten classes of 100 test examples; the last one may lose by itself."""
    right = 0
    for _ in range(runs):
        seeds = rng.normal(0, 0.01, (5, 1))
        shift = np.full(10, gain)
        shift[-1] += loss
        by_class = seeds + shift + rng.normal(0, 0.02, (5, 10))
        each = {str(k): compare(by_class[:, k], 0.01, resamples=0) for k in range(10)}
        overall = compare(by_class.mean(axis=1), 0.01, resamples=0)
        harmed = harmed_parts(each)
        verdict = "HARMS" if overall.verdict is Verdict.HARMS else "HARMS SOME" if harmed else str(overall.verdict)
        right += verdict in wanted
    return Trial(what, wanted, right, runs, least, {"planted": gain})


__all__: list[Any] = ["TransferAudit", "harmed_parts", "paired_items"]
