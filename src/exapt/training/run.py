"""Everything that changes while a run goes on, and how it is written to disk and read back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exapt.errors import InputError
from exapt.training.batches import Batches, Feed
from exapt.training.checkpoints import Checkpoints
from exapt.training.identity import claim
from exapt.training.launch import launch
from exapt.training.log import MetricsLog
from exapt.training.optimiser import adamw, parameter_groups
from exapt.training.parallel import follow_shards, like, whole, wrap
from exapt.training.precision import choose_precision
from exapt.training.spec import TrainingSpec
from exapt.training.step import Stepper
from exapt.training.trainable import Trainable
from exapt.training.watch import Best, Meter, Watch
from exapt.training.watcher import Watcher
from exapt.training.weights import load_into, tensors_of

TOLD = 4
"""Figures of an evaluation that the bar shows; all of them are in the log."""


class Run:
    """One run of the loop: network, optimiser, place in the data, figures so far."""

    def __init__(
        self,
        model: Trainable,
        batches: Batches,
        spec: TrainingSpec,
        folder: Path | None = None,
        groups: Sequence[Mapping[str, Any]] | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.model, self.spec, self.folder = model, spec, None if folder is None else Path(folder)
        self.watchers = tuple(watchers)
        self.launch = launch(spec.device, spec.parallel)
        self.feed = Feed(batches, spec.accumulate, self.launch.rank, self.launch.ranks)
        self.total = spec.total_steps(self.feed.per_epoch)
        self.checkpoints = Checkpoints(self.folder / "checkpoints", spec.keep) if self.folder else None
        self.meter = Meter(Watch(self.checkpoints.last_good if self.checkpoints else lambda: "no checkpoint was kept"))
        self.best, self.step, self.ended = Best(), 0, ""
        self._best_weights: dict[str, Tensor] | None = None
        self._before, self._began = 0.0, time.perf_counter()
        self._prepare(groups)

    def _prepare(self, groups: Sequence[Mapping[str, Any]] | None) -> None:
        """Place, compile and wrap the network; make the optimiser over what came of its parameters."""
        spec, model = self.spec, self.model.to(self.launch.device)
        groups = groups or parameter_groups(model.parameters(), spec.lr, spec.weight_decay)
        names = {id(p): name for name, p in model.named_parameters()}
        if spec.compile:
            for block in model.blocks or [model]:
                block.compile(dynamic=True)
        net = wrap(model, spec.parallel, self.launch)
        self.optimiser = adamw(follow_shards(groups, names, model), spec)
        precision = choose_precision(spec.precision, model.width, self.feed.micro_elements, self.launch.device)
        self.stepper = Stepper(net, self.optimiser, self.launch, precision, spec.clip, spec.seed)

    def begin(self, resume: bool, identity: dict[str, Any]) -> None:
        """Start, or go on where the folder's last checkpoint stands."""
        self.model.train()
        if self.folder is None or self.checkpoints is None:
            self.log = MetricsLog(None)
        else:
            self._open(resume, identity, self.folder, self.checkpoints)
        for watcher in self.watchers:
            watcher.began(self.step)

    def _open(self, resume: bool, identity: dict[str, Any], folder: Path, checkpoints: Checkpoints) -> None:
        """Claim the folder and restore what its last checkpoint holds."""
        identity = {"training": self.spec.trajectory(), "processes": self.launch.ranks, **identity}
        with self.launch.main_first():
            same = claim(folder, identity, resume) if self.launch.main else True
            if self.launch.main:
                checkpoints.open(fresh=not same)
        found = checkpoints.newest()
        if found:
            self._restore(*found)
            if self.best.figures is not None and self.spec.keep_best:
                checkpoints.best()  # a damaged file is found now rather than at the end
        writes = folder if self.launch.main else None
        self.log = MetricsLog(writes, self.step, self.spec.tensorboard)

    def take(self, step: int) -> None:
        """One optimiser step."""
        self.meter.add(step, self.stepper.take(step, self.feed.take()))
        self.step = step
        for watcher in self.watchers:
            watcher.stepped(step, self.optimiser)

    def note(self) -> str:
        """Log the means since the last line; returns a few words for the progress bar."""
        self.meter.settle()
        means, seconds = self.meter.line(), self.seconds()
        epoch = self.feed.epoch + self.feed.position / self.feed.per_epoch
        line = {"step": self.step, "epoch": epoch, **means, "lr": self.optimiser.param_groups[0]["lr"]}
        line |= {"elements": self.meter.elements, "examples": self.meter.examples}
        rate = self.meter.elements / max(seconds, 1e-9)
        self.log.write(line | {"seconds": round(seconds, 3), "elements_per_second": round(rate, 1)})
        return f"loss {means.get('loss', math.nan):.4f}  {rate:,.0f} elements/s"

    def evaluate(self, figures_of: Callable[[], Mapping[str, float]]) -> str:
        """Evaluate, and keep the weights if they are the best so far."""
        with self._looking():
            figures = {name: float(value) for name, value in figures_of().items()}
            seen = {
                name: value for watcher in self.watchers for name, value in watcher.looked(self.step, figures).items()
            }
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        if figures and self.best.offer(self.step, finite) and self.spec.keep_best:
            self._keep_best(finite)
        self.log.write({"step": self.step, **{f"held_out_{name}": value for name, value in figures.items()}, **seen})
        told = "  ".join(f"held-out {name} {value:.4f}" for name, value in list(figures.items())[:TOLD])
        return told or "nothing to tell from the held-out examples: too few, or none with a label"

    def glance(self) -> None:
        """Let watchers look where they are due; each writes a line of its own."""
        for watcher in self.watchers:
            if watcher.due(self.step):
                with self._looking():
                    seen = watcher.glanced(self.step, self.meter.loss)
                self.log.write({"step": self.step, **seen})

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Evaluation mode, without gradients, in the precision of training; every step so far was sound."""
        self.meter.settle()
        self.model.eval()
        with torch.no_grad(), self.stepper.autocast():
            yield
        self.model.train()

    def why_stop(self) -> str:
        """Why the run should end before its last step; empty where it should not."""
        if self.spec.patience is not None and self.best.waited >= self.spec.patience:
            return "patience"
        return self.told_to_stop()

    def told_to_stop(self) -> str:
        """The words of the first watcher that wants the run to end; empty where none does."""
        return next((why for watcher in self.watchers if (why := watcher.stop())), "")

    def save(self) -> None:
        """Write a checkpoint of this step, unless some step up to it was bad."""
        self.meter.settle()
        if self.checkpoints is None:
            return
        tensors = {f"weights/{name}": tensor for name, tensor in tensors_of(self.model).items()} | self._moments()
        if self.launch.main:
            self.checkpoints.save(self.step, tensors, self._state())

    def finish(self, keep_best: bool) -> None:
        """Leave the best weights in the network, if they are wanted and not the last ones."""
        self.launch.wait()
        if not keep_best or self.best.figures is None or self.best.step == self.step:
            return
        weights = self._best_weights if self.checkpoints is None else self.checkpoints.best()
        load_into(self.model, weights or {})

    def close(self) -> None:
        """Close the log."""
        if hasattr(self, "log"):
            self.log.close()

    def seconds(self) -> float:
        """Wall time since the start, parts before an interruption included."""
        return self._before + time.perf_counter() - self._began

    def _keep_best(self, figures: Mapping[str, float]) -> None:
        weights = tensors_of(self.model)
        if self.checkpoints is None:
            self._best_weights = {name: tensor.clone() for name, tensor in weights.items()}
        elif self.launch.main:
            self.checkpoints.save_best(self.step, weights, figures)

    def _state(self) -> dict[str, Any]:
        """Plain data that with the tensors fixes all that follows; generators need none (see `seeds`)."""
        best = {"figures": self.best.figures, "step": self.best.step, "waited": self.best.waited}
        place = {"step": self.step, "epoch": self.feed.epoch, "position": self.feed.position, "ended": self.ended}
        spent = {"seconds": self.seconds(), "threads": torch.get_num_threads()}
        watchers = {watcher.name: watcher.state() for watcher in self.watchers}
        return {**place, "best": best, "meter": self.meter.state(), "watchers": watchers, **spent}

    def _restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        load_into(self.model, {n.removeprefix("weights/"): t for n, t in tensors.items() if n.startswith("weights/")})
        for name, parameter in self.model.named_parameters():
            moments = {key: tensors.get(f"optimiser/{key}/{name}") for key in MOMENTS}
            if parameter.requires_grad and moments["step"] is not None:
                self.optimiser.state[parameter] = {k: like(v, parameter) for k, v in moments.items() if v is not None}
        torch.set_num_threads(state["threads"])  # sums are split among threads, so their last bits hang on the number
        self.step, self.ended, self._before = state["step"], state["ended"], state["seconds"]
        self.best = Best(**state["best"])
        self.meter.restore(state["meter"])
        self.feed.seek(state["epoch"], state["position"])
        for watcher in self.watchers:
            watcher.restore(self._kept_of(watcher, state.get("watchers", {})))

    def _kept_of(self, watcher: Watcher, kept: Mapping[str, Any]) -> Mapping[str, Any]:
        if watcher.name not in kept:
            raise InputError(
                f"{self.folder}: its last checkpoint holds no state of '{watcher.name}', which did not watch this run; "
                "begin anew (resume=False), or watch a new folder"
            )
        found: Mapping[str, Any] = kept[watcher.name]
        return found

    def _moments(self) -> dict[str, Tensor]:
        """AdamW's state by the name of its parameter."""
        found = {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                found[f"optimiser/{key}/{name}"] = whole(value).contiguous()
        return found


MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps for each parameter."""
