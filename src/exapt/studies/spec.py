"""The study: matched arms × label budgets × seeds, from a corpus and a labelled task."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from exapt.adaptation import AdaptSpec, ClassicalSpec, FinetuneSpec, ProbeSpec, StackSpec
from exapt.adaptation.anchors import needing_source
from exapt.audits import AuditSpec
from exapt.backbones import BackboneSpec, TransformerSpec
from exapt.domains import DomainSpec
from exapt.domains.base import Source
from exapt.objectives import MaskedSpec, ObjectiveSpec
from exapt.spec import Spec
from exapt.studies.watch import WatchSpec
from exapt.tasks import TaskSpec
from exapt.tasks.splits import SplitSpec
from exapt.training.spec import TrainingSpec


class Arm(Spec):
    """One way to a fitted model: where its weights start, and how it is adapted."""

    start: str = "pretrained"
    """`pretrained` (this study's checkpoint), `scratch` (a fresh network), `none` (no network), one of `starts` by its
    name, or the folder of another checkpoint."""
    adapt: AdaptSpec
    """How the labelled examples are used."""
    what: str = ""
    """A few words for the report."""


class Beginning(Spec):
    """Another pre-training of the same network in the same study, for arms to start from. What is left out is the
    study's own."""

    objective: ObjectiveSpec | None = None
    """The loss, such as `{kind: supervised}`; None: the study's."""
    corpus: Source | None = None
    """What it is trained on; None: the study's corpus."""
    pretrain: TrainingSpec | None = None
    """How long and how fast; None: as the study's."""
    begin: str | None = None
    """Whose weights it goes on from: `pretrained`, another of `starts`, or the folder of a checkpoint; None: random
    weights."""


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

    adapt: FinetuneSpec = FinetuneSpec()
    """How the arms `pretrained` and `scratch` are fine-tuned: one description, so the tuning budget is equal."""
    probe: ProbeSpec = ProbeSpec()
    """How the frozen arms are probed."""
    arms: list[str] = ["pretrained", "scratch", "random-frozen", "frozen", "classical"]
    """Which standard arms to run; `pretrained` and `scratch` always are."""
    more_arms: dict[str, Arm] = {}
    """Further arms by name."""
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
        if self.watch and self.watch.every is None and self.pretrain.holdout == 0:
            raise ValueError(
                "watch looks at every evaluation, and pretrain.holdout is 0: set watch.every to some steps"
            )
        if self.seeds < 2:
            raise ValueError("with 1 seed no interval exists and nothing can be concluded; use at least 2, better 5")
        if len(set(self.budgets)) < len(self.budgets):
            raise ValueError("budgets repeat a value")
        self._sources_there()
        return self

    def _sources_there(self) -> None:
        """An anchor that asks for what the weights were trained for needs an arm that starts from this study's own."""
        for name, arm in self.all_arms().items():
            kinds = needing_source(arm.adapt.anchor) if isinstance(arm.adapt, FinetuneSpec) else []
            if kinds and (arm.start != "pretrained" or self.corpus is None):
                raise ValueError(
                    f"arm '{name}' has no source for anchor {kinds[0]}: it takes start: pretrained in a study with a "
                    "corpus; describe it under more_arms, beside a plain adapt for the standard arms"
                )

    def all_arms(self) -> dict[str, Arm]:
        """Every arm by name, the standard ones first."""
        return {name: self._standard(name) for name in STANDARD if name in self.arms} | dict(self.more_arms)

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


STANDARD: dict[str, tuple[str, str]] = {
    "pretrained": ("pretrained", "pre-trained network, fine-tuned"),
    "scratch": ("scratch", "same network and tuning from random weights"),
    "random-frozen": ("scratch", "linear probe on a random, frozen network"),
    "frozen": ("pretrained", "linear probe on the frozen pre-trained network"),
    "classical": ("none", "{classical} with a linear model"),
    "stacked": ("pretrained", "{classical} and frozen pre-trained features in one linear model"),
}
"""The standard arms: where each starts, and what it is."""
