"""The runs of one fine-tuning fit: every rate (and strength of an anchor) of the grid, and which is kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from exapt.adaptation.anchor import Anchor, Anchored, running_statistics
from exapt.adaptation.anchors import together
from exapt.adaptation.combine import combine
from exapt.adaptation.ewc import EwcAnchor
from exapt.adaptation.fitted import Start
from exapt.adaptation.headstart import start_from_probe
from exapt.adaptation.l2sp import L2spAnchor
from exapt.adaptation.lora import merge
from exapt.adaptation.pruning import prunable, zero_share
from exapt.adaptation.selection import Choice, choose, firmest
from exapt.adaptation.tuning import Tuning, distances, layer_groups
from exapt.adaptation.validation import validation
from exapt.domains.base import Dataset
from exapt.errors import DivergenceError
from exapt.tasks.base import Task
from exapt.training.batches import Batches
from exapt.training.loop import train as run_loop
from exapt.training.seeds import derive

if TYPE_CHECKING:
    from exapt.adaptation.finetune import FinetuneSpec


@dataclass(frozen=True)
class Attempt:
    """One run."""

    rate: float
    alpha: float | None
    """The strength of L2-SP, where there is one."""
    strength: float | None
    """EWC's λ, where there is one."""
    steps: int
    """Steps up to the weights that were kept."""
    score: float
    loss: float
    diverged: bool = False
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """The record of the grid."""
        facts = {"rate": self.rate, "best_step": self.steps, "valid_score": self.score, "valid_loss": self.loss}
        facts |= {} if self.alpha is None else {"alpha": self.alpha}
        facts |= {} if self.strength is None else {"strength": self.strength}
        return facts | ({"diverged": True, "why": self.why} if self.diverged else {})


@dataclass
class Attempts:
    """The runs of one fit: same head, same order of examples, another rate or strength each."""

    spec: FinetuneSpec
    start: Start
    task: Task
    train: Dataset
    valid: Dataset
    seed: int
    tried: list[Attempt] = field(default_factory=list)
    networks: dict[int, Tuning] = field(default_factory=dict)
    """The networks that may still be chosen, by their place in `tried`."""

    def __post_init__(self) -> None:
        self.total = self.spec.steps(len(self.train))
        self.judge = validation(self.task, self.valid, self.start.domain) if len(self.valid) else None
        self.by_metric = self.spec.choose == "metric" and self.judge is not None and self.judge.usable
        self.initial, self.probe = self._begin()
        self.anchors = [one.anchor(self.initial.backbone, self.start.source) for one in self.spec.anchor]

    @property
    def choice(self) -> Choice:
        """The best attempt so far; without validation, the middle one of those that did not diverge."""
        scores, losses = [a.score for a in self.tried], [a.loss for a in self.tried]
        sound = [place for place, attempt in enumerate(self.tried) if not attempt.diverged]
        best = choose(scores, losses, self.by_metric, sound[len(sound) // 2] if sound else 0)
        _, slack = self.spec.strengths()
        return firmest(best, losses, [a.strength or 0.0 for a in self.tried], slack) if slack else best

    @property
    def best(self) -> Tuning | None:
        """The network of the best attempt so far."""
        return self.networks.get(self.choice.place)

    def search(self, rates: Sequence[float]) -> None:
        """Every rate, with L2-SP at its first α and EWC at its first λ; then the other alphas at the best rate, or
        every pair if asked; then the other λ."""
        (alphas, pairs), (strengths, _) = self.spec.alphas(), self.spec.strengths()
        for alpha in alphas if pairs else alphas[:1]:
            for rate in rates:
                self.attempt(rate, alpha, strengths[0])
        best = self.tried[self.choice.place].rate
        for alpha in [] if pairs else alphas[1:]:
            self.attempt(best, alpha, strengths[0])
        found = self.tried[self.choice.place]
        for strength in strengths[1:]:
            self.attempt(found.rate, found.alpha, strength)

    def attempt(self, rate: float, alpha: float | None = None, strength: float | None = None) -> None:
        """Run one setting and keep its network if it is the best so far, or with a slack may become it."""
        tuning = self.initial.copy()
        plan = Attempt(rate, alpha, strength, self.total, float("nan"), float("nan"))
        self.tried.append(self._run(tuning, self.train, plan, self._evaluation(tuning)))
        place, (_, slack) = len(self.tried) - 1, self.spec.strengths()
        if slack or self.choice.place == place:
            self.networks = (self.networks if slack else {}) | {place: tuning}

    def settle(self) -> tuple[dict[str, Any], Tuning]:
        """The record and the network that the fit ends with, plain matrices again where LoRA was added to them."""
        record, tuning = self._settled()
        merge(tuning.backbone)
        began = self.initial.backbone if self.spec.prune else self.start.network("finetune")
        return record | {"distance": distances(tuning.backbone, began)}, tuning

    def _settled(self) -> tuple[dict[str, Any], Tuning]:
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
        if self.spec.lora is not None:
            self.spec.lora.insert(backbone, self.seed)
        head = self.task.head(backbone.width, derive(self.seed, "head"))
        augment = self.task.augmentation(self.start.domain) if self.spec.augment else None
        tuning = Tuning(backbone, head, self.task, augment, self.spec.last)
        self.task.inherit(head, self.start.objective, self.train, lambda: tuning.output(self.start.domain, self.train))
        if not self.spec.probe_first:
            return tuning, None
        return tuning, start_from_probe(tuning, self.start.domain, self.train, self.valid, self.spec.probe)

    def _run(
        self, tuning: Tuning, train: Dataset, plan: Attempt, evaluate: Callable[[], dict[str, float]] | None
    ) -> Attempt:
        """Train for `plan.steps` at most; what came of it."""
        domain, spec = self.start.domain, self.spec.training(plan.rate, plan.steps, derive(self.seed, "tune"))
        batches = Batches(train, domain.collate_training, batch=self.spec.batch, seed=spec.seed, lengths=domain.kept)
        hold = together(self._anchors(plan), tuning.backbone)
        toward_zero = 0.0 if plan.alpha is not None else self.spec.weight_decay  # L2-SP decays to the start instead
        groups = layer_groups(tuning, plan.rate, self.spec.layer_decay, self.spec.weight_decay, toward_zero)
        model = Anchored(tuning, hold.terms) if hold.terms else tuning
        pruner = self.spec.prune.watcher(tuning.backbone, plan.steps) if self.spec.prune else None
        options: dict[str, Any] = {"evaluate": pruner.judged(evaluate) if pruner else evaluate, "groups": groups}
        watchers = [*hold.watchers, *([pruner] if pruner else [])]  # what an anchor pulls off zero is pruned again
        try:
            done = run_loop(model, batches, spec, progress=False, watchers=watchers, **options)
        except DivergenceError as error:
            return replace(plan, steps=0, diverged=True, why=str(error))
        best = done.best or {}
        loss = best.get("loss", float("nan"))
        broken = evaluate is not None and not math.isfinite(loss)
        why = "the loss on validation is not finite" if broken else ""
        steps, score = int(best.get("step", done.step)), best.get("measured", float("nan"))
        return replace(plan, steps=steps, score=score, loss=loss, diverged=broken, why=why)

    def _anchors(self, plan: Attempt) -> list[Anchor]:
        """The anchors at the strengths of one run."""
        return [_at(anchor, plan) for anchor in self.anchors]

    def _evaluation(self, tuning: Tuning) -> Callable[[], dict[str, float]] | None:
        """What the loop calls to look at validation; None without a validation part."""
        judge = self.judge
        if judge is None:
            return None

        def evaluate() -> dict[str, float]:
            figures = judge.figures(tuning.output(self.start.domain, self.valid))
            return figures | ({"score": figures["measured"]} if self.by_metric else {})

        return evaluate

    def _again(self, chosen: Attempt, record: dict[str, Any]) -> tuple[dict[str, Any], Tuning]:
        """Train and validation together at the chosen rate and steps; if that diverges, the former weights stand."""
        both = combine(self.train, self.valid)
        tuning = self.initial.copy()
        run = self._run(tuning, both, replace(chosen, steps=max(1, chosen.steps)), None)
        if run.diverged and self.best is not None:
            return record | {"refit": f"diverged, weights before it kept: {run.why}"}, self.best
        return record | {"refit": True}, tuning

    def _record(self, chosen: Attempt) -> dict[str, Any]:
        facts = [anchor.facts() for anchor in self._anchors(chosen)]
        return {
            **chosen.plain(),
            "chosen_by": self.choice.by,
            "steps": self.total,
            "grid": [a.plain() for a in self.tried],
            "probe": self.probe,
            "trained_parameters": sum(p.numel() for p in self.initial.parameters() if p.requires_grad),
            "diverged": False,
            "refit": False,
            "anchor": dict(zip([one.kind for one in self.spec.anchor], facts, strict=True)),
            "not_held": running_statistics(self.initial.backbone) if self.anchors else [],
        } | ({"zero_weights": zero_share(prunable(self.best.backbone))} if self.spec.prune and self.best else {})


def _at(anchor: Anchor, plan: Attempt) -> Anchor:
    """An anchor at the strength of one run."""
    if isinstance(anchor, L2spAnchor):
        return replace(anchor, alpha=plan.alpha or 0.0)
    if isinstance(anchor, EwcAnchor) and plan.strength is not None:
        return replace(anchor, strength=plan.strength)
    return anchor
