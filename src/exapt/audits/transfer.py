"""Negative transfer: whether pre-training hurt, as a whole or for some part of the examples that the mean hides.

Wang et al. 2019 (arXiv 1811.09751): transfer is negative when the same algorithm has the higher risk with the source
than without it. A class or group can lose while the mean gains, so each part is tested too, with Holm's correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.planted_transfer import planted_trials
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.paired import Comparison, compare, holm
from exapt.evidence.twoway import TwoWay, two_way
from exapt.evidence.unit import Unit
from exapt.evidence.verdict import Verdict
from exapt.tasks.base import Task
from exapt.tasks.regress import RegressTask

LEVELS: dict[str, Level] = {"HELPS": "good", "EQUIVALENT": "good", "NON-INFERIOR": "good", "HARMS": "bad"}
ALPHA = 0.05
POINTS = Unit("right answers", points=True)
SHOWN = 40
"""A plot of more parts than this is unreadable: the worst are shown."""


class TransferAudit(Audit):
    """Whether pre-training hurt: over all test examples, and for each class or group of them."""

    asks: ClassVar[str] = "Did pre-training hurt, or hurt some of the examples?"
    kind: Literal["transfer"] = "transfer"
    by: str = "class"
    """What tells parts apart: `class`, or a column of the labelled file that was read (its group column)."""
    margin: float = Field(default=0.01, ge=0)
    """The difference in the share of right answers that matters, set before looking."""
    least: int = Field(default=10, ge=2)
    """A part with fewer test examples is not judged by itself."""
    treatment: str = "pretrained"
    """The arm that is asked about …"""
    control: str = "scratch"
    """… and the one it is held against."""

    def run(self, subject: Subject) -> Finding:
        """Judge the study's own fits; raises `InputError` where there are too few, or the column was not read."""
        differences, diverged = paired_items(subject, self.treatment, self.control)
        parts = self._parts(subject, differences.shape[1])
        overall = compare(np.nanmean(differences, axis=1), self.margin, resamples=0)
        fresh = two_way(differences)
        each = judge_parts(differences, parts, self.least)
        harmed = harmed_parts(each, self.margin)
        verdict = verdict_of(overall.verdict, harmed)
        sizes = {name: int(mask.sum()) for name, mask in parts.items()}
        what, unit = _what(subject.task)
        return Finding(
            name="transfer",
            verdict=verdict,
            effect=overall.mean,
            interval=(overall.low, overall.high),
            n=overall.n,
            how=f"{what}, {self.treatment} minus {self.control}, paired by seed over {overall.n} "
            f"seeds, mean over budgets; {len(each)} parts by {self.by}: one-sided t-tests over seeds and test examples "
            "together, after Holm",
            details={
                "overall": overall.plain(),
                "overall, fresh test examples": fresh.plain(),
                "parts": {name: c.plain() for name, c in each.items()},
                "sizes": sizes,
                "harmed": harmed,
                "diverged": diverged,
            },
            sentence=_sentence(overall, fresh, harmed, len(each), self, (what, unit)),
            level="bad" if harmed else LEVELS.get(verdict, "unsure"),
            caveats=_caveats(subject, {n: s for n, s in sizes.items() if n not in each}, diverged),
            plots=[_plot(each, self.by, unit)] if each else [],
            listings=[_listing(each, self.by, unit)] if each else [],
        )

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """A useful source, a harmful one, none, and one that harms a single class of ten."""
        return planted_trials(decide, seed)

    def _parts(self, subject: Subject, items: int) -> dict[str, np.ndarray]:
        """Masks (items,) by name: over test examples, or over their elements where the task labels those."""
        test = subject.labelled.subset(subject.test)
        parts = _by_class(subject, test) if self.by == "class" else _by_column(test, self.by)
        if subject.task.per_element:
            kept = subject.domain.kept(test)
            parts = {name: np.repeat(mask, kept) for name, mask in parts.items()}
        wrong = next((name for name, mask in parts.items() if len(mask) != items), None)
        if wrong is not None:
            raise self.refuse(f"the fits hold {items} scores each, the test part {len(parts[wrong])}: other data")
        return parts


def paired_items(
    subject: Subject, treatment: str = "pretrained", control: str = "scratch"
) -> tuple[np.ndarray, dict[str, int]]:
    """(seeds, items) differences of item scores, means over budgets, and how many fits of each arm diverged.

    Only cells (seed, budget) that both arms have are paired, and a diverged fit keeps its wrong answers. Raises
    `InputError` where there are no fits, or where seeds have unlike budgets.
    """
    if not subject.fits or subject.items is None:
        raise TransferAudit().refuse("needs a study's fits; run `exapt run` first and give its folder")
    cells: dict[str, dict[tuple[int, int], dict[str, Any]]] = {treatment: {}, control: {}}
    for record in subject.fits:
        if record["arm"] in cells:
            cells[record["arm"]][record["seed"], record["budget"]] = record
    for arm, found in cells.items():
        if not found:
            there = ", ".join(sorted({record["arm"] for record in subject.fits}))
            raise TransferAudit().refuse(f"the study has no fits of arm '{arm}'; there are: {there}")
    both = sorted(cells[treatment].keys() & cells[control].keys())
    seeds = sorted({seed for seed, _ in both})
    budgets = {seed: [b for s, b in both if s == seed] for seed in seeds}
    if len(seeds) < 2 or any(budgets[s] != budgets[seeds[0]] for s in seeds):
        raise TransferAudit().refuse(
            f"{len(seeds)} seeds have fits of both '{treatment}' and '{control}' at the same budgets; 2 are the least, "
            "5 better: finish the study with `exapt run`"
        )
    rows = [
        np.mean([subject.items(cells[treatment][s, b]) - subject.items(cells[control][s, b]) for b in budgets[s]], 0)
        for s in seeds
    ]
    diverged = {
        arm: sum(bool(r.get("fit", {}).get("diverged")) for r in found.values()) for arm, found in cells.items()
    }
    return np.stack(rows), diverged


def judge_parts(differences: np.ndarray, parts: Mapping[str, np.ndarray], least: int) -> dict[str, TwoWay]:
    """Every part of the items (n,) with at least so many known scores, its differences (S, n) judged by itself."""
    known = np.isfinite(differences).all(0)
    large = {name: mask & known for name, mask in parts.items() if int((mask & known).sum()) >= least}
    return {name: two_way(differences[:, mask]) for name, mask in large.items()}


def harmed_parts(each: Mapping[str, TwoWay], margin: float = 0.0, alpha: float = ALPHA) -> list[str]:
    """The parts whose loss survives Holm's correction and exceeds the margin."""
    if not each:
        return []
    adjusted = holm([c.p_less for c in each.values()])
    return [name for (name, c), p in zip(each.items(), adjusted, strict=True) if p <= alpha and c.mean < -margin]


def verdict_of(overall: Verdict, harmed: Sequence[str]) -> str:
    """HARMS where the whole lost, HARMS SOME where a part did, else what holds of the whole."""
    return "HARMS" if overall is Verdict.HARMS else "HARMS SOME" if harmed else str(overall)


def decide(differences: np.ndarray, parts: Mapping[str, np.ndarray], margin: float = 0.01, least: int = 10) -> str:
    """The verdict on differences (S, n) of items in parts."""
    overall = compare(np.nanmean(differences, axis=1), margin, resamples=0)
    return verdict_of(overall.verdict, harmed_parts(judge_parts(differences, parts, least), margin))


def _by_class(subject: Subject, test: Dataset) -> dict[str, np.ndarray]:
    if not subject.task.every_stratum:
        return {}
    strata = subject.task.strata(test)
    names = list(subject.task.counts(test))
    return {names[int(k)] if int(k) < len(names) else str(k): strata == k for k in np.unique(strata)}


def _by_column(test: Dataset, name: str) -> dict[str, np.ndarray]:
    try:
        values = np.array([str(value) for value in test.column(name).tolist()])
    except InputError as error:
        raise TransferAudit().refuse(f"by: {error}; name it as group, label or split of `labelled`") from None
    return {value: values == value for value in sorted(set(values.tolist()))}


def _what(task: Task) -> tuple[str, str]:
    """What an example scores, and its unit where it is told as 100 times as much."""
    if isinstance(task, RegressTask):
        return "negative squared error of test examples", "hundredths of the labels' variance"
    return "share of right test answers", "points"


def _sentence(
    overall: Comparison,
    fresh: TwoWay,
    harmed: Sequence[str],
    parts: int,
    audit: TransferAudit,
    what: tuple[str, str],
) -> str:
    mean = POINTS.number(overall.mean, 1, signed=True)
    interval = f"90 % interval {_ends(overall)} over {overall.n} seeds, {_ends(fresh)} with fresh test examples too"
    words = f"The {what[0]} changed by {mean} {what[1]} from {audit.control} to {audit.treatment} ({interval})"
    if harmed:
        return f"{words}; {audit.by} {', '.join(harmed)} lost by more than chance, of {parts} tested."
    return f"{words}; none of {parts} parts by {audit.by} lost by more than chance." if parts else f"{words}."


def _caveats(subject: Subject, small: Mapping[str, int], diverged: Mapping[str, int]) -> list[str]:
    said = ["Answers are counted right or wrong (or by squared error) whatever the study's metric is."]
    if len(subject.checkpoints) == 1:
        said.append("One checkpoint was adapted: another pre-training run could harm other parts.")
    if any(diverged.values()):
        said.append("Fits that diverged count with the answers they gave: " + _counted(diverged) + ".")
    return said + ([f"Too few test examples to judge: {_counted(small)}."] if small else [])


def _ends(c: Comparison | TwoWay) -> str:
    return f"{POINTS.number(c.low, 1)} to {POINTS.number(c.high, 1)}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:12])


def _plot(each: Mapping[str, TwoWay], by: str, unit: str) -> Plot:
    shown = dict(sorted(each.items(), key=lambda pair: pair[1].mean)[:SHOWN])
    places = list(range(1, len(shown) + 1))
    low, mean, high = ([100 * getattr(c, key) for c in shown.values()] for key in ("low", "mean", "high"))
    return Plot(
        f"Pre-trained minus scratch for each {by}, the worst first; 90 % intervals over seeds and test examples.",
        by,
        unit,
        [Series("difference", places, mean, low, high, "points")],
        names=list(shown),
    )


def _listing(each: Mapping[str, TwoWay], by: str, unit: str) -> Listing:
    adjusted = holm([c.p_less for c in each.values()])
    rows = [
        [
            name,
            c.items,
            100 * c.mean,
            _ends(c),
            100 * c.se_seeds,
            100 * c.se_items,
            float(p),
        ]
        for (name, c), p in zip(each.items(), adjusted, strict=True)
    ]
    head = [by, "test examples", f"difference, {unit}", "90 % interval", "± by seeds", "± by examples"]
    return Listing(f"Each {by}: mean, and its standard errors", [*head, "p of a loss, Holm"], rows)
