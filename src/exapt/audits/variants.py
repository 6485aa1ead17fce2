"""Networks of the study's own kind, pre-trained anew with other settings: what an audit of pre-training compares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from exapt.audits.base import Subject
from exapt.backbones.base import Backbone
from exapt.errors import DivergenceError, InputError
from exapt.training.batches import Batches
from exapt.training.holdout import HeldOut, hold_out
from exapt.training.launch import launch
from exapt.training.loop import train
from exapt.training.seeds import derive
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

HELD = 0.1
"""The share of the corpus that is only evaluated on, where the study holds out none."""


@dataclass(frozen=True)
class Variant:
    """One network and what its pre-training came to."""

    backbone: Backbone
    loss: float
    """Of the last weights on the held-out part of the corpus; infinite where training diverged."""

    @property
    def diverged(self) -> bool:
        return not math.isfinite(self.loss)


class Variants:
    """Pre-trains on the study's corpus; networks of one seed share weights to begin with, order and masks."""

    def __init__(self, subject: Subject) -> None:
        """Raises `InputError` where the study did not pre-train itself."""
        self.subject, domain = subject, subject.domain
        said = subject.start.record.get("training")
        if not isinstance(said, dict):
            raise InputError("the checkpoint does not say how it was trained, so it cannot be trained again otherwise")
        self.training = TrainingSpec.parse(said, "the checkpoint's training")
        self.objective = subject.start.objective_spec
        share = self.training.holdout or HELD
        self.parts = hold_out(self.objective.attach(subject.corpus(), domain), domain, share, self.training.seed)

    def make(self, seed: int, **changes: Any) -> Variant:
        """Pre-train once; `changes` are keys of the training's spec. The last weights are kept, not the best ones."""
        spec = self._spec(seed, changes)
        domain, backbone = self.subject.domain, self.subject.fresh(seed)
        objective = self.objective.build(domain, backbone, seed=derive(seed, "objective"))
        model = Pretraining(backbone, objective, domain.augment)
        windows: dict[str, Any] = {"windows": domain.windows, "phases": domain.inputs.length, "cost": domain.cost}
        batches = Batches(self.parts[0], domain.collate, **windows, **spec.batching())
        try:
            train(model, batches, spec, progress=False)
        except DivergenceError:
            return Variant(backbone.cpu(), math.inf)
        loss = self._loss(model)
        return Variant(backbone.cpu(), loss if math.isfinite(loss) else math.inf)

    def _spec(self, seed: int, changes: dict[str, Any]) -> TrainingSpec:
        own = {"seed": derive(seed, "variant") % 2**31, "patience": None, "tensorboard": False, "parallel": "data"}
        steps = {"epochs": None} if changes.get("steps") else {}
        return TrainingSpec.parse(self.training.plain() | own | steps | changes, "the variant's training")

    def _loss(self, model: Pretraining) -> float:
        """On the same windows with the same masks for every network."""
        held = self.parts[1]
        assert held is not None
        evaluate = HeldOut(model, self.subject.domain, held, self.training, launch(self.training.device, "data"))
        model.eval()
        with torch.no_grad():
            return float(evaluate()["loss"])
