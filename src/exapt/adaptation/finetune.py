"""Fine-tuning: all of the network, its last blocks or low-rank additions; free, or held to where it started."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from exapt.adaptation.anchors import Anchors
from exapt.adaptation.attempts import Attempts
from exapt.adaptation.ewc import EwcSpec
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.l2sp import L2spSpec
from exapt.adaptation.lora import TIMES, LoraSpec
from exapt.adaptation.probe import ProbeSpec
from exapt.adaptation.pruning import PruneSpec
from exapt.adaptation.tuning import Tuning
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.training.schedule import ScheduleSpec
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
    anchor: Anchors = []
    """What holds the backbone to where it started: `l2sp`, `ewc`, `lwf`, `replay`, one of them with its keys, or a
    list of several."""
    lora: LoraSpec | None = None
    """Train low-rank additions to the matrices instead of the matrices; `{}` takes the defaults."""
    probe_first: bool = True
    """LP-FT: the head starts as the linear probe. On 50 to 200 digits it was 6 to 19 points better, from pre-trained
    and from random weights alike: from zero, the few steps there are go into what a probe solves at once."""
    probe: ProbeSpec = ProbeSpec()
    """The probe's penalties, with `probe_first`."""
    rates: list[PositiveFloat] | None = Field(default=None, min_length=1)
    """The grid of peak learning rates; None: 3e-4, 1e-3, 3e-3 at a width of 64, inversely proportional to the width at
    others, as AdamW's rates are in μP (Yang et al. 2022, arXiv 2203.03466); ten times these with `lora`."""

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

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        kinds = [one.kind for one in self.anchor]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"anchor: {', '.join(kinds)}; each kind may stand there once")
        if self.last == 0 and kinds:
            raise ValueError(f"anchor {kinds[0]} holds the backbone, but with last: 0 it does not move; leave one out")
        if self.lora is None:
            return self
        if self.prune is not None:
            raise ValueError("lora's additions have no zeros, so nothing would stay pruned; leave lora or prune out")
        if self.last is not None:
            raise ValueError("lora leaves every matrix as it is, so last has nothing to choose; leave one of them out")
        held = [kind for kind in kinds if kind in ("l2sp", "ewc")]
        if held:
            raise ValueError(f"lora leaves every weight as it is, so {held[0]} has none to hold; valid: lwf, replay")
        return self

    def grid(self, width: int) -> list[float]:
        """The rates to try for a backbone's width."""
        times = (1.0 if self.lora is None else TIMES) * 64 / width
        return self.rates or [float(f"{rate * times:.3g}") for rate in RATES]

    def alphas(self) -> tuple[list[float | None], bool]:
        """The strengths of L2-SP to try ([None] without it), and whether with every rate."""
        for one in self.anchor:
            if isinstance(one, L2spSpec):
                return list(one.alphas), one.pairs
        return [None], False

    def strengths(self) -> tuple[list[float | None], float]:
        """The grid of EWC's λ ([None] without it), and how much loss on validation the strongest may cost."""
        for one in self.anchor:
            if isinstance(one, EwcSpec):
                return list(one.grid), one.slack
        return [None], 0.0

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """Try the grid; a run that diverges is recorded and out of the running."""
        attempts = Attempts(self, start, task.calibrated(train), train, valid, seed)
        attempts.search(self.grid(start.network("finetune").width))
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
