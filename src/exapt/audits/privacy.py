"""Privacy: what a fitted model gives away about the labelled examples it was fitted on.

Shadow models are fitted on random halves of some labelled examples, and membership attacks (LiRA, RMIA, loss) tell who
was in. The examples are split at random, so members and others are alike but for the training; a blind classifier of
the inputs checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from exapt.adaptation import AdaptSpec, Start
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.planted_members import memorised, never_seen, privately_trained
from exapt.audits.shadowing import (
    Examples,
    fits_on,
    halves,
    labels_of,
    log_p_of,
    network_log_p,
    with_canaries,
)
from exapt.errors import InputError
from exapt.evidence.blind import Blind, blind_baseline, require_fair
from exapt.evidence.canaries import epsilon_bound, one_run_guesses
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.leakage import MAIN, Leakage, leakage
from exapt.evidence.roc import curve_series

LEVELS: dict[str, Level] = {"LEAKS": "bad", "NO LEAK FOUND": "good", "UNDECIDED": "unsure"}


class PrivacyAudit(Audit):
    """How well an attacker tells which labelled examples a model was fitted on."""

    asks: ClassVar[str] = "Does a fitted model give away which labelled examples it was fitted on?"
    kind: Literal["privacy"] = "privacy"
    how: Literal["probe", "finetune", "network"] = "probe"
    """What is attacked: the study's `probe`, its fine-tuning (`adapt`, at the middle of its rates; slow), or a small
    network on frozen features."""
    arms: list[Literal["pretrained", "scratch"]] = Field(default=["pretrained", "scratch"], min_length=1)
    """Which weights to start from; the verdict is of the first."""
    more: dict[str, AdaptSpec] = {}
    """Further ways to use labels by name, from the pre-trained weights, such as `{private: {kind: private-probe}}`."""
    models: int = Field(default=16, ge=4)
    """Shadow models of each arm; each is attacked with the others as references."""
    examples: PositiveInt = 200
    """Labelled examples attacked, of which each model is fitted on a random half."""
    population: PositiveInt = 200
    """Further examples that no model sees, for RMIA."""
    fpr: float = Field(default=0.01, gt=0, lt=1)
    """The false-alarm rate at which members caught are counted; at least ten false alarms must be expected at it."""
    margin: float = Field(default=0.02, gt=0)
    """How far above ½ the AUC may be and still count as no leak."""
    canaries: int = Field(default=0, ge=0)
    """Of the examples, so many get a wrong label and are put in or left out of one more fit of each arm, for a lower
    bound of ε; 0: none."""
    delta: float = Field(default=1e-5, ge=0, lt=1)
    """δ of that bound."""
    seed: int = 0

    def run(self, subject: Subject) -> Finding:
        """Fit, attack and judge. Raises `InputError` for other tasks than classes, and for too few labels."""
        labels_of(subject.task, subject.labelled.subset([]))
        rng = np.random.default_rng([self.seed, 0])
        examples = Examples.draw(subject, self.examples, self.population, rng)
        member = halves(self.models, len(examples.attacked), rng)
        blind = self._blind(subject, examples, member)
        found = {name: self._attack(subject, name, examples, member) for name in (*self.arms, *self.more)}
        bounds = {name: self._bound(subject, name, examples) for name in found} if self.canaries else {}
        return self._finding(found, blind, bounds)

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Labels learnt by heart, models that never saw anyone, and (where opacus is there) private training."""
        return [memorised(seed), never_seen(seed), *privately_trained(seed)]

    def _start(self, subject: Subject, arm: str) -> Start:
        scratch = arm == "scratch"
        return Start(subject.domain, subject.fresh(self.seed) if scratch else subject.start.backbone)

    def _spec(self, subject: Subject, arm: str) -> AdaptSpec:
        if arm in self.more:
            return self.more[arm]
        return subject.adapt if self.how == "finetune" else subject.probe

    def _attack(self, subject: Subject, arm: str, examples: Examples, member: np.ndarray) -> Leakage:
        start, task = self._start(subject, arm), subject.task
        if self.how == "network" and arm not in self.more:
            log_p, others = network_log_p(start, subject.probe, task, examples, member, self.seed)
        else:
            fits = fits_on(self._spec(subject, arm), start, task, examples.attacked, member, self.seed)
            parts = examples.attacked, examples.population
            log_p, others = (log_p_of(fits, part, labels_of(task, part)) for part in parts)
        try:
            return leakage(log_p, member, others, np.random.default_rng([self.seed, 1]), fpr=self.fpr)
        except InputError as error:
            raise self.refuse(f"{error}; raise models or examples, or set fpr higher") from None

    def _blind(self, subject: Subject, examples: Examples, member: np.ndarray) -> Blind:
        """The first model's members against the others, by features of a network that no arm has trained."""
        untrained = Start(subject.domain, subject.fresh(self.seed + 1))
        blind = blind_baseline(subject.probe.features(untrained, subject.task, examples.attacked), member[0])
        require_fair(blind)
        return blind

    def _bound(self, subject: Subject, arm: str, examples: Examples) -> dict[str, float]:
        """One fit with canaries, and the ε that the guesses about them rule out (Steinke et al. 2023)."""
        rng, task = np.random.default_rng([self.seed, 2]), subject.task
        count = min(self.canaries, len(examples.attacked))
        guesses = count // 2 - count // 2 % 2  # half of them, fixed before looking
        data = with_canaries(examples.attacked, count, task.outputs, rng)
        inside = np.ones((1, len(data)), dtype=bool)
        inside[0, :count] = rng.random(count) < 0.5
        fits = fits_on(self._spec(subject, arm), self._start(subject, arm), task, data, inside, self.seed)
        scores = log_p_of(fits, data, labels_of(task, data))[0, :count]
        right = one_run_guesses(scores, inside[0, :count], guesses)
        bound = epsilon_bound(count, guesses, right, self.delta)
        return {"canaries": count, "guesses": guesses, "right": right, "epsilon": bound}

    def _finding(self, found: dict[str, Leakage], blind: Blind, bounds: dict[str, dict[str, float]]) -> Finding:
        first, leak = next(iter(found.items()))
        verdict, main = leak.verdict(self.margin), leak.main
        others = {name: one.verdict(self.margin) for name, one in found.items()}
        return Finding(
            name="privacy",
            verdict=verdict,
            effect=main.auc,
            interval=(main.auc_low, main.auc_high),
            n=leak.examples,
            how=f"AUC of {MAIN} on {leak.models} models of arm {first} ({self.how}), each fitted on a random half of "
            f"{leak.examples} examples and attacked with the others as references; 95 % bootstrap over examples",
            details={
                "arms": {name: {a: asdict(v) for a, v in one.attacks.items()} for name, one in found.items()},
                "verdicts": others,
                "blind": asdict(blind),
                "canaries": bounds,
            },
            sentence=_sentence(found, self.fpr),
            level=LEVELS[verdict],
            caveats=self._caveats(blind, leak.examples),
            plots=[_plot(found, self.fpr)],
            listings=[_attacks(found, others, self.fpr), *([_bounds(bounds, self.delta)] if bounds else [])],
        )

    def _caveats(self, blind: Blind, examples: int) -> list[str]:
        return [
            "A stronger attack may find what these do not: an upper bound of ε needs private training.",
            f"Members are random halves; a blind classifier of the inputs told them apart with AUC {blind.auc:.2f} "
            f"({blind.low:.2f} to {blind.high:.2f}).",
            "It is about the labelled examples of a fit, not about the corpus the network was pre-trained on.",
            f"Fits on about {examples // 2} labels; more labels a class leak less about each.",
        ]


def _sentence(found: dict[str, Leakage], fpr: float) -> str:
    said = []
    for name, leak in found.items():
        m = leak.main
        said.append(
            f"{name}: AUC {m.auc:.3f} ({m.auc_low:.3f} to {m.auc_high:.3f}), {m.tpr:.1%} of members caught at "
            f"{fpr:.1%} false alarms"
        )
    leak = next(iter(found.values()))
    return f"Of {leak.examples} examples and {leak.models} models, {MAIN} tells members apart with {'; '.join(said)}."


def _attacks(found: dict[str, Leakage], verdicts: Mapping[str, str], fpr: float) -> Listing:
    rows = [
        [
            f"{name}, {attack}",
            one.auc,
            f"{one.auc_low:.3f} to {one.auc_high:.3f}",
            one.tpr,
            f"{one.tpr_low:.3f} to {one.tpr_high:.3f}",
            verdicts[name] if attack == MAIN else "",
        ]
        for name, leak in found.items()
        for attack, one in leak.attacks.items()
    ]
    head = ["arm, attack", "AUC", "95 % interval", f"caught at {fpr:.1%}", "95 % interval", "verdict"]
    return Listing("Every attack on every arm; intervals are a bootstrap over examples", head, rows)


def _bounds(bounds: dict[str, dict[str, float]], delta: float) -> Listing:
    rows = [[name, b["canaries"], b["guesses"], b["right"], b["epsilon"]] for name, b in bounds.items()]
    caption = f"One fit with wrongly labelled canaries: with 95 % confidence it was not (ε, {delta:g})-private below"
    return Listing(caption, ["arm", "canaries", "guesses", "right", "ε"], rows)


def _plot(found: dict[str, Leakage], fpr: float) -> Plot:
    floor = fpr / 3
    chance = Series("chance", [floor, 1.0], [floor, 1.0], style="dashed")
    series = [curve_series(name, leak.curve, floor) for name, leak in found.items()]
    leak = next(iter(found.values()))
    caption = f"{MAIN} over {leak.models} models and {leak.examples} examples, on logarithmic axes"
    return Plot(caption, "false alarms", "members caught", [*series, chance], log_x=True, log_y=True)
