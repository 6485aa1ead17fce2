"""The study: matched arms × label budgets × seeds, from a corpus and a labelled task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, model_validator

from exapt.adaptation import AdaptSpec, ClassicalSpec, FinetuneSpec, LawSpec, MapsSpec, ProbeSpec, StackSpec
from exapt.adaptation.anchors import needing_source
from exapt.audits import AuditSpec
from exapt.backbones import BackboneSpec, TransformerSpec
from exapt.domains import DomainSpec
from exapt.domains.base import Source
from exapt.objectives import MaskedSpec, ObjectiveSpec
from exapt.spec import Spec
from exapt.studies.beginning import (
    OWN,
    RESERVED,
    Beginning,
    check_corpora,
    check_names,
    check_networks,
    check_pairs,
    check_used,
    in_order,
)
from exapt.studies.watch import WatchSpec
from exapt.tasks import TaskSpec
from exapt.tasks.splits import SplitSpec
from exapt.training.spec import TrainingSpec


class Arm(Spec):
    """One way to a fitted model: where its weights start, and how it is adapted."""

    start: str = "pretrained"
    """`pretrained` (this study's checkpoint), `scratch` (a fresh network), `none` (no network), one of `starts` by its
    name, or the folder of another checkpoint."""
    adapt: AdaptSpec = FinetuneSpec()
    """How the labelled examples are used. Left out in a study: exactly as the study's own `adapt`, so that only the
    start differs."""
    what: str = ""
    """A few words for the report."""


class StudySpec(Spec):
    """A whole study. Every default is written out in the run's `study.yaml`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Short name; also the default name of the run's folder."""
    about: str = ""
    """What the study asks, for the report."""
    needs: dict[str, str] = {}
    """For each key the user must set: what file it is and where it is published."""

    domain: DomainSpec | None = None
    """The field of the data; None takes the checkpoint's own."""
    corpus: Source | None = None
    """The unlabelled data to pre-train on; None when `checkpoint` is given."""
    checkpoint: str | None = None
    """An exapt checkpoint to prove instead of pre-training one."""
    backbone: BackboneSpec = TransformerSpec()
    """The network."""
    objective: ObjectiveSpec = MaskedSpec()
    """The self-supervised loss."""
    pretrain: TrainingSpec = TrainingSpec(epochs=1)
    """How long and how fast to pre-train."""
    starts: dict[str, Beginning] = {}
    """Further pre-trainings by name, for `more_arms` to start from: other objectives, other corpora, or one after
    another."""
    watch: WatchSpec | None = None
    """Let labels of the pool watch pre-training: it stops where the target loses, and the best checkpoint is kept."""
    checkpoints: PositiveInt = 1
    """Independent pre-training runs; seed s adapts run s modulo this. With 1, what is concluded holds for that one."""

    labelled: Source
    """The labelled examples: budgets are drawn from them, and a test part is kept aside."""
    task: TaskSpec
    """What the labels mean, and the metric."""
    split: SplitSpec = SplitSpec()
    """How the test part is kept apart."""

    adapt: FinetuneSpec | LawSpec = Field(default=FinetuneSpec(), discriminator="kind")
    """How the arms `pretrained` and `scratch` are fine-tuned: one description, so the tuning budget is equal."""
    probe: ProbeSpec = ProbeSpec()
    """How the frozen arms are probed."""
    arms: list[str] = ["pretrained", "scratch", "random-frozen", "frozen", "classical"]
    """Which standard arms to run; `pretrained` and `scratch` always are."""
    more_arms: dict[str, Arm] = {}
    """Further arms by name."""
    compare: list[tuple[str, str]] | None = None
    """Pairs [a, b] of arms to compare as a minus b, beside `pretrained` and `scratch`; None: every arm of `more_arms`
    that is fine-tuned exactly as `adapt` says, from other weights than random ones, against `scratch`."""
    budgets: Annotated[list[PositiveInt], Field(min_length=1)]
    """Numbers of labelled examples, training and validation together."""
    seeds: PositiveInt = 5
    """How many times labels, head and data order are drawn anew."""
    validation: float = Field(default=0.2, gt=0, lt=1)
    """The share of each budget that selects instead of training."""
    margin: float = Field(default=0.01, gt=0)
    """The difference in the metric that matters, set before looking."""
    split_seed: int = 0
    """Which test part is kept aside."""
    audits: list[AuditSpec] = []
    """What to look at after the fits: one finding each, in the report."""

    @model_validator(mode="before")
    @classmethod
    def _fine_tuning(cls, data: Any) -> Any:
        """An `adapt` that does not say its kind is fine-tuning, as it was before there was another."""
        if isinstance(data, Mapping) and isinstance(data.get("adapt"), Mapping) and "kind" not in data["adapt"]:
            return {**data, "adapt": {"kind": "finetune", **data["adapt"]}}
        return data

    @model_validator(mode="before")
    @classmethod
    def _adapted_alike(cls, data: Any) -> Any:
        """Arms that do not say how they are adapted take the study's own way."""
        if not isinstance(data, Mapping) or not isinstance(data.get("more_arms"), Mapping):
            return data
        own = data.get("adapt", FinetuneSpec())
        own = {"kind": "finetune", **own} if isinstance(own, Mapping) else own
        return {**data, "more_arms": {name: _filled(arm, own) for name, arm in data["more_arms"].items()}}

    @model_validator(mode="after")
    def _matched(self) -> Self:
        unknown = sorted(set(self.arms) - set(STANDARD))
        if unknown:
            raise ValueError(
                f"arm '{unknown[0]}' is not a standard one ({', '.join(STANDARD)}); describe it under more_arms"
            )
        if set(self.more_arms) & set(STANDARD):
            raise ValueError(f"more_arms may not rename a standard arm ({', '.join(STANDARD)})")
        if {"pretrained", "scratch"} - set(self.arms):
            raise ValueError("arms must hold 'pretrained' and 'scratch': a study without its control proves nothing")
        if (self.corpus is None) == (self.checkpoint is None):
            raise ValueError("give either a corpus to pre-train on or a checkpoint to prove")
        if self.corpus is not None and self.domain is None:
            raise ValueError("a corpus needs a domain: text, dna, protein, image, table or graph")
        if self.watch and self.corpus is None:
            raise ValueError("watch looks over pre-training, and a checkpoint is given: set watch to null")
        self._watchable()
        self._starts_sound()
        if self.seeds < 2:
            raise ValueError("with 1 seed no interval exists and nothing can be concluded; use at least 2, better 5")
        if len(set(self.budgets)) < len(self.budgets):
            raise ValueError("budgets repeat a value")
        self._sources_there()
        self._without_probes()
        check_pairs(self.compare or [], self.all_arms())
        return self

    def _watchable(self) -> None:
        """What watches needs something to look at, in every pre-training."""
        if self.watch is None or self.watch.every is not None:
            return
        runs = {"": self.pretrain} | {f"starts.{k}.": v.pretrain for k, v in self.starts.items() if v.pretrain}
        for key, training in runs.items():
            if training.holdout == 0:
                raise ValueError(
                    f"watch looks at every evaluation, and {key}pretrain.holdout is 0: set watch.every to some steps"
                )

    def _starts_sound(self) -> None:
        """Every start has a name, a place in a chain, a corpus, and an arm that needs it."""
        check_names(self.starts)
        self.starts_in_order()
        check_corpora(self.starts, self.corpus, self.objective)
        if self.corpus is not None:  # else the network is a checkpoint's
            check_networks(self.starts, self.corpus, self.objective, self.backbone)
        check_used(self.starts, {arm.start for arm in self.more_arms.values()})

    def starts_in_order(self) -> list[str]:
        """The names of `starts` in the order in which they are made."""
        return in_order(self.starts)

    def _sources_there(self) -> None:
        """An anchor that asks for what the weights were trained for needs an arm that starts from this study's own."""
        for name, arm in self.all_arms().items():
            kinds = needing_source(arm.adapt.anchor) if isinstance(arm.adapt, FinetuneSpec) else []
            made_here = arm.start in self.starts or (arm.start == OWN and self.corpus is not None)
            if kinds and not made_here:
                raise ValueError(
                    f"arm '{name}' has no source for anchor {kinds[0]}: it takes start: pretrained in a study with a "
                    "corpus; describe it under more_arms, beside a plain adapt for the standard arms"
                )

    def _without_probes(self) -> None:
        """Some labels are no linear function of frozen features: what needs a probe is refused, not left out
        silently."""
        what = UNPROBED.get(self.task.kind)
        for name, arm in self.all_arms().items() if what else ():
            if isinstance(arm.adapt, MapsSpec):  # what it learns from are pairs already
                continue
            if not isinstance(arm.adapt, FinetuneSpec):
                raise ValueError(
                    f"arm '{name}' is a {arm.adapt.kind}, and {what} are no linear function of frozen features; set "
                    "arms to [pretrained, scratch]"
                )
            if arm.adapt.probe_first:
                raise ValueError(
                    f"arm '{name}' starts from a probe, and {what} are no linear function of frozen features; set "
                    "probe_first to false under its adapt"
                )

    @property
    def tuning(self) -> FinetuneSpec:
        """How audits and watchers fine-tune: as `adapt` says, or by the defaults where that is no fine-tuning."""
        return self.adapt if isinstance(self.adapt, FinetuneSpec) else FinetuneSpec()

    def all_arms(self) -> dict[str, Arm]:
        """Every arm by name, the standard ones first."""
        return {name: self._standard(name) for name in STANDARD if name in self.arms} | dict(self.more_arms)

    def pairs(self) -> list[tuple[str, str]]:
        """The arms to compare beside the main comparison, a minus b."""
        if self.compare is not None:
            return self.compare
        alike = [name for name, arm in self.more_arms.items() if arm.adapt == self.adapt and arm.start not in FREE]
        return [(name, "scratch") for name in alike]

    def unlike(self) -> list[tuple[str, str]]:
        """Those of them that are not adapted in the same way."""
        arms = self.all_arms()
        return [(a, b) for a, b in self.pairs() if arms[a].adapt != arms[b].adapt]

    def _standard(self, name: str) -> Arm:
        start, what = STANDARD[name]
        adapt: AdaptSpec = self.adapt
        if name in ("random-frozen", "frozen"):
            adapt = self.probe
        if name == "classical":
            adapt = ClassicalSpec()
        if name == "stacked":
            adapt = StackSpec(probe=self.probe)
        return Arm(start=start, adapt=adapt, what=what)


UNPROBED = {"detect": "boxes", "potential": "forces", "contacts": "contacts"}
"""Tasks that no linear model of frozen features can answer, and what they ask for."""
FREE = ("scratch", "none")
"""Starts that know nothing of any corpus."""


def _filled(arm: Any, own: Any) -> Any:
    if isinstance(arm, Mapping):
        return {"adapt": own, **arm}
    said = not isinstance(arm, Arm) or "adapt" in arm.model_fields_set
    return arm if said else Arm.model_validate({**dict(arm), "adapt": own})


STANDARD: dict[str, tuple[str, str]] = {
    "pretrained": ("pretrained", "pre-trained network, fine-tuned"),
    "scratch": ("scratch", "same network and tuning from random weights"),
    "random-frozen": ("scratch", "linear probe on a random, frozen network"),
    "frozen": ("pretrained", "linear probe on the frozen pre-trained network"),
    "classical": ("none", "{classical} with a linear model"),
    "stacked": ("pretrained", "{classical} and frozen pre-trained features in one linear model"),
}
"""The standard arms: where each starts, and what it is."""

__all__ = ["OWN", "RESERVED", "STANDARD", "Arm", "Beginning", "StudySpec"]
