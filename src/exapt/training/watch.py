"""Watching a run: figures without waiting for the device, divergence, and the best evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor

from exapt.errors import DivergenceError

RECENT = 20
"""How many steps the running median of the loss is over."""
RATIO = 3.0
"""A run has diverged when that median exceeds 3 times the lowest it was, plus the loss it began with (at least 1)."""


@dataclass
class Watch:
    """Stops a run whose loss or gradient is not finite, or whose loss ran away for many steps."""

    kept: Callable[[], str]
    """Says which checkpoint is the last good one."""
    first: float | None = None
    lowest: float = math.inf
    recent: list[float] = field(default_factory=list)

    def see(self, step: int, loss: float, norm: float) -> None:
        """Raises `DivergenceError` naming the step, the value and the last good checkpoint."""
        for name, value in (("loss", loss), ("norm of the gradient", norm)):
            if not math.isfinite(value):
                self._stop(f"step {step}: the {name} is {value}")
        self.first = loss if self.first is None else self.first
        self.recent = [*self.recent[1 - RECENT :], loss]
        if len(self.recent) < RECENT:
            return
        level = median(self.recent)
        self.lowest = min(self.lowest, level)
        if level > RATIO * abs(self.lowest) + max(1.0, abs(self.first)):
            self._stop(f"step {step}: the loss has run away to {level:.4g} from {self.lowest:.4g}")

    def state(self) -> dict[str, Any]:
        lowest = self.lowest if math.isfinite(self.lowest) else None
        return {"first": self.first, "lowest": lowest, "recent": self.recent}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first, self.recent = state["first"], list(state["recent"])
        self.lowest = math.inf if state["lowest"] is None else state["lowest"]

    def _stop(self, what: str) -> None:
        raise DivergenceError(f"{what}; {self.kept()}; a lower lr or a longer warm-up may help")


@dataclass(frozen=True)
class Taken:
    """The figures of one step over all processes, still on the device."""

    names: tuple[str, ...]
    """Of the terms."""
    sums: Tensor
    """(3 + 1 + terms,): count, elements, examples; then loss and terms, each times count."""
    norm: Tensor


class Meter:
    """Means over the steps since the last line of the log; totals since the start."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.elements = self.examples = 0
        self.loss = (0.0, 0.0)
        """Σ loss · count and Σ count since the start."""
        self._pending: list[tuple[int, Taken]] = []
        self._window: dict[str, list[float]] = {}

    def add(self, step: int, taken: Taken) -> None:
        """Note a step without reading it."""
        self._pending.append((step, taken))

    def settle(self) -> None:
        """Read all noted steps at once; raises `DivergenceError` at the first bad one."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        rows = [torch.cat([taken.sums, taken.norm.reshape(1).to(taken.sums)]) for _, taken in pending]
        figures = iter(torch.cat(rows).tolist())
        for (step, taken), row in zip(pending, rows, strict=True):
            self._count(step, taken.names, list(islice(figures, len(row))))

    def line(self) -> dict[str, float]:
        """The means since the last line; begins anew."""
        window, self._window = self._window, {}
        return {name: total / weight for name, (total, weight) in window.items() if weight}

    def state(self) -> dict[str, Any]:
        """Plain data; floats survive JSON exactly."""
        totals = {"elements": self.elements, "examples": self.examples}
        return {**totals, "loss": list(self.loss), "window": self._window, "watch": self.watch.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.elements, self.examples = state["elements"], state["examples"]
        self.loss = (state["loss"][0], state["loss"][1])
        self._window = {name: list(pair) for name, pair in state["window"].items()}
        self.watch.restore(state["watch"])

    def _count(self, step: int, names: tuple[str, ...], row: list[float]) -> None:
        count, elements, examples, loss, *terms, norm = row
        mean = loss / count if count else 0.0
        self.watch.see(step, mean, norm)
        self.elements += int(elements)
        self.examples += int(examples)
        self.loss = (self.loss[0] + loss, self.loss[1] + count)
        self._mean("loss", loss, count)
        self._mean("norm", norm, 1.0)
        for name, total in zip(names, terms, strict=True):
            if math.isfinite(total):
                self._mean(name, total, count)

    def _mean(self, name: str, total: float, weight: float) -> None:
        pair = self._window.setdefault(name, [0.0, 0.0])
        pair[0] += total
        pair[1] += weight


@dataclass
class Best:
    """The best evaluation so far: the highest `score`, else the lowest `loss`, which also breaks ties of `score`."""

    figures: dict[str, float] | None = None
    step: int = 0
    waited: int = 0
    """Evaluations since."""

    def offer(self, step: int, figures: Mapping[str, float]) -> bool:
        """Whether this evaluation is the best; an equal later one is not."""
        if self.figures is not None and _order(figures) <= _order(self.figures):
            self.waited += 1
            return False
        self.figures, self.step, self.waited = dict(figures), step, 0
        return True

    def plain(self) -> dict[str, float] | None:
        """The figures with their step."""
        return None if self.figures is None else {"step": self.step, **self.figures}


def _order(figures: Mapping[str, float]) -> tuple[float, float]:
    """Greater is better; a figure that is not there is the worst there can be."""
    return figures.get("score", -math.inf), -figures.get("loss", math.inf)
