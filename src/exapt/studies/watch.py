"""Pre-training watched by its target: stop where the target loses, and keep the checkpoint that was best for it.

More pre-training can make a network worse for a task while its own loss falls: a source that does not suit, or simply
too long ("catastrophic overtraining", arXiv 2503.19206). Now and then a cheap probe of the frozen features is fitted
on a few fixed draws of labels and scored on labels of the pool that never train; `evidence/stopping.py` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, PositiveInt

from exapt.adaptation import ProbeSpec, Start
from exapt.adaptation.features import Pooling, device_of
from exapt.adaptation.linear import PENALTIES
from exapt.adaptation.probe import FrozenSpec, solve_draws
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.evidence.stopping import Stopping
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.tasks.budgets import draw_budget, group_column, names_of
from exapt.tasks.parts import divide, divide_groups
from exapt.tasks.regress import WORST, RegressTask
from exapt.training.trainable import Pretraining
from exapt.training.watcher import Watcher
from exapt.training.weights import read_tensors, room_for, tensors_of, write_tensors

KIND = "watched weights"
PARTS = ("fit", "choose", "test", "confirm")
VALIDATION = 0.2
LEAST = 20
"""Fewer items than this in a part say nothing."""


class WatchSpec(Spec):
    """How pre-training is watched by the target task; only labels of the pool are used, never the test part."""

    every: PositiveInt | None = None
    """Steps between looks; None: at every evaluation of the pre-training loss. The start is always looked at."""
    labels: PositiveInt | None = None
    """Labels of each draw that a probe is fitted on; None: the study's smallest budget."""
    draws: int = Field(default=5, ge=5)
    """Fixed draws of labels; an item's score is its mean over their probes."""
    margin: float = Field(default=0.01, ge=0, lt=1)
    """By how much worse than the best before it a checkpoint must be, in item scores, for the run to stop."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """The chance of stopping a run in which no checkpoint is that much worse, over all looks together."""
    most: PositiveInt = 2000
    """At most so many labelled examples of the pool are used, in four equal parts."""
    pooling: Pooling = "mean"
    """How elements become one vector."""
    finetune: int = Field(default=3, ge=0)
    """Draws on which the kept and the last checkpoint are fine-tuned at the end, to compare them; 0: none."""


@dataclass(frozen=True)
class Parts:
    """The pool's labelled examples in four parts, and the draws of the first one."""

    examples: dict[str, Dataset]
    draws: list[tuple[Dataset, Dataset]]
    """(train, valid) of each draw, all from the part 'fit'."""
    task: Task

    @classmethod
    def of(cls, spec: WatchSpec, examples: Dataset, pool: np.ndarray, task: Task, labels: int, seed: int) -> Parts:
        """Divide the pool: strata in like shares, groups whole. Raises `InputError` where it is too small."""
        if task.per_element or not task.probed:
            raise InputError(
                "watch: the task labels elements or objects; pre-training is watched by tasks on whole examples"
            )
        if spec.most < len(pool):
            rng = np.random.default_rng([seed, 0])
            pool = np.sort(pool[divide(task.strata(examples.subset(pool)), spec.most / len(pool), rng)])
        parts = dict(zip(PARTS, quarters(examples, pool, task, seed), strict=True))
        small = min(parts, key=lambda name: len(parts[name]))
        if len(parts[small]) < LEAST or len(parts["fit"]) < labels:
            raise InputError(
                f"{examples.source}: watch divides the pool of {len(pool)} into four parts, and needs {LEAST} examples "
                f"in each and {labels} to fit probes on; give more labelled examples, or set watch.labels lower"
            )
        drawn = [draw_budget(examples, task, parts["fit"], labels, 1000 + s, VALIDATION) for s in range(spec.draws)]
        pairs = [(examples.subset(train), examples.subset(valid)) for train, valid in drawn]
        fitted = task.calibrated(examples.subset(parts["fit"]))
        return cls({name: examples.subset(places) for name, places in parts.items()}, pairs, fitted)

    def sizes(self) -> dict[str, int]:
        return {name: len(part) for name, part in self.examples.items()}


def quarters(examples: Dataset, pool: np.ndarray, task: Task, seed: int) -> list[np.ndarray]:
    """Four disjoint parts of the pool of about one size."""
    halves = _halves(examples, pool, task, seed, 1)
    return [part for i, half in enumerate(halves) for part in _halves(examples, half, task, seed, 2 + i)]


def _halves(examples: Dataset, places: np.ndarray, task: Task, seed: int, number: int) -> list[np.ndarray]:
    some, rng = examples.subset(places), np.random.default_rng([seed, number])
    if group_column(examples) is None:
        side = divide(task.strata(some), 0.5, rng)
    else:
        side = divide_groups(task.strata(some), names_of(some), 0.5, rng)
    return [places[~side], places[side]]


class TargetWatcher(Watcher):
    """Probes the backbone of a run, keeps its best weights in `folder`, and ends the run when the target loses."""

    name = "target"

    def __init__(self, spec: WatchSpec, parts: Parts, model: Pretraining, domain: Domain, folder: Path) -> None:
        self.spec, self.parts, self.model, self.domain, self.folder = spec, parts, model, domain, Path(folder)
        self.stopping = Stopping(spec.margin, spec.alpha)
        self.lines: list[dict[str, Any]] = []
        self.start: list[float] = []
        """Item scores of the start on the part that confirms: they decide nothing."""
        self._noted: int | None = None

    def began(self, step: int) -> None:
        if not self.lines:
            self.start = self.scores("confirm")["confirm"].tolist()
            self._look(step)

    def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        if self.spec.every and step % self.spec.every == 0:
            self._look(step)

    def looked(self, step: int, figures: Mapping[str, float]) -> dict[str, Any]:
        if self.spec.every is None:
            self._look(step)
        last = self.lines[-1]
        return {"target_probe": last["testing"], "target_fortune": last["fortune"]}

    def stop(self) -> str:
        if not self.stopping.stopped:
            return ""
        return f"the target is worse than at step {self.stopping.best_step}"

    def state(self) -> dict[str, Any]:
        """Weights of bests before the one of the last state are dropped: any checkpoint on disk finds its own."""
        keep = {self.stopping.best_step, self._noted}
        self._noted = self.stopping.best_step
        for path in self.folder.glob("best-*.safetensors"):
            if path.stem not in {f"best-{step:08d}" for step in keep if step is not None}:
                path.unlink(missing_ok=True)
        return {"stopping": self.stopping.state(), "lines": self.lines, "start": self.start, "noted": self._noted}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.stopping.restore(state["stopping"])
        self.lines, self.start, self._noted = list(state["lines"]), list(state["start"]), state["noted"]
        self.best_weights()  # a lost file is found now rather than at the end

    def scores(self, *names: str) -> dict[str, np.ndarray]:
        """(n,) scores in [0, 1] of the items of some parts, means over the draws' probes."""
        start = Start(self.domain, self.model.backbone)
        task, how = self.parts.task, FrozenSpec(pooling=self.spec.pooling)
        probe = ProbeSpec(pooling=self.spec.pooling, penalties=list(PENALTIES[::4]), refit=False)
        with torch.autocast(device_of(self.model.backbone).type, enabled=False):
            solved = solve_draws(probe, start, task, self.parts.draws)
            found = {}
            for name in names:
                part = self.parts.examples[name]
                features, truth = torch.as_tensor(how.features(start, task, part)), task.truth(part)
                items = [task.item_scores(task.decode(one(features)), truth) for one in solved]
                found[name] = _bounded(task, np.mean(items, axis=0))
        return found

    def best_weights(self) -> dict[str, torch.Tensor]:
        """The weights of the whole model at the best look."""
        return read_tensors(self._file(self.stopping.best_step or 0), KIND)

    def _look(self, step: int) -> None:
        if self.lines and self.lines[-1]["step"] >= step:
            return
        found = self.scores("choose", "test")
        line = self.stopping.look(step, found["choose"], found["test"])
        self.lines.append(line)
        if line["best"]:
            path = self._file(step)
            with room_for(path):
                write_tensors(path, tensors_of(self.model), KIND)

    def _file(self, step: int) -> Path:
        return self.folder / f"best-{step:08d}.safetensors"


def _bounded(task: Task, scores: np.ndarray) -> np.ndarray:
    """Item scores in [0, 1]; those without a label are left out."""
    known = scores[np.isfinite(scores)]
    return 1 - known / WORST if isinstance(task, RegressTask) else known
