"""Frozen features and the field's classical ones together: a pre-trained network need not beat what it can join."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field
from torch import Tensor

from exapt.adaptation.answers import answers, score_of
from exapt.adaptation.classical import ClassicalSpec, Learnt, follow
from exapt.adaptation.fitted import Fitted, Saved, Start
from exapt.adaptation.judging import loss_of, varied
from exapt.adaptation.knn import targets
from exapt.adaptation.probe import ProbeFitted, ProbeSpec, fit_probes
from exapt.adaptation.selection import choose
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset
from exapt.spec import Spec
from exapt.tasks.base import Task

Share = Annotated[float, Field(ge=0, le=1)]


class StackSpec(Spec):
    """A probe and a classical baseline, their outputs (log-odds, or values) averaged. Validation sets the shares."""

    kind: Literal["stack"] = "stack"
    probe: ProbeSpec = ProbeSpec()
    classical: ClassicalSpec = ClassicalSpec()
    shares: list[Share] = Field(default=[float(s) for s in np.linspace(0, 1, 11).round(2)], min_length=1)
    """The grid of the probe's share."""

    def fit(self, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
        """Both parts choose their penalties, then the share is chosen, by the loss; then both are fitted anew."""
        path = follow(self.classical, start.domain, task, train, valid)
        alone = self.probe.model_copy(update={"refit": False})
        probe = fit_probes(alone, start, task, [(train, valid)])[0]
        share, record = 0.5, {"chosen_by": "default", "valid_score": float("nan"), "valid_loss": float("nan")}
        if len(valid):
            share, record = self._share(task, start, valid, probe.outputs(valid), path.outputs[path.choice.place])
        if self.probe.refit:
            again = self.probe.model_copy(update={"penalties": [probe.record["penalty"]]})
            probe = fit_probes(again, start, task, [(train, valid)])[0]
        record |= {"share": share, "probe": probe.record, "classical": path.record, "diverged": False}
        return StackFitted(self, start.domain, task, record, share, probe, path.final(self.classical.refit))

    def _share(
        self, task: Task, start: Start, valid: Dataset, probe: Tensor, classical: Tensor
    ) -> tuple[float, dict[str, Any]]:
        """The share with the lowest loss, given both parts' outputs on validation, and the record of the choice."""
        said = answers(task, valid, start.domain)
        wanted = targets(said)
        mixed = [blend(share, probe, classical) for share in self.shares]
        losses = [loss_of(output, wanted, said.kind) for output in mixed]
        choice = choose([float("nan")] * len(mixed), losses, False, len(mixed) // 2)
        score = score_of(task, mixed[choice.place], said.labels) if varied(wanted) else float("nan")
        facts = {"chosen_by": choice.by, "valid_score": score, "valid_loss": losses[choice.place]}
        return self.shares[choice.place], facts


def blend(share: float, probe: Tensor, classical: Tensor) -> Tensor:
    """Outputs averaged, the first with its share."""
    return share * probe.double() + (1 - share) * classical.double()


@dataclass
class StackFitted(Fitted):
    """Both parts, fitted, and the probe's share."""

    spec: StackSpec
    share: float
    probe: ProbeFitted
    learnt: Learnt

    def outputs(self, dataset: Dataset) -> Tensor:
        return blend(self.share, self.probe.outputs(dataset), self.learnt.outputs(self.domain, self.task, dataset))

    def backbone(self) -> Backbone | None:
        return self.probe.backbone()

    def tensors(self) -> dict[str, Tensor]:
        parts = {"probe": self.probe.tensors(), "classical": self.learnt.tensors(self.task)}
        return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def facts(self) -> dict[str, Any]:
        return {"share": self.share}

    @classmethod
    def restore(cls, saved: Saved) -> Self:
        """The model again from its folder."""
        spec = StackSpec.parse(saved.spec)
        probe, classical = (
            {k.split("/", 1)[1]: t for k, t in saved.tensors.items() if k.startswith(p)}
            for p in ("probe/", "classical/")
        )
        inner = replace(saved, spec=spec.probe.plain(), tensors=probe, record=saved.record["probe"])
        learnt = Learnt.restore(classical, spec.classical.features)
        share = saved.facts["share"]
        return cls(spec, saved.domain, saved.task, saved.record, share, ProbeFitted.restore(inner), learnt)
