"""Watches the representation while it is pre-trained: its spectrum beside a random network's, and a cheap probe.

A look embeds a fixed sample, so it costs a forward pass over that sample. How many looks a run can have within its
share of the work is counted beforehand from elements, not measured, so that a resumed run looks at the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset, Domain
from exapt.spec import Spec
from exapt.training.batches import Batches
from exapt.training.collapse import classify
from exapt.training.detector import Outlook, outlook
from exapt.training.neighbours import neighbour_score
from exapt.training.parallel import unsharded
from exapt.training.representation import figures, gaussian_rank
from exapt.training.seeds import derive
from exapt.training.watcher import Watcher

MOST = 100
"""Looks beyond this tell nothing more."""
WORTH = 1.5
"""A trained element costs at least as much as so many that are only looked at.

Forward, backward and update cost three or more, but masked pictures train on their visible patches only: on `digits`
counting 2 took 1.06 % of the rest of the run where 1 % was asked for (`benchmarks/monitor.py`).
"""
ELEMENTS = 8192
"""Elements of a batch that is looked at."""
LOGGED = ("rank", "rank_uncentred", "spread", "std", "dead", "decay", "uniformity")

Labelled = tuple[Dataset, np.ndarray]
"""Labelled examples and their labels (n,): class numbers, or real values."""


class MonitorSpec(Spec):
    """How the representation is watched during pre-training."""

    on: bool = True
    """Whether it is watched at all."""
    examples: int = Field(default=512, ge=64, le=2048)
    """The fixed sample that is embedded at every look: held out first, then from the corpus where that is too small."""
    share: float = Field(default=0.01, gt=0, le=1)
    """The share of the training's work that looking may take; it decides how many looks there are (at least one)."""
    every: PositiveInt | None = None
    """Steps between looks, whatever they cost; None: as many looks as `share` pays for, at most 100."""
    action: Literal["warn", "stop"] = "warn"
    """What an alarm does. With `stop`, labels that the probe was given decide when training ends."""


@dataclass(frozen=True)
class Sample:
    """What is looked at, the same at every look."""

    domain: Domain
    unlabelled: tuple[Dataset, ...]
    """One part, or the held-out one and some of the examples that are trained on."""
    held_out: int
    """How many of these are not trained on."""
    labelled: Labelled | None = None

    @property
    def elements(self) -> int:
        """What a look costs."""
        parts = [*self.unlabelled, *([self.labelled[0]] if self.labelled else [])]
        return sum(int(self.domain.kept(part).sum()) for part in parts)

    def __len__(self) -> int:
        return sum(len(part) for part in self.unlabelled)

    def features(self, backbone: Backbone) -> Tensor:
        """(n, D) pooled features of the unlabelled part."""
        return torch.cat([pooled(backbone, self.domain, part) for part in self.unlabelled])


class Monitor(Watcher):
    """Looks at a fixed sample now and then; raises an alarm at a collapse that two looks running confirm.

    `fresh` gives a network of the same shape with random weights: the floor. `total` is the run's steps, `work` the
    elements it trains on.
    """

    name = "monitor"

    def __init__(
        self,
        spec: MonitorSpec,
        model: torch.nn.Module,
        backbone: Backbone,
        sample: Sample,
        fresh: Callable[[], Backbone],
        *,
        total: int,
        work: float,
    ) -> None:
        self.spec, self.model, self.backbone, self.sample, self.fresh = spec, model, backbone, sample, fresh
        self.total = total
        self.every = spec.every or steps_between(total, spec.share, work, sample.elements)
        self.looks: list[dict[str, Any]] = []
        self.floor: dict[str, float] = {}
        self.alarm: dict[str, Any] | None = None
        self._seen = (0.0, 0.0)

    def began(self, step: int) -> None:
        """Measure the floor, unless the checkpoint held it."""
        if self.floor:
            return
        floor = self.fresh().to(_device(self.backbone)).eval()
        with torch.inference_mode():
            found = self.sample.features(floor)
        null = gaussian_rank(*found.shape) if len(found) > 1 else 0.0
        self.floor = {**figures(found), "gaussian_rank": null}

    def due(self, step: int) -> bool:
        return step % self.every == 0 or step == self.total

    def glanced(self, step: int, loss: tuple[float, float]) -> dict[str, Any]:
        """The figures of this step for its line, and the state they add up to."""
        summed, count = loss[0] - self._seen[0], loss[1] - self._seen[1]
        self._seen = loss
        look: dict[str, Any] = {"step": step, "loss": summed / count if count else None, **self._figures()}
        self.looks.append(look)
        words, ahead = self._state(), self.outlook()
        look["state"] = words[0]
        self._raise(step, ahead)
        line = {f"monitor_{name}": value for name, value in look.items() if name != "step"}
        return {**line, "monitor_why": words[1], "monitor_trend": ahead.state, "monitor_trend_why": ahead.why}

    def outlook(self) -> Outlook:
        """What loss, probe and rank say together over the last looks."""
        if "accuracy" not in (self.looks or [{}])[-1]:
            return Outlook("NO PROBE", "no labelled sample was given to probe")
        loss, accuracy, rank = ([look[name] for look in self.looks] for name in ("loss", "accuracy", "rank"))
        return outlook(loss, accuracy, rank)

    def stop(self) -> str:
        return f"monitor: {self.alarm['why']}" if self.alarm and self.spec.action == "stop" else ""

    def words(self) -> str:
        """The alarm in words, or nothing."""
        return f"{self.alarm['state']} at step {self.alarm['step']}: {self.alarm['why']}" if self.alarm else ""

    def record(self) -> dict[str, Any]:
        """What came of it, for the artifact."""
        last = self.looks[-1] if self.looks else {}
        facts: dict[str, Any] = {"looks": len(self.looks), "every": self.every, "examples": len(self.sample)}
        facts |= {"held_out": self.sample.held_out, "floor": self.floor, "last": last, "alarm": self.alarm}
        return facts | {"state": last.get("state", "UNDECIDED"), "trend": self.outlook().state}

    def state(self) -> dict[str, Any]:
        return {"looks": self.looks, "floor": self.floor, "alarm": self.alarm, "seen": list(self._seen)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.looks, self.floor, self.alarm = list(state["looks"]), dict(state["floor"]), state["alarm"]
        self._seen = (state["seen"][0], state["seen"][1])

    def _figures(self) -> dict[str, float]:
        with unsharded(self.model):
            every = figures(self.sample.features(self.backbone))
            look = {name: every[name] for name in LOGGED}
            if self.sample.labelled:
                dataset, labels = self.sample.labelled
                look["accuracy"] = neighbour_score(pooled(self.backbone, self.sample.domain, dataset), labels)
        return look

    def _state(self) -> tuple[str, str]:
        """The latest look beside the floor."""
        look = self.looks[-1]
        ratio = look["rank"] / max(self.floor["rank"], 1e-12)
        beside = look["spread"] / max(self.floor["spread"], 1e-12)
        return classify(len(self.sample), (ratio, ratio), beside, self.floor["rank"])

    def _raise(self, step: int, ahead: Outlook) -> None:
        """The first alarm stays."""
        if self.alarm:
            return
        states = [look["state"] for look in self.looks[-2:]]
        if len(states) == 2 and all("COLLAPSED" in state for state in states):
            self.alarm = {"step": step, "state": states[-1], "why": self._state()[1]}
        elif ahead.alarm:
            self.alarm = {"step": step, "state": ahead.state, "why": ahead.why}


def steps_between(total: int, share: float, work: float, cost: float) -> int:
    """Steps between looks so that all of them, and the one at a random network, stay within the share of the work."""
    paid = int(share * WORTH * work / max(cost, 1.0)) - 1
    return math.ceil(total / min(MOST, max(1, paid)))


def take_sample(
    spec: MonitorSpec, domain: Domain, train: Dataset, held: Dataset | None, labelled: Labelled | None, seed: int
) -> Sample:
    """A fixed sample: held-out windows, filled up from those trained on; and as many labelled examples."""
    parts = [domain.windows(part, 0) for part in (held, train) if part is not None]
    sizes = [min(spec.examples, len(parts[0]))]
    if len(parts) == 2:
        sizes.append(min(spec.examples - sizes[0], len(parts[1])))
    chosen = tuple(
        part.subset(_places(len(part), size, derive(seed, "monitor", i)))
        for i, (part, size) in enumerate(zip(parts, sizes, strict=True))
        if size
    )
    if labelled:
        known = np.flatnonzero(_known(labelled[1]))
        places = known[_places(len(known), spec.examples, derive(seed, "monitor labels"))]
        labelled = (labelled[0].subset(places), labelled[1][places]) if len(places) > 1 else None
    return Sample(domain, chosen, sizes[0] if held is not None else 0, labelled)


def pooled(backbone: Backbone, domain: Domain, dataset: Dataset) -> Tensor:
    """(n, D) float32 means over the elements of each example, in the order of the data set."""
    longest = int(domain.kept(dataset).max(initial=1))
    batches = Batches(
        dataset, domain.collate, batch_elements=max(ELEMENTS, longest), shuffle=False, lengths=domain.kept
    )
    device, out = _device(backbone), torch.zeros(len(dataset), backbone.width)
    for places in batches.plan(0):
        features = backbone(batches.load(dataset, places).to(device)).pooled().float()
        out = out.to(features.device).index_copy(0, torch.as_tensor(places, device=features.device), features)
    return out


def _places(count: int, size: int, seed: int) -> np.ndarray:
    """Sorted places of `size` of `count` examples."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:size])


def _known(labels: np.ndarray) -> np.ndarray:
    """Which labels are there."""
    return np.isfinite(labels) if labels.dtype.kind == "f" else labels >= 0


def _device(network: torch.nn.Module) -> torch.device:
    return next((p.device for p in network.parameters()), torch.device("cpu"))
