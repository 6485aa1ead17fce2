"""The one training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exapt.errors import InputError
from exapt.training.bar import Bar
from exapt.training.batches import Batches
from exapt.training.optimiser import set_rates
from exapt.training.run import Run
from exapt.training.schedule import factor
from exapt.training.seeds import own_randomness, own_threads
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Trainable
from exapt.training.watcher import Watcher

Evaluate = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Trained:
    """What a run came to."""

    step: int
    best: dict[str, float] | None
    """The figures of the best evaluation and its step; None where nothing was evaluated."""
    history: list[dict[str, Any]]
    """The lines of `metrics.jsonl`."""
    stopped: str
    """Why it ended: 'steps', 'patience', or a watcher's words."""
    seconds: float
    """Wall time of every part of the run, evaluations included."""
    elements: int
    """Elements trained on, over all processes."""
    examples: int


def train(
    model: Trainable,
    batches: Batches,
    spec: TrainingSpec,
    *,
    evaluate: Evaluate | None = None,
    folder: Path | None = None,
    resume: bool = True,
    progress: bool = True,
    identity: Mapping[str, Any] | None = None,
    groups: Sequence[Mapping[str, Any]] | None = None,
    watchers: Sequence[Watcher] = (),
) -> Trained:
    """Train in place; the model ends with its best weights (`keep_best`) or its last.

    `evaluate` returns a `score` (higher is better) or a `loss` (lower is better); it runs without gradients and
    without dropout. `groups` are AdamW parameter groups with rates of their own (`parameter_groups`). With a folder,
    metrics and checkpoints are written there and an interrupted run goes on as if it had never stopped, on as many
    threads as it began with; `identity` is whatever else must be the same for that. Every draw follows from (seed,
    step, process), so the global generators are left as they were. Under FSDP2 the model stays sharded. `watchers` are
    called after every step and evaluation.

    Raises `InputError` when the folder holds another run or a damaged checkpoint, and `DivergenceError` when the loss
    or the gradient is not finite or ran away; the last good checkpoint is kept then.
    """
    _check(spec, evaluate, folder)
    run = Run(model, batches, spec, folder, groups, watchers)
    with own_randomness(run.launch.device), own_threads():
        run.begin(resume, dict(identity or {}))
        bar = Bar(run.total, run.step, progress and run.launch.main)
        try:
            stopped = _walk(run, spec, evaluate, bar)
        finally:
            bar.close()
            run.close()
        run.finish(spec.keep_best)
    best = run.best.plain()
    return Trained(run.step, best, run.log.history, stopped, run.seconds(), run.meter.elements, run.meter.examples)


def _check(spec: TrainingSpec, evaluate: Evaluate | None, folder: Path | None) -> None:
    """Refuse what would silently do nothing."""
    if spec.patience is not None and evaluate is None:
        raise InputError("patience needs something to evaluate on; set holdout above 0, or leave patience out")
    if spec.tensorboard and folder is None:
        raise InputError("tensorboard: true needs a folder to write to")


def _walk(run: Run, spec: TrainingSpec, evaluate: Evaluate | None, bar: Bar) -> str:
    """Step, and look about now and then, until the end."""
    tenth = math.ceil(run.total / 10)
    evaluate_every, checkpoint_every = spec.evaluate_every or tenth, spec.checkpoint_every or tenth
    for step in range(run.step + 1, run.total + 1):
        if run.ended:
            break
        set_rates(run.optimiser, factor(spec.schedule, step, run.total))
        run.take(step)
        end, text = step == run.total, ""
        if step % spec.log_every == 0 or end:
            text = run.note()
        if evaluate and (step % evaluate_every == 0 or end):
            text = run.evaluate(evaluate)
        run.ended = run.why_stop()
        if step % checkpoint_every == 0 or end or run.ended:
            run.save()
        bar.update(step, text)
    return run.ended or "steps"
