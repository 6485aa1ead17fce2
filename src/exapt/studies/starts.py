"""The pre-trainings of a study: its own, and the further ones that `starts` describes, each kept by its content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from exapt.backbones import BackboneSpec
from exapt.domains import DomainSpec
from exapt.domains.base import Dataset, Domain, Source
from exapt.errors import InputError
from exapt.objectives import ObjectiveSpec
from exapt.studies.corpora import labels_seen, same_data, without_test
from exapt.studies.folder import RunFolder
from exapt.studies.labelled import Labelled
from exapt.studies.spec import OWN, RESERVED, StudySpec
from exapt.studies.watched import StudyWatcher, study_watcher
from exapt.training.alarms import alarms_of
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import load_pretrained
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """One pre-training of a study, every key filled in."""

    name: str
    corpus: Source
    objective: ObjectiveSpec
    pretrain: TrainingSpec
    begin: str | None = None


def plans(spec: StudySpec) -> list[Plan]:
    """The study's own pre-training, where it has one, then its starts, each after the one that it goes on from."""
    found: list[Plan] = []
    if spec.corpus is not None:
        found.append(Plan(OWN, spec.corpus, spec.objective, spec.pretrain))
    for name in spec.starts_in_order():
        start = spec.starts[name]
        corpus = start.corpus or spec.corpus
        assert corpus is not None  # the spec refuses a start without one
        plan = Plan(name, corpus, start.objective or spec.objective, start.pretrain or spec.pretrain, start.begin)
        found.append(plan)
    return found


def make_starts(spec: StudySpec, folder: RunFolder, own: list[Path], say: Say, progress: bool) -> dict[str, list[Path]]:
    """The checkpoints of every pre-training by name, `pretrained` for the study's own (`own` where it was given)."""
    made = {OWN: own} if own else {}
    read: list[Labelled] = []

    def labelled(domain: Domain) -> Labelled:
        """Read once for all pre-trainings, their monitors and watchers: the domains of a study are all alike."""
        if not read:
            read.append(Labelled(spec, domain, folder.cache))
        return read[0]

    for plan in plans(spec):
        made[plan.name] = [
            _pretrained(spec, plan, folder, run, made, labelled, say, progress) for run in range(spec.checkpoints)
        ]
    return made


def _pretrained(
    spec: StudySpec,
    plan: Plan,
    folder: RunFolder,
    run: int,
    made: Mapping[str, list[Path]],
    labelled: Callable[[Domain], Labelled],
    say: Say,
    progress: bool,
) -> Path:
    target = folder.path / "checkpoints" / f"{plan.name}-{run}"
    new = not (target / "exapt.json").exists()
    first = made[OWN][0] if OWN in made else None
    domain, backbone = _network(spec, first)

    def select(domain: Domain, corpus: Dataset) -> Dataset:
        data = labelled(domain)
        data.check()
        same_data(data, folder)
        check_outside(spec, target)
        if new:
            say(f"{_which(plan)} {run + 1} of {spec.checkpoints}")
        left = without_test(data, folder, corpus, plan.name)
        if plan.objective.reads_labels and corpus.roles.get("label"):  # others are refused
            noted = folder.note().get("labels_of_pretraining", {})
            folder.note(labels_of_pretraining=noted | {plan.name: labels_seen(data, left)})
        return left

    def watchers(model: Pretraining, domain: Domain) -> list[StudyWatcher]:
        if spec.watch is None:
            return []
        return [study_watcher(spec.watch, labelled(domain), model, domain, target, run)]

    done = pretrain(
        plan.corpus,
        domain,
        backbone,
        plan.objective,
        plan.pretrain.model_copy(update={"seed": plan.pretrain.seed + run}),
        target,
        progress=progress,
        cache=folder.cache,
        select=select,
        labelled=lambda domain: labelled(domain).to_probe(),
        watchers=watchers,
        begin=_begin(plan, run, made),
        like=first,
    )
    for alarm in alarms_of(done.record) if new else ():
        say(f"{_which(plan)} {run + 1}, {alarm}")
    return target


def _which(plan: Plan) -> str:
    return "pre-training" if plan.name == OWN else f"pre-training '{plan.name}'"


def _begin(plan: Plan, run: int, made: Mapping[str, list[Path]]) -> Path | None:
    """Run r goes on from run r of what it begins with."""
    if plan.begin is None:
        return None
    paths = made.get(plan.begin)
    return paths[run % len(paths)] if paths else Path(plan.begin).expanduser()


def _network(spec: StudySpec, first: Path | None) -> tuple[DomainSpec, BackboneSpec]:
    """The study's domain and network, or those of the checkpoint that it was given."""
    if spec.corpus is not None:
        assert spec.domain is not None
        return spec.domain, spec.backbone
    assert first is not None
    start = load_pretrained(first)
    return cast(DomainSpec, start.domain.spec), start.backbone_spec


def check_outside(spec: StudySpec, checkpoint: Path) -> None:
    """Raise `InputError` where a checkpoint from outside the study has another domain than a checkpoint of its own."""
    for key, path in outside(spec):
        same_domain(key, path, checkpoint)


def outside(spec: StudySpec) -> Iterator[tuple[str, Path]]:
    """The keys that name a checkpoint from outside the study, and where it is."""
    for name, arm in spec.more_arms.items():
        if arm.start not in (*RESERVED, *spec.starts):
            yield f"more_arms.{name}.start", Path(arm.start).expanduser()
    for name, start in spec.starts.items():
        if start.begin and start.begin not in (OWN, *spec.starts):
            yield f"starts.{name}.begin", Path(start.begin).expanduser()


def same_domain(key: str, path: Path, checkpoint: Path) -> None:
    """Raise `InputError` where two checkpoints read data differently."""
    if _files(path / "domain") != _files(checkpoint / "domain"):
        raise InputError(
            f"{key}: {path} was made with another domain (tokenizer, picture size or brightness) than this study's; "
            "prove it by itself with `exapt prove`"
        )


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
