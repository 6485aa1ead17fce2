"""What watching came to: the kept weights confirmed on labels that decided nothing, and put into the artifact."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exapt.adaptation import FinetuneSpec, Start
from exapt.domains.base import Domain
from exapt.evidence.probing.factor import interval
from exapt.studies.labelled import Labelled
from exapt.studies.watch import Parts, TargetWatcher, WatchSpec
from exapt.training.checkpoints import Checkpoints
from exapt.training.trainable import Pretraining
from exapt.training.weights import load_into

STEP = "weights/"
"""What a step checkpoint's weights are named under."""


class StudyWatcher(TargetWatcher):
    """A target watcher that ends with the best weights in the network and says how they compare."""

    def __init__(
        self, spec: WatchSpec, parts: Parts, model: Pretraining, domain: Domain, run: Path, adapt: FinetuneSpec
    ) -> None:
        super().__init__(spec, parts, model, domain, run / "watch")
        self.run, self.adapt = run, adapt

    def finish(self) -> dict[str, Any]:
        """Put the best weights in; returns every look, and the kept weights against the last and the first ones."""
        found = Checkpoints(self.run / "checkpoints").newest()
        assert found is not None  # the end of a run is always kept
        tensors, state = found
        load_into(self.model, {n.removeprefix(STEP): t for n, t in tensors.items() if n.startswith(STEP)})
        last, tuned_last = self.scores("confirm")["confirm"], self._tuned()
        load_into(self.model, self.best_weights())
        kept = self.scores("confirm")["confirm"]
        same = state["step"] == self.stopping.best_step
        tuned = tuned_last if same else self._tuned()
        return {
            "weights": f"best for the target, step {self.stopping.best_step}",
            "kept": self.stopping.best_step,
            "last": state["step"],
            "stopped": self.stop(),
            "looks": self.lines,
            "labels": self.parts.sizes(),
            "each draw": sum(len(part) for part in self.parts.draws[0]),
            "confirmed": {
                "kept over last": paired(kept - last),
                "kept over the start": paired(kept - np.array(self.start)),
                "last over the start": paired(last - np.array(self.start)),
            },
            "fine-tuned": _tuned_facts(tuned, tuned_last),
        }

    def _tuned(self) -> list[float]:
        """The metric on the part that confirms of the present weights, fine-tuned on each of a few draws."""
        task, confirm, scores = self.parts.task, self.parts.examples["confirm"], []
        for s, (train, valid) in enumerate(self.parts.draws[: self.spec.finetune]):
            start = Start(self.domain, copy.deepcopy(self.model.backbone))
            fitted = self.adapt.fit(start, task, train, valid, seed=s)
            truth = task.truth(confirm)
            scores.append(
                task.chance(truth) if fitted.record["diverged"] else task.metric(fitted.predict(confirm), truth)
            )
        return scores


def study_watcher(
    watch: WatchSpec, data: Labelled, model: Pretraining, domain: Domain, run: Path, seed: int
) -> StudyWatcher:
    """The watcher of one pre-training run of a study. Raises `InputError` where the pool is too small to divide."""
    spec = data.spec
    labels = watch.labels or min(spec.budgets)
    parts = Parts.of(watch, data.examples, data.split.pool, data.task, labels, seed)
    return StudyWatcher(watch, parts, model, domain, run, spec.tuning)


def paired(differences: np.ndarray, confidence: float = 0.9) -> dict[str, float]:
    """Mean and t-interval of item differences (n,)."""
    mean, low, high = interval(differences, confidence)
    return {"mean": mean, "low": low, "high": high, "n": len(differences)}


def watched_sentences(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a report says of watched runs: what was kept, on how many labels, and that the other arms had none of it."""
    said = []
    for number, facts in enumerate(records):
        name = "Pre-training" if len(records) == 1 else f"Pre-training run {number + 1}"
        end = f"stopped at step {facts['last']}" if facts["stopped"] else f"ended at step {facts['last']}"
        kept, first = facts["confirmed"]["kept over last"], facts["confirmed"]["kept over the start"]
        said.append(
            f"{name} was watched by the target and {end}; the weights of step {facts['kept']} were kept: "
            f"{_points(kept)} over the last and {_points(first)} over the start, by probes on {kept['n']} labelled "
            "examples of the pool that decided nothing."
        )
    if records:
        used = sum(records[0]["labels"].values())
        said.append(
            f"Watching used {used} labelled examples of the pool to choose the checkpoint, which no budget counts and "
            "the scratch arm had nothing of: labels saved are over a scratch arm without that choice."
        )
    return said


def _points(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:+.1f} points (90 % interval {100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _tuned_facts(kept: Sequence[float], last: Sequence[float]) -> dict[str, Any]:
    """Fine-tuned scores of the kept and the last weights, and their difference over draws."""
    if not kept:
        return {}
    mean, low, high = interval(np.array(kept) - np.array(last)) if len(kept) > 1 else (kept[0] - last[0], None, None)
    return {"kept": list(kept), "last": list(last), "difference": {"mean": mean, "low": low, "high": high}}
