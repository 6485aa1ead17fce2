"""Which learning-rate schedule is best, for pre-training and for fine-tuning, and whether the pre-training loss tells.

At equal steps and equal peak rates. A schedule with the lower pre-training loss need not give the better start: without
any decay the loss is higher and fine-tuning was better at 1B and 8B parameters (arXiv 2603.16127). So the score on the
task ranks, and the loss is only compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from exapt.adaptation import Start, fit
from exapt.audits import schedules_display as display
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.variants import Variant, Variants
from exapt.domains.base import Dataset
from exapt.evidence.finding import Finding
from exapt.evidence.ranking import Agreement, Ranking, agreement, best_of, rank
from exapt.tasks.splits import draw_budget
from exapt.training.schedule import ScheduleSpec

ALPHA = 0.05
LEAST = 50
"""Fewer examples than these to score on say nothing."""
PRETRAINING = {
    "cosine": ScheduleSpec(kind="cosine"),
    "exponential": ScheduleSpec(kind="exponential"),
    "wsd": ScheduleSpec(kind="wsd"),
    "constant": ScheduleSpec(kind="constant"),
}
TUNING = {"linear": ScheduleSpec(kind="linear", warmup=0.1), "step": ScheduleSpec(kind="step", warmup=0.1)}
Schedules = Annotated[dict[str, ScheduleSpec], Field(min_length=1)]


class SchedulesAudit(Audit):
    """Every schedule of pre-training with every one of fine-tuning, over seeds, at equal steps."""

    asks: ClassVar[str] = "Which learning-rate schedule is best?"
    kind: Literal["schedules"] = "schedules"
    pretraining: Schedules = PRETRAINING
    """Schedules of pre-training by name; one alone compares fine-tuning only."""
    tuning: Schedules = TUNING
    """Schedules of fine-tuning by name."""
    steps: PositiveInt = 200
    """Optimiser steps of each pre-training."""
    seeds: int = Field(default=5, ge=3)
    """Networks, orders and labels drawn anew; each schedule pre-trains once a seed."""
    budget: PositiveInt | None = None
    """Labels to fine-tune with; None: the study's smallest budget, where a start matters most."""
    margin: float = Field(default=0.01, ge=0)
    """The difference in the metric that matters, set before looking."""
    most: PositiveInt = 2000
    """The most examples to score on; they are of the pool, neither tuned on nor of the test part."""

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if len(self.pretraining) < 2 and len(self.tuning) < 2:
            raise ValueError("one schedule of each kind leaves nothing to compare; name at least two of either")
        for name, schedule in self.tuning.items():
            if schedule.warmup >= 1:
                raise ValueError(f"tuning.{name}.warmup {schedule.warmup:g} counts steps; give a share below 1")
        for name, schedule in self.pretraining.items():
            if schedule.warmup_steps(self.steps) >= self.steps:
                raise ValueError(
                    f"pretraining.{name}.warmup {schedule.warmup:g} leaves none of {self.steps} steps at the full rate"
                )
        return self

    def run(self, subject: Subject) -> Finding:
        """Pre-train, fine-tune and score every cell. Raises `InputError` where corpus or examples do not suffice."""
        variants = Variants(subject)
        cells = [self._seed(subject, variants, seed) for seed in range(self.seeds)]
        losses, scores = np.stack([c.losses for c in cells]), np.stack([c.scores for c in cells])
        ranked = judge(list(self.pretraining), list(self.tuning), scores, self.margin)
        return self._finding(subject, losses, scores, ranked)

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """A best schedule of pre-training, one of fine-tuning, none at all, and a loss that misleads."""
        rng = np.random.default_rng(seed)
        nothing = ("NO SCHEDULE STANDS OUT", "ALL WITHIN THE MARGIN")
        return [
            _trial("one pre-training schedule of four is 4 points better", 0.04, 0.0, ("WSD IS BEST",), 0.85, rng),
            _trial("one tuning schedule of two is 3 points better", 0.0, 0.03, ("STEP IS BEST FOR TUNING",), 0.85, rng),
            _trial("all are alike: none is called best", 0.0, 0.0, nothing, 0.9, rng, runs=200),
            _misled(rng),
        ]

    def _seed(self, subject: Subject, variants: Variants, seed: int) -> Cells:
        """All schedules of one seed: the same labels, the same order, the same network to begin with."""
        parts = self._parts(subject, seed)
        losses, scores = [], []
        for schedule in self.pretraining.values():
            made = variants.make(seed, steps=self.steps, schedule=schedule.plain())
            losses.append(made.loss)
            scores.append([self._score(subject, made, tune, parts, seed) for tune in self.tuning.values()])
        return Cells(np.array(losses), np.array(scores))

    def _parts(self, subject: Subject, seed: int) -> tuple[Dataset, Dataset, Dataset]:
        """Training and validation part of the budget, and what of the pool it left: to score on."""
        data = subject.labelled
        train, valid = draw_budget(data, subject.task, subject.pool, self._budget(subject), seed)
        left = np.setdiff1d(subject.pool, np.concatenate([train, valid]))
        if len(left) < LEAST:
            raise self.refuse(
                f"{len(left)} labelled examples are left to score on beside a budget of {self._budget(subject)}; "
                f"choose a budget of at most {len(subject.pool) - LEAST}"
            )
        chosen = np.random.default_rng(seed).permutation(left)[: self.most]
        return data.subset(train), data.subset(valid), data.subset(np.sort(chosen))

    def _score(
        self, subject: Subject, made: Variant, tune: ScheduleSpec, parts: tuple[Dataset, Dataset, Dataset], seed: int
    ) -> float:
        """The metric after fine-tuning; where pre-training or every fit diverged, that of knowing nothing."""
        task, (train, valid, judged) = subject.task, parts
        truth = task.truth(judged, subject.domain.kept(judged) if task.per_element else None)
        if made.diverged:
            return task.chance(truth)
        adapt = subject.adapt.model_copy(update={"schedule": tune, "warmup": 0.1})
        fitted = fit(adapt, Start(subject.domain, made.backbone), task, train, valid, seed)
        return task.chance(truth) if fitted.record["diverged"] else task.metric(fitted.predict(judged), truth)

    def _budget(self, subject: Subject) -> int:
        return self.budget or min(subject.budgets)

    def _finding(self, subject: Subject, losses: np.ndarray, scores: np.ndarray, ranked: Judged) -> Finding:
        told = agreement(-losses, scores.mean(2)) if len(self.pretraining) > 2 else None
        metric, main = subject.task.metric_name, ranked.main
        lead = main.rows[0].to_best
        names = [list(self.pretraining), list(self.tuning)]
        return Finding(
            name="schedules",
            verdict=ranked.verdict,
            effect=lead[0],
            interval=(lead[1], lead[2]),
            n=self.seeds,
            how=f"{metric} on labelled examples of the pool that no fit saw; {len(names[0])} schedules of pre-training "
            f"({self.steps} steps) × {len(names[1])} of fine-tuning ({self._budget(subject)} labels) × {self.seeds} "
            f"seeds at equal peak rates; lead of the highest mean over the next, t-interval with pooled residuals",
            details={
                "pre-training": ranked.pretraining.plain() if ranked.pretraining else None,
                "fine-tuning": ranked.tuning.plain() if ranked.tuning else None,
                "loss and score": told.__dict__ if told else None,
                "losses": losses.tolist(),
                "scores": scores.tolist(),
            },
            sentence=display.sentence(ranked.pretraining, ranked.tuning, metric, self.seeds, told),
            level="good" if ranked.verdict != NOTHING else "unsure",
            caveats=display.caveats(self.seeds, told, losses, scores.mean(2), names[0]),
            plots=display.plots(losses, scores, names, metric),
            listings=display.listings(ranked.pretraining, ranked.tuning, losses, scores, names),
        )


NOTHING, ALIKE = "NO SCHEDULE STANDS OUT", "ALL WITHIN THE MARGIN"


@dataclass(frozen=True)
class Cells:
    """What one seed gave."""

    losses: np.ndarray
    """(P,) held-out loss of each pre-training."""
    scores: np.ndarray
    """(P, T) after each fine-tuning."""


@dataclass(frozen=True)
class Judged:
    """The ranking of each kind of schedule, averaged over the other kind; None where there is only one."""

    verdict: str
    pretraining: Ranking | None
    tuning: Ranking | None

    @property
    def main(self) -> Ranking:
        """What the verdict's number is of: the kind with a winner, pre-training before fine-tuning."""
        found = [one for one in (self.pretraining, self.tuning) if one]
        return next((one for one in found if one.best), found[0])


def judge(pretraining: list[str], tuning: list[str], scores: np.ndarray, margin: float = 0.01) -> Judged:
    """Rank by scores (S, P, T). The chance of naming any schedule the best wrongly is 5 % over both kinds."""
    tables = [(names, table) for names, table in _tables(pretraining, tuning, scores) if len(names) > 1]
    ranked = [rank(names, table, margin, ALPHA / len(tables)) for names, table in tables]
    before, after = (ranked.pop(0) if len(names) > 1 else None for names in (pretraining, tuning))
    return Judged(verdict_of(pretraining, tuning, scores, margin), before, after)


def verdict_of(pretraining: list[str], tuning: list[str], scores: np.ndarray, margin: float = 0.01) -> str:
    """The verdict of `judge` alone."""
    tables = _tables(pretraining, tuning, scores)
    alpha = ALPHA / sum(len(names) > 1 for names, _ in tables)
    found = [best_of(names, table, margin, alpha) if len(names) > 1 else (None, True) for names, table in tables]
    first, second = (best.upper() if best else None for best, _ in found)
    if first and second:
        return f"{first}, THEN {second} IS BEST"
    if first or second:
        return f"{first} IS BEST" if first else f"{second} IS BEST FOR TUNING"
    return ALIKE if all(alike for _, alike in found) else NOTHING


def _tables(pretraining: list[str], tuning: list[str], scores: np.ndarray) -> list[tuple[list[str], np.ndarray]]:
    """The names and scores (S, K) of each kind of schedule, averaged over the other kind."""
    return [(pretraining, scores.mean(2)), (tuning, scores.mean(1))]


def _trial(
    what: str,
    before: float,
    after: float,
    wanted: tuple[str, ...],
    least: float,
    rng: np.random.Generator,
    runs: int = 60,
) -> Trial:
    """Four schedules × two × five seeds; a seed's own level, a pre-training's own noise, a fit's own noise."""
    right = 0
    for _ in range(runs):
        scores = 0.8 + _noise(rng, 4, 2)
        scores[:, 2] += before
        scores[:, :, 1] += after
        right += verdict_of(list(PRETRAINING), list(TUNING), scores) in wanted
    return Trial(what, wanted, right, runs, least, {"planted": max(before, after)})


def _noise(rng: np.random.Generator, count: int, tuned: int) -> np.ndarray:
    seeds, nets = rng.normal(0, 0.02, (5, 1, 1)), rng.normal(0, 0.008, (5, count, 1))
    noise: np.ndarray = seeds + nets + rng.normal(0, 0.008, (5, count, tuned))
    return noise


def _misled(rng: np.random.Generator, runs: int = 60) -> Trial:
    """The loss orders the schedules the other way round: the whole interval of the correlation must be below 0."""
    right = 0
    for _ in range(runs):
        scores = 0.8 + np.array([0.0, 0.02, 0.04, 0.06]) + _noise(rng, 4, 2).mean(2)
        losses = 1.0 + np.array([0.0, 0.02, 0.04, 0.06]) + rng.normal(0, 0.005, (5, 4))
        right += agreement(-losses, scores).high < 0
    return Trial("the loss misleads: said so", ("below 0",), right, runs, 0.9)


__all__: list[Any] = ["Agreement", "Judged", "SchedulesAudit", "judge", "verdict_of"]
