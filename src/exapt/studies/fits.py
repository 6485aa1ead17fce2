"""The fits of a study: what each one is keyed by, and how one is made.

A fit chooses on its validation part and is then scored on the test part, once: nothing after the score changes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from exapt.adaptation import FinetuneSpec, Fitted, Start, fit, pretraining_origin
from exapt.domains.base import Dataset, Domain
from exapt.files import read_json
from exapt.spec import digest
from exapt.studies.prepare import Prepared, corpus_of
from exapt.studies.spec import Arm
from exapt.tasks.base import Task
from exapt.tasks.splits import draw_budget
from exapt.training.pretrained import load_pretrained

FORMAT = 1
"""Raised when the meaning of a fit's record changes, so that old records are computed anew."""

Job = dict[str, Any]


def pending(prepared: Prepared) -> list[Job]:
    """The jobs whose fits are not on disk yet, the longest first."""
    jobs = []
    for arm, seed, budget in cells(prepared):
        if prepared.folder.read_fit(fit_key(prepared, arm, seed, budget)) is None:
            jobs.append({"arm": arm, "seed": seed, "budget": budget})
    arms = prepared.spec.all_arms()
    return sorted(jobs, key=lambda j: (not isinstance(arms[j["arm"]].adapt, FinetuneSpec), -j["budget"], j["seed"]))


def cells(prepared: Prepared) -> Iterator[tuple[str, int, int]]:
    """Every (arm, seed, budget) of the study."""
    for arm in prepared.spec.all_arms():
        for seed in range(prepared.spec.seeds):
            for budget in sorted(prepared.spec.budgets):
                yield arm, seed, budget


def fit_key(prepared: Prepared, arm: str, seed: int, budget: int) -> dict[str, Any]:
    """What decides a fit's result."""
    description = prepared.spec.all_arms()[arm]
    return {
        "start": _start_key(prepared, description, seed),
        "adapt": description.adapt.plain(),
        "data": prepared.data_key,
        "validation": prepared.spec.validation,
        "budget": budget,
        "seed": seed,
        "format": FORMAT,
    }


def records(prepared: Prepared) -> list[dict[str, Any]]:
    """Every finished fit of the study."""
    found = []
    for arm, seed, budget in cells(prepared):
        record = prepared.folder.read_fit(fit_key(prepared, arm, seed, budget))
        if record is not None:
            found.append({"arm": arm, "seed": seed, "budget": budget} | record)
    return found


def run_job(prepared: Prepared, job: Job) -> None:
    """Make one fit and keep its record."""
    arm, seed, budget = job["arm"], job["seed"], job["budget"]
    started = time.perf_counter()
    task, data = prepared.task, prepared.labelled
    spec = prepared.spec
    train, valid = draw_budget(data, task, prepared.split.pool, budget, seed, spec.validation, spec.split.balanced)
    description = prepared.spec.all_arms()[arm]
    start = _start(prepared, description, seed)
    fitted = fit(description.adapt, start, task, data.subset(train), data.subset(valid), seed)
    prediction = fitted.predict(prepared.test)
    truth = truth_of(task, prepared.domain, prepared.test)
    score = task.chance(truth) if fitted.record["diverged"] else task.metric(prediction, truth)
    record = {
        "score": score,
        "metric": task.metric_name,
        "train": len(train),
        "valid": len(valid),
        "test": len(prepared.test),
        "seconds": round(time.perf_counter() - started, 2),
        "fit": fitted.record,
        "labels": digest([int(i) for i in (*train, *valid)]),
    }
    shown = task.shown(prepared.test, prediction) if seed == 0 else []
    record |= {"shown": shown} if shown else {}
    figures = task.figures(prediction, truth) | interval_figures(fitted, prepared.test, truth)
    record |= {"figures": figures} if figures else {}
    key = fit_key(prepared, arm, seed, budget)
    prepared.folder.write_fit(key, record, task.item_scores(prediction, truth))


def interval_figures(fitted: Fitted, test: Dataset, truth: np.ndarray) -> dict[str, Any]:
    """How many test labels lie in the model's own 90 % intervals, and how wide these are; {} where it has none."""
    found = fitted.intervals(test)
    if found is None:
        return {}
    low, high, label = found[:, 0], found[:, 1], truth.reshape(len(found))
    width = (high - low) / np.abs(high + low) * 2
    inside = float(((label >= low) & (label <= high)).mean())
    return {"coverage of 90 %": inside, "relative width": float(width.mean())}


def truth_of(task: Task, domain: Domain, dataset: Dataset) -> np.ndarray:
    """The labels that predictions are compared with."""
    return task.truth(dataset, domain.kept(dataset) if task.per_element else None)


def _start_key(prepared: Prepared, arm: Arm, seed: int) -> Any:
    if arm.start == "none":
        return "none"
    if arm.start == "scratch":
        return {"fresh": _weights_free(prepared.checkpoint_of(0)), "seed": seed}
    return {"weights": read_json(prepared.checkpoint_of(seed, arm.start) / "exapt.json")["checksums"]}


def _weights_free(path: Path) -> Any:
    return read_json(path / "exapt.json")["specs"]["backbone"]


def _start(prepared: Prepared, arm: Arm, seed: int) -> Start:
    """The start of an arm; kept, so that fits that share one embed each example once."""
    if arm.start == "none":
        return _kept_start(prepared, "none", 0)
    if arm.start == "scratch":
        return _kept_start(prepared, "scratch", seed)
    return _kept_start(prepared, str(prepared.checkpoint_of(seed, arm.start)), 0)


@lru_cache(maxsize=8)
def _kept_start(prepared: Prepared, which: str, seed: int) -> Start:
    if which == "none":
        return Start(prepared.domain)
    if which == "scratch":
        return Start(prepared.domain, prepared.fresh(seed))
    start = load_pretrained(Path(which))
    name = prepared.made(Path(which))
    source = pretraining_origin(start, lambda: corpus_of(prepared, name)) if name else None
    return Start(prepared.domain, start.backbone, source=source, objective=start.objective)
