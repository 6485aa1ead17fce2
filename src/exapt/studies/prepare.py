"""The stages before any fit: data, pre-training, and the split that keeps the test part apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.studies.folder import RunFolder
from exapt.studies.labelled import Labelled
from exapt.studies.spec import StudySpec
from exapt.studies.watched import StudyWatcher, study_watcher
from exapt.tasks.base import Task
from exapt.tasks.splits import Split
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained, load_pretrained
from exapt.training.trainable import Pretraining

Say = Callable[[str], None]
GLANCE = 64
"""Labelled examples read before anything else, to see that the file is what the study says."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything a fit needs, the same in every process."""

    spec: StudySpec
    folder: RunFolder
    checkpoints: list[Path]

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

    def checkpoint_of(self, seed: int) -> Path:
        """Which independent pre-training run a seed adapts."""
        return self.checkpoints[seed % len(self.checkpoints)]

    def fresh(self, seed: int) -> Backbone:
        """The same network with random weights of its own."""
        return self.first.fresh_backbone(seed=10_000 + seed)


def prepare(spec: StudySpec, folder: RunFolder, say: Say = lambda _: None, progress: bool = False) -> Prepared:
    """Pre-train (or find) the checkpoints, read the labelled data and split it; every stage is kept by content.

    What can be wrong with the labelled data or the budgets is found before any time is spent on pre-training.
    """
    for _, path in _own_starts(spec):
        load_pretrained(path)
    if spec.checkpoint is not None:
        checkpoints = [Path(spec.checkpoint).expanduser()]
    else:
        _glance(spec)
        checkpoints = [_pretrained(spec, folder, run, say, progress) for run in range(spec.checkpoints)]
    prepared = Prepared(spec, folder, checkpoints)
    _check(prepared.data, folder, checkpoints[0])
    folder.note(checkpoints=[_noted(path, folder) for path in checkpoints], data=prepared.data.described())
    return prepared


def reopen(spec: StudySpec, folder: RunFolder) -> Prepared:
    """The same, from the checkpoints that `prepare` left on disk: for other processes, and for reports."""
    return Prepared(spec, folder, [folder.path / path for path in folder.note().get("checkpoints", ())])


def same_data(data: Labelled, folder: RunFolder) -> None:
    """Refuse labelled data that is not what this run's fits were made with."""
    noted = folder.note().get("data")
    if noted is not None and noted["key"] != data.key:
        raise InputError(
            f"{data.spec.labelled.path}: not the data that {folder.path} was begun with; "
            "put the former file back, or choose another folder with --out"
        )


def without_test(data: Labelled, folder: RunFolder, corpus: Dataset) -> Dataset:
    """The corpus without the examples that equal one of the test part; how many is noted in `run.json`."""
    left = _unseen(data, corpus)
    folder.note(left_out_of_corpus={"examples": len(corpus) - len(left), "of": len(corpus)})
    return left


def corpus_of(prepared: Prepared) -> Dataset:
    """The corpus as the study pre-trained on it: without the examples that equal a test example. Notes nothing."""
    spec = prepared.spec
    if spec.corpus is None:
        raise InputError(
            "the checkpoint was made outside this study, so its corpus is not known; name the files in the audit's keys"
        )
    return _unseen(prepared.data, prepared.domain.read(spec.corpus, prepared.folder.cache))


def _unseen(data: Labelled, corpus: Dataset) -> Dataset:
    if data.domain.transductive:
        return corpus
    tests = set(_contents(data.test, data.domain))
    seen = np.array([content in tests for content in _contents(corpus, data.domain)], dtype=bool)
    return corpus.subset(np.flatnonzero(~seen)) if seen.any() else corpus


def _contents(dataset: Dataset, domain: Domain) -> Iterator[bytes]:
    for row in dataset.rows:
        same = np.ascontiguousarray(domain.canonical(dataset.store[int(row)]))
        yield hashlib.blake2b(same.tobytes(), digest_size=16).digest()


def _glance(spec: StudySpec) -> None:
    """Read the first labelled examples by themselves: a wrong path or column is found at once."""
    assert spec.domain is not None
    few = spec.labelled.model_copy(update={"limit": min(GLANCE, spec.labelled.limit or GLANCE)})
    spec.domain.build(few).read(few)


def _pretrained(spec: StudySpec, folder: RunFolder, run: int, say: Say, progress: bool) -> Path:
    assert spec.corpus is not None and spec.domain is not None
    target = folder.path / "checkpoints" / f"pretrained-{run}"

    @cache  # the corpus's selection, the monitor and the watcher look at the same labelled data: it is read once
    def labelled(domain: Domain) -> Labelled:
        return Labelled(spec, domain, folder.cache)

    def select(domain: Domain, corpus: Dataset) -> Dataset:
        data = labelled(domain)
        _check(data, folder, target)
        if not (target / "exapt.json").exists():
            say(f"pre-training {run + 1} of {spec.checkpoints}")
        return without_test(data, folder, corpus)

    def watchers(model: Pretraining, domain: Domain) -> list[StudyWatcher]:
        if spec.watch is None:
            return []
        return [study_watcher(spec.watch, labelled(domain), model, domain, target, run)]

    pretrain(
        spec.corpus,
        spec.domain,
        spec.backbone,
        spec.objective,
        spec.pretrain.model_copy(update={"seed": spec.pretrain.seed + run}),
        target,
        progress=progress,
        cache=folder.cache,
        select=select,
        labelled=lambda domain: labelled(domain).to_probe(),
        watchers=watchers,
    )
    return target


def _check(data: Labelled, folder: RunFolder, checkpoint: Path) -> None:
    """Refuse all that can be refused once the domain is known."""
    data.check()
    same_data(data, folder)
    for name, path in _own_starts(data.spec):
        if _files(path / "domain") != _files(checkpoint / "domain"):
            raise InputError(
                f"more_arms.{name}.start: {path} was made with another domain (tokenizer, picture size or "
                "brightness) than this study's; prove it by itself with `exapt prove`"
            )


def _own_starts(spec: StudySpec) -> Iterator[tuple[str, Path]]:
    """Arms that start from a checkpoint of their own, and where it is."""
    for name, arm in spec.more_arms.items():
        if arm.start not in ("pretrained", "scratch", "none"):
            yield name, Path(arm.start).expanduser()


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _noted(path: Path, folder: RunFolder) -> str:
    """A checkpoint's place: within the run's folder, so that this can be moved, else in full."""
    inside = path.is_relative_to(folder.path)
    return str(path.relative_to(folder.path) if inside else path.expanduser().resolve())
