"""Fine-tuning: the whole network or its last blocks, one rate or one a layer, from a fresh head or from a probe's."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from exapt.adaptation.answers import answers, score_of
from exapt.adaptation.combine import combine
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.headstart import start_from_probe
from exapt.adaptation.judging import loss_of, varied
from exapt.adaptation.knn import targets
from exapt.adaptation.probe import ProbeSpec
from exapt.adaptation.pruning import PruneSpec, prunable, zero_share
from exapt.adaptation.selection import Choice, choose
from exapt.adaptation.tuning import Tuning, layer_groups
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.errors import DivergenceError
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.training.batches import Batches
from exapt.training.loop import train as run_loop
from exapt.training.schedule import ScheduleSpec
from exapt.training.seeds import derive
from exapt.training.spec import TrainingSpec
from exapt.training.weights import load_into, tensors_of

RATES = (3e-4, 1e-3, 3e-3)
"""For a width of 64; on digits the lower two suited pre-trained weights, the highest random ones."""


class FinetuneSpec(Spec):
    """Train a head and the backbone on the labels. Every rate of the grid is tried and the best on validation kept."""

    kind: Literal["finetune"] = "finetune"
    last: int | None = Field(default=None, ge=0)
    """Tune only the last so many blocks (with the final norm) and the head; 0: the head alone; None: everything."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Each block learns at so many times the rate of the one above it."""
    probe_first: bool = True
    """LP-FT: the head starts as the linear probe. On 50 to 200 digits it was 6 to 19 points better, from pre-trained
    and from random weights alike: from zero, the few steps there are go into what a probe solves at once."""
    probe: ProbeSpec = ProbeSpec()
    """The probe's penalties, with `probe_first`."""
    rates: list[PositiveFloat] | None = Field(default=None, min_length=1)
    """The grid of peak learning rates; None: 3e-4, 1e-3, 3e-3 at a width of 64, inversely proportional to the width at
    others, as AdamW's rates are in μP (Yang et al. 2022, arXiv 2203.03466)."""

    epochs: PositiveFloat = 20.0
    """Passes over the training part, within `min_steps` and `max_steps`."""
    min_steps: PositiveInt = 100
    """The fewest optimiser steps, so that a few labels still train."""
    max_steps: PositiveInt = 1000
    """The most optimiser steps."""
    augment: bool = True
    """Whether training examples are augmented as the domain does it (the other strand of DNA); not for labels that
    belong to one strand."""
    batch: PositiveInt = 32
    """Examples a step."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps over which the rate rises, before it falls linearly to 0."""
    schedule: ScheduleSpec | None = None
    """Another course of the rate; None: what `warmup` says."""
    weight_decay: float = Field(default=0.01, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    evaluations: PositiveInt = 20
    """How often validation is looked at; the best weights are kept."""
    choose: Literal["metric", "loss"] = "metric"
    """What picks weights and rate on validation; the loss breaks ties of the metric."""
    refit: bool = False
    """Train on training and validation together anew, at the chosen rate for the chosen number of steps."""
    prune: PruneSpec | None = None
    """Prune the network, at the start or while tuning; None: do not."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> Self:
        if self.min_steps > self.max_steps:
            raise ValueError(f"min_steps {self.min_steps} is above max_steps {self.max_steps}; lower it too")
        if self.schedule is not None and self.warmup != type(self).model_fields["warmup"].default:
            raise ValueError("warmup does nothing beside schedule; write it as schedule.warmup")
        if self.schedule is not None and self.schedule.warmup >= 1:
            raise ValueError(
                f"schedule.warmup {self.schedule.warmup:g} counts steps, which differ from fit to fit; "
                "give a share below 1"
            )
        return self

    def grid(self, width: int) -> list[float]:
        """The rates to try for a backbone's width."""
        return self.rates or [float(f"{rate * 64 / width:.3g}") for rate in RATES]

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """Try every rate; a rate that diverges is recorded and out of the running."""
        attempts = Attempts(self, start, task.calibrated(train), train, valid, seed)
        for rate in self.grid(start.network("finetune").width):
            attempts.attempt(rate)
        return FinetuneFitted(self, start.domain, attempts.task, *attempts.settle())

    def training(self, rate: float, steps: int, seed: int) -> TrainingSpec:
        """The loop's spec for one rate."""
        return TrainingSpec(
            steps=steps,
            batch=self.batch,
            lr=rate,
            schedule=self.schedule or ScheduleSpec(kind="linear", warmup=self.warmup),
            weight_decay=self.weight_decay,
            precision=self.precision,
            holdout=0,
            evaluate_every=max(1, math.ceil(steps / self.evaluations)),
            log_every=steps,
            seed=seed,
        )

    def steps(self, examples: int) -> int:
        """Steps of a run over so many training examples."""
        wanted = math.ceil(self.epochs * math.ceil(examples / self.batch))
        return max(self.min_steps, min(self.max_steps, wanted))


@dataclass(frozen=True)
class Attempt:
    """One rate's run."""

    rate: float
    steps: int
    """Steps up to the weights that were kept."""
    score: float
    loss: float
    diverged: bool = False
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """The record of the grid."""
        facts = {"rate": self.rate, "best_step": self.steps, "valid_score": self.score, "valid_loss": self.loss}
        return facts | ({"diverged": True, "why": self.why} if self.diverged else {})


@dataclass
class Attempts:
    """The runs of one fit: same head, same order of examples, another rate each."""

    spec: FinetuneSpec
    start: Start
    task: Task
    train: Dataset
    valid: Dataset
    seed: int
    tried: list[Attempt] = field(default_factory=list)
    best: Tuning | None = None
    """The network of the best attempt so far."""

    def __post_init__(self) -> None:
        self.total = self.spec.steps(len(self.train))
        self.said = answers(self.task, self.valid, self.start.domain) if len(self.valid) else None
        self.wanted = targets(self.said) if self.said else torch.zeros(0, self.task.outputs)
        self.by_metric = self.spec.choose == "metric" and len(self.valid) > 0 and varied(self.wanted)
        self.initial, self.probe = self._begin()

    @property
    def choice(self) -> Choice:
        """The best attempt so far; without validation, the middle one of those that did not diverge."""
        scores, losses = [a.score for a in self.tried], [a.loss for a in self.tried]
        sound = [place for place, attempt in enumerate(self.tried) if not attempt.diverged]
        return choose(scores, losses, self.by_metric, sound[len(sound) // 2] if sound else 0)

    def attempt(self, rate: float) -> None:
        """Run one rate and keep its network if it is the best so far."""
        tuning = self.initial.copy()
        self.tried.append(self._run(tuning, self.train, rate, self.total, self._evaluation(tuning)))
        if self.choice.place == len(self.tried) - 1:
            self.best = tuning

    def settle(self) -> tuple[dict[str, Any], Tuning]:
        """The record and the network that the fit ends with."""
        chosen = self.tried[self.choice.place]
        record = self._record(chosen)
        if chosen.diverged or self.best is None:  # then all have, and the fit counts as knowing nothing
            return record | {"diverged": True}, self.initial
        if self.spec.refit and len(self.valid):
            return self._again(chosen, record)
        return record, self.best

    def _begin(self) -> tuple[Tuning, dict[str, Any] | None]:
        """The start's network under a fresh head, or one that starts as a probe, with the probe's record."""
        given = self.start.network("finetune")
        backbone = self.spec.prune.start(given) if self.spec.prune else copy.deepcopy(given)
        backbone.requires_grad_(True)
        head = self.task.head(backbone.width, derive(self.seed, "head"))
        augment = self.start.domain.augment if self.spec.augment else None
        tuning = Tuning(backbone, head, self.task, augment, self.spec.last)
        if not self.spec.probe_first:
            return tuning, None
        return tuning, start_from_probe(tuning, self.start.domain, self.train, self.valid, self.spec.probe)

    def _run(
        self, tuning: Tuning, train: Dataset, rate: float, steps: int, evaluate: Callable[[], dict[str, float]] | None
    ) -> Attempt:
        domain, spec = self.start.domain, self.spec.training(rate, steps, derive(self.seed, "tune"))
        batches = Batches(train, domain.collate, batch=self.spec.batch, seed=spec.seed, lengths=domain.kept)
        groups = layer_groups(tuning, rate, self.spec.layer_decay, self.spec.weight_decay)
        pruner = self.spec.prune.watcher(tuning.backbone, steps) if self.spec.prune else None
        judged, watchers = (pruner.judged(evaluate), [pruner]) if pruner else (evaluate, [])
        try:
            done = run_loop(tuning, batches, spec, evaluate=judged, progress=False, groups=groups, watchers=watchers)
        except DivergenceError as error:
            return Attempt(rate, 0, float("nan"), float("nan"), True, str(error))
        best = done.best or {}
        loss = best.get("loss", float("nan"))
        broken = evaluate is not None and not math.isfinite(loss)
        why = "the loss on validation is not finite" if broken else ""
        return Attempt(rate, int(best.get("step", done.step)), best.get("measured", float("nan")), loss, broken, why)

    def _evaluation(self, tuning: Tuning) -> Callable[[], dict[str, float]] | None:
        """What the loop calls to look at validation; None without a validation part."""
        said = self.said
        if said is None:
            return None

        def evaluate() -> dict[str, float]:
            output = tuning.output(self.start.domain, self.valid)
            figures = {"loss": loss_of(output, self.wanted.to(output), said.kind), "measured": float("nan")}
            if varied(self.wanted):
                figures["measured"] = score_of(self.task, output, said.labels)
            return figures | ({"score": figures["measured"]} if self.by_metric else {})

        return evaluate

    def _again(self, chosen: Attempt, record: dict[str, Any]) -> tuple[dict[str, Any], Tuning]:
        """Train and validation together at the chosen rate and steps; if that diverges, the former weights stand."""
        both = combine(self.train, self.valid)
        tuning = self.initial.copy()
        run = self._run(tuning, both, chosen.rate, max(1, chosen.steps), None)
        if run.diverged and self.best is not None:
            return record | {"refit": f"diverged, weights before it kept: {run.why}"}, self.best
        return record | {"refit": True}, tuning

    def _record(self, chosen: Attempt) -> dict[str, Any]:
        return {
            **chosen.plain(),
            "chosen_by": self.choice.by,
            "steps": self.total,
            "grid": [a.plain() for a in self.tried],
            "probe": self.probe,
            "trained_parameters": sum(p.numel() for p in self.initial.parameters() if p.requires_grad),
            "diverged": False,
            "refit": False,
        } | ({"zero_weights": zero_share(prunable(self.best.backbone))} if self.spec.prune and self.best else {})


@dataclass
class FinetuneFitted(Fitted):
    """A tuned network."""

    spec: FinetuneSpec
    tuning: Tuning

    def outputs(self, dataset: Dataset) -> Tensor:
        return self.tuning.output(self.domain, dataset)

    def backbone(self) -> Backbone | None:
        return self.tuning.backbone

    def tensors(self) -> dict[str, Tensor]:
        return tensors_of(self.tuning.head)

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again from its folder."""
        spec, backbone = FinetuneSpec.parse(saved.spec), saved.network()
        head = saved.task.head(backbone.width, 0)
        load_into(head, saved.tensors)
        return cls(spec, saved.domain, saved.task, saved.record, Tuning(backbone, head, saved.task, None, spec.last))
