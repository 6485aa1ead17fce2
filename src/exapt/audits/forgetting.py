"""Forgetting: how much of the pre-training ability an adaptation loses, and what each remedy keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from exapt.adaptation import EwcSpec, FinetuneSpec, L2spSpec, LwfSpec, Origin, ReplaySpec, Start, embed_elements, fit
from exapt.adaptation.anchors import Anchors, AnchorSpec
from exapt.adaptation.origin import corpus_parts, pretraining_origin
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.forgetting_words import listing, plot, sentence
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.evidence.finding import Finding, Level
from exapt.evidence.forgetting import recoverable, relative_rise
from exapt.evidence.paired import Comparison, compare
from exapt.objectives import Objective
from exapt.tasks.splits import draw_budget
from exapt.training.holdout import HeldOut
from exapt.training.launch import Launch
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

Remedy = Literal["plain", "l2sp", "ewc", "lwf", "replay", "ewc+replay"]
ANCHORS: dict[str, L2spSpec | EwcSpec | LwfSpec | ReplaySpec] = {
    "l2sp": L2spSpec(alphas=[100.0]),
    "ewc": EwcSpec(),
    "lwf": LwfSpec(),
    "replay": ReplaySpec(),
}
"""Each remedy at its default strength; L2-SP at one α, so that validation does not simply let go."""
LEVELS: dict[str, Level] = {"KEEPS": "good", "FORGETS": "bad", "UNDECIDED": "unsure"}
WINDOWS = 128
"""Held-out examples whose features are compared."""
ELEMENTS = 4096


@dataclass(frozen=True)
class Outcome:
    """What one fit kept and gained."""

    loss: float
    """The held-out pre-training loss of the adapted backbone under the unchanged pre-training head."""
    kept: float | None
    """The share of the old features that a linear map of the new ones gives back; None with too few elements."""
    score: float
    """The task's metric on the test part."""
    terms: dict[str, float] = field(default_factory=dict)
    """The objective's other figures on the same held-out data, such as errors of energies and forces."""


class ForgettingAudit(Audit):
    """Fine-tune as the study does, with and without remedies, and take the pre-training loss again on held-out data."""

    asks: ClassVar[str] = "Does adapting the network lose what pre-training taught it, and which remedy keeps it?"
    kind: Literal["forgetting"] = "forgetting"
    remedies: list[Remedy] = Field(default=["plain", "l2sp", "ewc", "replay"], min_length=1)
    """What to try. The verdict is on the first; `plain` is the study's own fine-tuning without any anchor."""
    anchors: Anchors = []
    """How the remedies hold, such as `{kind: ewc, strength: 300}`; one that is not named stands as in the study's own
    fine-tuning, or at its default."""
    margin: float = Field(default=0.05, gt=0)
    """The relative rise of the held-out pre-training loss that matters, set before looking."""
    budget: PositiveInt | None = None
    """Labels to adapt with; None: the study's largest budget."""
    seeds: int | None = Field(default=None, ge=2)
    """Fits for each remedy; None: the study's number, at most 5."""

    def run(self, subject: Subject) -> Finding:
        """Adapt and measure; raises `InputError` where the corpus is not known or nothing of it was held out."""
        corpus = subject.corpus()
        held = corpus_parts(subject.start, corpus)[1]
        if held is None:
            raise self.refuse("nothing of the corpus was held out from pre-training; pre-train with holdout above 0")
        source = pretraining_origin(subject.start, lambda: corpus)
        measure = Ability(subject, source, held)
        seeds = self.seeds or max(2, min(5, subject.seeds))
        found: dict[str, list[Outcome]] = {
            remedy: [self._outcome(subject, source, measure, remedy, seed) for seed in range(seeds)]
            for remedy in dict.fromkeys(self.open_to(source.objective))
        }
        budget = self.budget or max(subject.budgets)
        return self.conclude(found, measure.before, subject.task.metric_name, budget, terms=measure.terms)

    def open_to(self, objective: Objective) -> list[Remedy]:
        """The remedies to try: the default ones without EWC where an objective predicts no single item."""
        asked = self.remedies != type(self)().remedies
        return self.remedies if asked or objective.guesses else [one for one in self.remedies if "ewc" not in one]

    def conclude(
        self,
        found: Mapping[str, Sequence[Outcome]],
        before: float,
        metric: str,
        budget: int,
        unit: str = "loss",
        terms: Mapping[str, float] | None = None,
    ) -> Finding:
        """The finding of outcomes by remedy, one a seed, against the held-out loss (and the objective's other figures)
        before adaptation."""
        rises = {name: relative_rise(before, np.array([o.loss for o in each])) for name, each in found.items()}
        judged = {name: compare(rise, self.margin, resamples=0) for name, rise in rises.items()}
        first = next(iter(judged))
        verdict = verdict_of(judged[first], self.margin)
        verdicts = {name: verdict_of(one, self.margin) for name, one in judged.items()}
        return Finding(
            name="forgetting",
            verdict=verdict,
            effect=judged[first].mean,
            interval=(judged[first].low, judged[first].high),
            n=judged[first].n,
            how=f"relative rise of the held-out pre-training {unit} after fine-tuning on {budget} labels ({first}), "
            f"t-interval over {judged[first].n} seeds of labels, head and data order, against a margin of "
            f"{self.margin:g}",
            details={
                "before": before,
                "before_terms": dict(terms or {}),
                "verdicts": verdicts,
                "rises": {name: one.plain() for name, one in judged.items()},
                "outcomes": {name: [vars(o) for o in each] for name, each in found.items()},
            },
            sentence=sentence(judged, verdicts, self.margin),
            level=LEVELS[verdict],
            caveats=[*CAVEATS, *(f"{one} was not tried." for one in self.remedies if one not in found)],
            plots=[plot(found, before, metric)],
            listings=[listing(found, judged, verdicts, metric, terms or {})],
        )

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Digits, then digits with their pixels permuted: plain training must be caught, what holds on must pass."""
        from exapt.audits.forgetting_planted import trials

        return trials(cls(), seed)

    def _outcome(self, subject: Subject, source: Origin, measure: Ability, remedy: str, seed: int) -> Outcome:
        """One fit, as the study makes it for that seed."""
        data, budget = subject.labelled, self.budget or max(subject.budgets)
        train, valid = draw_budget(data, subject.task, subject.pool, budget, seed)
        start = Start(subject.domain, subject.start.backbone, source=source, objective=subject.start.objective)
        adapt = with_remedy(subject.adapt, remedy, self.anchors)
        fitted = fit(adapt, start, subject.task, data.subset(train), data.subset(valid), seed)
        backbone = fitted.backbone()
        if fitted.record["diverged"] or backbone is None:
            raise self.refuse(f"the fit with {remedy} diverged at seed {seed}; lower adapt.rates")
        test = data.subset(subject.test)
        truth = subject.task.truth(test, subject.domain.kept(test) if subject.task.per_element else None)
        score = subject.task.metric(fitted.predict(test), truth)
        figures = measure.figures(backbone)
        return Outcome(figures.pop("loss"), measure.kept(backbone), score, figures)


CAVEATS = [
    "The pre-training head is left as it was: a loss can rise because the features turned, not because they lost "
    "anything. The column 'features kept' shows what a new linear head could still read.",
    "Each remedy stands at the strength that its settings say; another is another trade between source and target.",
    "One checkpoint was adapted to one task: another task may cost more or less.",
]


class Ability:
    """The pre-training ability of a backbone: its objective's loss, and its features, on held-out data."""

    def __init__(self, subject: Subject, source: Origin, held: Dataset) -> None:
        self.domain, self.objective, self.held = subject.domain, source.objective, held
        kept = {k: v for k, v in subject.start.record.get("training", {}).items() if k in TrainingSpec.model_fields}
        self.training = TrainingSpec.parse(kept) if kept else TrainingSpec(steps=1)
        self.old = subject.start.backbone
        windows = self.domain.windows(held, 0)
        self.some = windows.subset(np.arange(min(WINDOWS, len(windows))))
        self.terms = self.figures(self.old)
        self.before = self.terms.pop("loss")

    def loss(self, backbone: Backbone) -> float:
        """The mean loss, with the same windows and the same elements hidden at every call."""
        return self.figures(backbone)["loss"]

    def figures(self, backbone: Backbone) -> dict[str, float]:
        """The loss and the objective's other figures."""
        import torch

        model = Pretraining(backbone, self.objective).eval()
        with torch.no_grad():
            look = HeldOut(model, self.domain, self.held, self.training, Launch(torch.device("cpu")))
            return look()

    def kept(self, backbone: Backbone) -> float | None:
        """See `recoverable`; over elements."""
        old, new = (embed_elements(one, self.domain, self.some)[0][:ELEMENTS] for one in (self.old, backbone))
        return recoverable(old, new) if len(old) >= 2 * (new.shape[1] + 1) else None


def with_remedy(adapt: FinetuneSpec, remedy: str, given: Sequence[AnchorSpec] = ()) -> FinetuneSpec:
    """The study's fine-tuning with this anchor alone: as given, as the study has it, or at its default strength."""
    if remedy == "plain":
        return FinetuneSpec.parse(adapt.plain() | {"anchor": []}, "adapt")
    own = {str(one.kind): one for one in [*adapt.anchor, *given]}
    kinds = remedy.split("+")
    if adapt.lora is not None and {"l2sp", "ewc"} & set(kinds):
        raise InputError(f"audit forgetting: adapt.lora leaves {remedy} nothing to hold; valid: plain, lwf, replay")
    anchors = [own.get(kind, ANCHORS[kind]).plain() for kind in kinds]
    return FinetuneSpec.parse(adapt.plain() | {"anchor": anchors}, "adapt")


def verdict_of(rise: Comparison, margin: float) -> str:
    """FORGETS where the whole interval of the rise lies above the margin, KEEPS where it lies below."""
    if rise.low > margin:
        return "FORGETS"
    return "KEEPS" if rise.high < margin else "UNDECIDED"


__all__: list[Any] = ["ForgettingAudit", "Outcome", "verdict_of", "with_remedy"]
