"""From the fits on disk to the conclusion, and to the plain data that the report shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exapt.errors import InputError
from exapt.evidence.conclude import Conclusion, conclude
from exapt.evidence.curves import Curves
from exapt.evidence.finding import Finding
from exapt.files import read_json
from exapt.studies.fits import cells
from exapt.studies.prepare import Prepared
from exapt.studies.spec import FREE, OWN, Arm, StudySpec
from exapt.studies.starts import plans
from exapt.studies.watched import watched_sentences
from exapt.training.alarms import alarms_of
from exapt.training.log import read_metrics

Records = list[dict[str, Any]]


def conclude_study(prepared: Prepared, found: Records) -> tuple[Conclusion, list[Finding]]:
    """The conclusion of a finished study, and its findings. Raises `InputError` when fits are missing."""
    missing = len(list(cells(prepared))) - len(found)
    if missing:
        raise InputError(f"{prepared.folder.path}: {missing} fits are not there yet; finish them with `exapt run`")
    what = words(prepared)
    fits = [record | {"diverged": record["fit"]["diverged"]} for record in found]
    conclusion = conclude(
        Curves.of(fits, what),
        margin=prepared.spec.margin,
        metric=prepared.described["metric"],
        condition=_condition(prepared),
        baselines=tuple(name for name, arm in prepared.spec.all_arms().items() if arm.start in FREE),
        pairs=prepared.spec.pairs(),
        unlike=prepared.spec.unlike(),
    )
    return conclusion, [conclusion.finding()]


def report_data(
    prepared: Prepared, conclusion: Conclusion, findings: list[Finding], found: Records, audits: Records
) -> dict[str, Any]:
    """What the report shows."""
    spec = prepared.spec
    return {
        "title": spec.name,
        "about": spec.about,
        "verdict": conclusion.plain(),
        "curves": conclusion.curves.plain(prepared.described["metric"]),
        "pretraining": _pretraining(prepared.checkpoints[0]),
        "starts": _starts(prepared),
        "data": prepared.described["facts"],
        "findings": [finding.plain() for finding in findings],
        "audits": audits,
        "method": method(prepared),
        "fits": [_line(record) for record in found],
        "shown": [{k: record[k] for k in ("arm", "budget", "shown")} for record in found if "shown" in record],
        "environment": prepared.folder.note()["environment"]
        | {"seeds": list(range(spec.seeds)), "spec": spec.digest()},
        "warnings": _warnings(prepared),
    }


def words(prepared: Prepared) -> dict[str, str]:
    """What each arm is; the field says what its classical features are."""
    found = {}
    for name, arm in prepared.spec.all_arms().items():
        own = arm.what or unnamed(prepared.spec, arm)
        found[name] = own.format(classical=prepared.domain.baseline)
    return found


def unnamed(spec: StudySpec, arm: Arm) -> str:
    """A few words for an arm of which the study says none: where it starts, and how it is adapted."""
    begun: dict[str, str] = {plan.name: plan.objective.kind for plan in plans(spec)}
    begun |= {"scratch": "random weights", "none": "no network"}
    return f"{arm.adapt.kind} from {begun.get(arm.start, 'another checkpoint')}"


def method(prepared: Prepared) -> list[str]:
    """How it was measured, in sentences."""
    spec, described = prepared.spec, prepared.described
    arms = ", ".join(f"{name} ({what})" if what else name for name, what in words(prepared).items())
    return [
        f"Arms: {arms}.",
        f"Each budget counts all labels used: {1 - spec.validation:.0%} train, {spec.validation:.0%} choose among the "
        "same grid of settings in every arm; a smaller budget is part of the larger ones of its seed.",
        f"Every fit is scored once, after all its choices, on the same {described['facts']['test']} test examples, "
        "which no choice has seen.",
        f"Seeds 0 to {spec.seeds - 1} draw the labels, the head, the order of examples and the random networks anew.",
        _condition(prepared) or f"{spec.checkpoints} independent pre-training runs take turns over the seeds.",
        f"The difference that matters was set beforehand: {spec.margin:g} of {described['metric']}.",
        *[_said(name, prepared) for name in prepared.starts],
        *watched_sentences(_watched(prepared)),
    ]


def _said(name: str, prepared: Prepared) -> str:
    """A start in a sentence."""
    start = prepared.spec.starts[name]
    objective = (start.objective or prepared.spec.objective).kind
    corpus = start.corpus or prepared.spec.corpus
    onward = f", going on from {start.begin}" if start.begin else ""
    return f"Start '{name}': {objective} on {corpus.name if corpus else 'the corpus'}{onward}."


def _watched(prepared: Prepared) -> list[dict[str, Any]]:
    """What a target watcher noted in the record of each checkpoint."""
    facts = [read_json(path / "exapt.json").get("record", {}) for path in prepared.checkpoints]
    return [found["watched"]["target"] for found in facts if "target" in found.get("watched", {})]


def _condition(prepared: Prepared) -> str | None:
    if len(prepared.checkpoints) > 1:
        return None
    return "All seeds adapt one checkpoint: what is concluded holds for it, not for every pre-training run."


def _pretraining(checkpoint: Path) -> dict[str, Any]:
    """One pre-training run as the report shows it."""
    record = read_json(checkpoint / "exapt.json")
    return {
        "curve": read_metrics(checkpoint / "metrics.jsonl"),
        "facts": record.get("record", {}),
        "specs": record.get("specs", {}),
    }


def _starts(prepared: Prepared) -> list[dict[str, Any]]:
    """The first run of every start."""
    return [{"name": name, **_pretraining(paths[0])} for name, paths in prepared.starts.items()]


def _line(record: dict[str, Any]) -> dict[str, Any]:
    keep = ("file", "arm", "budget", "seed", "score", "seconds", "train", "valid", "test")
    return {k: record[k] for k in keep} | {
        "validation": record["fit"].get("valid_score"),
        "diverged": record["fit"]["diverged"],
    }


def _warnings(prepared: Prepared) -> list[str]:
    found: list[str] = list(prepared.described["warnings"])
    for name, paths in {OWN: prepared.checkpoints, **prepared.starts}.items():
        for place, path in enumerate(paths):
            found += _alarms("Pre-training" if name == OWN else f"Pre-training '{name}'", place, path)
    for name, facts in prepared.folder.note().get("labels_of_pretraining", {}).items():
        found.append(_labels(name, facts))
    if prepared.spec.checkpoint is not None:
        found.append(
            "The checkpoint was made outside this study: whether it was pre-trained on examples of the test part, "
            "without their labels, is not known."
        )
    return found


def _alarms(what: str, place: int, path: Path) -> list[str]:
    """What watched a run and was alarmed."""
    return [f"{what} {place + 1}, {alarm}" for alarm in alarms_of(read_json(path / "exapt.json")["record"])]


def _labels(name: str, facts: dict[str, int]) -> str:
    """Labels that pre-training saw are no budget: a reader must know of them."""
    pool = facts["of_the_pool"]
    same = f" {pool} of its examples are also in the pool that budgets are drawn from." if pool else ""
    return f"Pre-training '{name}' learnt from {facts['labels']} labels of its corpus, which no budget counts.{same}"
