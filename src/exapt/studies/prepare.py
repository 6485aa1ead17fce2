"""The stages before any fit: data, pre-training, and the split that keeps the test part apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.studies.corpora import same_data, unseen
from exapt.studies.folder import RunFolder
from exapt.studies.labelled import Labelled
from exapt.studies.spec import OWN, StudySpec
from exapt.studies.starts import Say, check_outside, make_starts, outside, plans, same_domain
from exapt.tasks.base import Task
from exapt.tasks.splits import Split
from exapt.training.pretrained import Pretrained, load_pretrained

GLANCE = 64
"""Labelled examples read before anything else, to see that the file is what the study says."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything a fit needs, the same in every process."""

    spec: StudySpec
    folder: RunFolder
    checkpoints: list[Path]
    """The study's own pre-training runs, or the checkpoint it was given."""
    starts: dict[str, list[Path]] = field(default_factory=dict)
    """The runs of each further pre-training."""

    @cached_property
    def first(self) -> Pretrained:
        """The first checkpoint: it fixes the domain (tokenizer, picture size) for all."""
        return load_pretrained(self.checkpoints[0])

    @cached_property
    def data(self) -> Labelled:
        return Labelled(self.spec, self.first.domain, self.folder.cache)

    @property
    def domain(self) -> Domain:
        return self.first.domain

    @property
    def task(self) -> Task:
        return self.data.task

    @property
    def labelled(self) -> Dataset:
        """The labelled examples with encoded targets."""
        return self.data.examples

    @property
    def split(self) -> Split:
        return self.data.split

    @property
    def test(self) -> Dataset:
        """The part kept aside: only scored, after every choice is made."""
        return self.data.test

    @property
    def described(self) -> dict[str, Any]:
        """What the run's folder says of the labelled data; it stands there once `prepare` is through."""
        found: dict[str, Any] = self.folder.note()["data"]
        return found

    @property
    def data_key(self) -> str:
        """A content key of the labelled data, the task, the split and the domain."""
        key: str = self.described["key"]
        return key

    def checkpoint_of(self, seed: int, start: str = OWN) -> Path:
        """Which independent pre-training run a seed adapts: the study's own, one of its starts, or one elsewhere."""
        paths = self.checkpoints if start == OWN else self.starts.get(start, [Path(start).expanduser()])
        return paths[seed % len(paths)]

    def made(self, path: Path) -> str | None:
        """Which pre-training of this study made a checkpoint; None for one from outside."""
        own = {OWN: self.checkpoints} if self.spec.corpus is not None else {}
        return next((name for name, paths in (own | self.starts).items() if path in paths), None)

    def fresh(self, seed: int) -> Backbone:
        """The same network with random weights of its own."""
        return self.first.fresh_backbone(seed=10_000 + seed)


def prepare(spec: StudySpec, folder: RunFolder, say: Say = lambda _: None, progress: bool = False) -> Prepared:
    """Pre-train (or find) the checkpoints, read the labelled data and split it; every stage is kept by content.

    What can be wrong with the labelled data or the budgets is found before any time is spent on pre-training.
    """
    for _, path in outside(spec):
        load_pretrained(path)
    given = [Path(spec.checkpoint).expanduser()] if spec.checkpoint is not None else []
    _glance(spec)
    made = make_starts(spec, folder, given, say, progress)
    checkpoints = made.pop(OWN)
    prepared = Prepared(spec, folder, checkpoints, made)
    _check(prepared, folder)
    places = {name: [_noted(path, folder) for path in paths] for name, paths in made.items()}
    own = [_noted(path, folder) for path in checkpoints]
    folder.note(checkpoints=own, starts=places, data=prepared.data.described())
    return prepared


def reopen(spec: StudySpec, folder: RunFolder) -> Prepared:
    """The same, from the checkpoints that `prepare` left on disk: for other processes, and for reports."""
    note = folder.note()
    starts = {name: [folder.path / path for path in paths] for name, paths in note.get("starts", {}).items()}
    return Prepared(spec, folder, [folder.path / path for path in note.get("checkpoints", ())], starts)


def corpus_of(prepared: Prepared, start: str = OWN) -> Dataset:
    """The corpus as a pre-training of the study saw it: without the examples that equal a test one. Notes nothing."""
    corpus = next((plan.corpus for plan in plans(prepared.spec) if plan.name == start), None)
    if corpus is None:
        raise InputError(
            "the checkpoint was made outside this study, so its corpus is not known; name the files in the audit's keys"
        )
    return unseen(prepared.data, prepared.domain.read(corpus, prepared.folder.cache))


def _glance(spec: StudySpec) -> None:
    """Read the first labelled examples, and those of the starts' corpora: a wrong path or column is found at once."""
    if spec.corpus is None or spec.domain is None:
        return
    for source in [spec.labelled, *(start.corpus for start in spec.starts.values() if start.corpus)]:
        for one in source.each():
            few = one.model_copy(update={"limit": min(GLANCE, one.limit or GLANCE)})
            spec.domain.build(few).read(few)


def _check(prepared: Prepared, folder: RunFolder) -> None:
    """Refuse all that can be refused once the domain is known."""
    prepared.data.check()
    same_data(prepared.data, folder)
    check_outside(prepared.spec, prepared.checkpoints[0])
    for name, paths in prepared.starts.items():
        for path in paths:
            same_domain(f"starts.{name}", path, prepared.checkpoints[0])


def _noted(path: Path, folder: RunFolder) -> str:
    """A checkpoint's place: within the run's folder, so that this can be moved, else in full."""
    inside = path.is_relative_to(folder.path)
    return str(path.relative_to(folder.path) if inside else path.expanduser().resolve())
