"""How much of the adapted network can be pruned, and whether pre-training or its weight decay changes that.

Han et al. 2015 (arXiv 1506.02626) for magnitude pruning; the curve is of the fine-tuned network, as the study tunes it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from exapt.adaptation import FinetuneSpec, Start, fit
from exapt.adaptation.finetune import FinetuneFitted
from exapt.adaptation.fitted import Fitted
from exapt.adaptation.pruning import PruneSpec, Scope, apply_masks, magnitude_masks, prunable
from exapt.audits import pruning_display as display
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.variants import Variants
from exapt.backbones.base import Backbone
from exapt.evidence.finding import Finding, Level
from exapt.evidence.tolerance import Contrast, Tolerance, contrast, tolerance
from exapt.tasks.splits import draw_budget
from exapt.training.pretrained import load_pretrained

Sparsity = Annotated[float, Field(gt=0, lt=1)]
STUDY, SCRATCH = "pretrained", "scratch"


class PruningAudit(Audit):
    """Sparsity against score of the adapted network, over seeds: pre-trained, from scratch, and other starts."""

    asks: ClassVar[str] = "How much of the adapted network can be pruned?"
    kind: Literal["pruning"] = "pruning"
    sparsities: Annotated[list[Sparsity], Field(min_length=1)] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
    """The shares of weights that are pruned, ascending."""
    scope: Scope = "global"
    """The smallest weights of the whole network, or the same share of every matrix (`layer`)."""
    gradual: bool = False
    """Prune while fine-tuning, one fit a sparsity, instead of at once after it; so many times the cost."""
    margin: float = Field(default=0.01, ge=0)
    """The loss of score that matters, set before looking."""
    budget: PositiveInt | None = None
    """Labels that the networks are adapted with; None: the study's largest budget."""
    seeds: int | None = Field(default=None, ge=2)
    """None: as many as the study has."""
    scratch: bool = True
    """Whether to compare with the same network from random weights."""
    starts: dict[str, str] = {}
    """Folders of further checkpoints of the same domain to compare, by name."""
    decays: list[NonNegativeFloat] = []
    """Weight decays to pre-train the study's network with anew, once a seed: costly. Empty: none."""
    steps: PositiveInt | None = None
    """Steps of those pre-trainings; None: as many as the study's."""

    @field_validator("sparsities")
    @classmethod
    def _ascending(cls, sparsities: list[float]) -> list[float]:
        if sparsities != sorted(set(sparsities)):
            raise ValueError(f"sparsities must ascend (found {sparsities})")
        return sparsities

    def run(self, subject: Subject) -> Finding:
        """Adapt every start with every seed, and prune. Raises `InputError` where there is nothing to lose."""
        curves = self._curves(subject)
        self._check(subject, curves[STUDY])
        found = {
            name: tolerance(curve.whole, curve.pruned, self.sparsities, self.margin) for name, curve in curves.items()
        }
        beside = {
            name: contrast((curves[STUDY].whole, curves[STUDY].pruned), (curve.whole, curve.pruned), self.margin)
            for name, curve in curves.items()
            if name != STUDY
        }
        return self._finding(subject, curves, found, beside)

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Networks of which half is planted to be idle, networks of which nothing is, and a loss just at the margin."""
        rng = torch.Generator().manual_seed(seed)
        cases = (
            ("half of the weights are idle: prunable to 50 % and no further", True, ("PRUNABLE TO 50 %",)),
            ("every weight counts: no sparsity is called harmless", False, ("FRAGILE", "INCONCLUSIVE")),
        )
        return [_trial(what, idle, wanted, rng) for what, idle, wanted in cases] + [_boundary(seed)]

    def _curves(self, subject: Subject) -> dict[str, Curve]:
        seeds = self.seeds or subject.seeds
        return {
            name: Curve.of([self._scores(subject, backbone(seed), seed) for seed in range(seeds)])
            for name, backbone in self._starts(subject).items()
        }

    def _starts(self, subject: Subject) -> dict[str, Callable[[int], Backbone]]:
        """The network to adapt, by start and seed."""
        starts: dict[str, Callable[[int], Backbone]] = {STUDY: lambda seed: _checkpoint(subject, seed)}
        if self.scratch:
            starts[SCRATCH] = subject.fresh
        for name, folder in self.starts.items():
            other = load_pretrained(folder, domain=subject.domain.spec.plain()["kind"])
            if other.domain.describe() != subject.domain.describe():
                raise self.refuse(f"{folder} was made with another domain than this study's (tokenizer, picture size)")
            starts[name] = partial(_same, other.backbone)
        if self.decays:
            make = partial(self._decayed, Variants(subject))
            starts |= {f"decay {decay:g}": partial(make, decay) for decay in self.decays}
        return starts

    def _decayed(self, variants: Variants, decay: float, seed: int) -> Backbone:
        """The study's network pre-trained anew with another weight decay."""
        steps = {"steps": self.steps} if self.steps else {}
        return variants.make(seed, weight_decay=decay, **steps).backbone

    def _scores(self, subject: Subject, backbone: Backbone, seed: int) -> np.ndarray:
        """(1 + P,) scores on the test part: the whole network's, then at each sparsity."""
        start = Start(subject.domain, backbone)
        whole = self._fit(subject, start, seed, subject.adapt.model_copy(update={"prune": None}))
        pruned = [
            self._fit(subject, start, seed, self._gradual(subject.adapt, sparsity))
            if self.gradual
            else pruned_at_once(whole, sparsity, self.scope)
            for sparsity in self.sparsities
        ]
        return np.array([_score(subject, fitted) for fitted in (whole, *pruned)])

    def _gradual(self, adapt: FinetuneSpec, sparsity: float) -> FinetuneSpec:
        return adapt.model_copy(update={"prune": PruneSpec(sparsity=sparsity, scope=self.scope, gradual=True)})

    def _fit(self, subject: Subject, start: Start, seed: int, adapt: FinetuneSpec) -> Fitted:
        task, data = subject.task, subject.labelled
        train, valid = draw_budget(data, task, subject.pool, self._budget(subject), seed)
        return fit(adapt, start, task, data.subset(train), data.subset(valid), seed)

    def _budget(self, subject: Subject) -> int:
        return self.budget or max(subject.budgets)

    def _check(self, subject: Subject, curve: Curve) -> None:
        """A network that knows nothing loses nothing."""
        chance, score = subject.task.chance(_truth(subject)), float(curve.whole.mean())
        if score - chance <= 2 * self.margin:
            raise self.refuse(
                f"the adapted network scores {score:.3f} where chance is {chance:.3f}: it has nothing to lose; "
                "choose a larger budget"
            )

    def _finding(
        self,
        subject: Subject,
        curves: dict[str, Curve],
        found: dict[str, Tolerance],
        beside: dict[str, Contrast],
    ) -> Finding:
        mine, metric, seeds = found[STUDY], subject.task.metric_name, len(curves[STUDY].whole)
        shown = mine.changes[max(0, sum(s <= (mine.largest or 0) for s in self.sparsities) - 1)]
        levels: dict[str, Level] = {"FRAGILE": "bad", "INCONCLUSIVE": "unsure"}
        how = "while tuning, one fit a sparsity" if self.gradual else "at once after tuning, without tuning again"
        return Finding(
            name="pruning",
            verdict=mine.verdict,
            effect=shown.mean,
            interval=(shown.low, shown.high),
            n=seeds,
            how=f"{metric} on the test part, pruned minus whole, paired over {seeds} seeds; fits with "
            f"{self._budget(subject)} labels; smallest weights pruned {how}; sparsities tested in ascending order",
            details={
                "tolerance": {name: t.plain() for name, t in found.items()},
                "pretrained against": {name: c.plain() for name, c in beside.items()},
                "scores": {n: {"whole": c.whole.tolist(), "pruned": c.pruned.tolist()} for n, c in curves.items()},
                "margin": self.margin,
            },
            sentence=display.sentence(mine, beside, metric, self.margin, seeds),
            level=levels.get(mine.verdict, "good"),
            caveats=display.caveats(self.gradual, seeds, len(subject.checkpoints), bool(self.decays)),
            plots=[display.plot({n: (c.whole, c.pruned) for n, c in curves.items()}, self.sparsities, metric)],
            listings=[display.listing(found, {n: float(c.whole.mean()) for n, c in curves.items()}, beside)],
        )


@dataclass(frozen=True)
class Curve:
    """Scores of one start."""

    whole: np.ndarray
    """(S,)."""
    pruned: np.ndarray
    """(S, P)."""

    @classmethod
    def of(cls, rows: list[np.ndarray]) -> Curve:
        """From (1 + P,) scores of each seed."""
        scores = np.stack(rows)
        return cls(scores[:, 0], scores[:, 1:])


def pruned_at_once(fitted: Fitted, sparsity: float, scope: Scope = "global") -> FinetuneFitted:
    """The same fine-tuned model with its smallest weights set to zero."""
    assert isinstance(fitted, FinetuneFitted)
    small = copy.copy(fitted)
    small.tuning = fitted.tuning.copy()
    weights = prunable(small.tuning.backbone)
    apply_masks(weights, magnitude_masks(weights, sparsity, scope))
    return small


def _same(backbone: Backbone, seed: int) -> Backbone:
    """One checkpoint for every seed."""
    return backbone


def _checkpoint(subject: Subject, seed: int) -> Backbone:
    """The study's checkpoint that a seed adapts."""
    paths: list[Path] = list(subject.checkpoints)
    return load_pretrained(paths[seed % len(paths)]).backbone if len(paths) > 1 else subject.start.backbone


def _truth(subject: Subject) -> np.ndarray:
    test = subject.labelled.subset(subject.test)
    return subject.task.truth(test, subject.domain.kept(test) if subject.task.per_element else None)


def _score(subject: Subject, fitted: Fitted) -> float:
    """On the test part; a fit that diverged knows nothing."""
    truth = _truth(subject)
    if fitted.record["diverged"]:
        return subject.task.chance(truth)
    return subject.task.metric(fitted.predict(subject.labelled.subset(subject.test)), truth)


def _trial(what: str, idle: bool, wanted: tuple[str, ...], rng: torch.Generator, runs: int = 40) -> Trial:
    """Five seeds a run, judged at 50, 70 and 90 %."""
    sparsities = [0.5, 0.7, 0.9]
    found = []
    for _ in range(runs):
        scores = np.array([planted_scores(idle, sparsities, rng) for _ in range(5)])
        found.append(tolerance(scores[:, 0], scores[:, 1:], sparsities, 0.02))
    right = sum(one.verdict in wanted for one in found)
    largest = float(np.mean([one.largest or 0.0 for one in found]))
    return Trial(what, wanted, right, runs, 0.9, {"prunable share": largest, "planted": 0.5 if idle else 0.0})


def _boundary(seed: int, runs: int = 400) -> Trial:
    """A true loss that equals the margin at every sparsity must hardly ever be called within it."""
    rng = np.random.default_rng(seed)
    wanted, right = ("FRAGILE", "INCONCLUSIVE"), 0
    for _ in range(runs):
        whole = rng.normal(0.9, 0.02, 5)
        pruned = whole[:, None] - 0.02 + rng.normal(0, 0.01, (5, 3))
        right += tolerance(whole, pruned, [0.5, 0.7, 0.9], 0.02).verdict in wanted
    return Trial("the loss equals the margin: not called harmless", wanted, right, runs, 0.92, {"planted": -0.02})


def planted_scores(idle: bool, sparsities: list[float], rng: torch.Generator) -> list[float]:
    """Scores of a network whose 64 weights ±1 all matter, or whose other 64 are noise beside them.

    An example's label is the sign of its features under the true weights, wrong in one example of twenty.
    """
    features = torch.randn(400, 128 if idle else 64, generator=rng)
    weight = torch.randn(1, features.shape[1], generator=rng).sign()
    if idle:
        weight[:, 64:] = 1e-3 * torch.randn(1, 64, generator=rng)
    wrong = torch.rand(400, generator=rng) < 0.05
    label = (features @ weight.T)[:, 0].sign() * torch.where(wrong, -1.0, 1.0)
    masks = [magnitude_masks({"w": weight}, sparsity)["w"] for sparsity in (0.0, *sparsities)]
    return [float(((features @ (weight * mask).T)[:, 0].sign() == label).float().mean()) for mask in masks]
