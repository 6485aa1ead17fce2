"""One fit, one probe, one file of predictions: the verbs that are not whole studies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.stats import binomtest

from exapt.adaptation import AdaptSpec, Fitted, KnnSpec, Start, embed, fit, load_fitted
from exapt.adaptation.features import Pooling
from exapt.adaptation.fitted import FILE as FITTED
from exapt.domains.base import Arrays, Dataset, Source
from exapt.errors import InputError
from exapt.files import make_folder, write_json
from exapt.studies.contact_maps import predict_contacts
from exapt.studies.detections import predict_boxes
from exapt.studies.fits import truth_of
from exapt.studies.folder import RunFolder
from exapt.studies.potentials import predict_energies
from exapt.studies.prepare import Prepared
from exapt.studies.spec import StudySpec
from exapt.studies.tables import check_ending, write_table
from exapt.studies.tracks import Scan, is_track, scan_file
from exapt.tasks.base import Task
from exapt.tasks.contacts import ContactsTask
from exapt.tasks.detect import DetectTask
from exapt.tasks.multilabel import MultiLabelTask
from exapt.tasks.potential import PotentialTask
from exapt.tasks.regress import RegressTask
from exapt.tasks.softmax import SoftmaxTask
from exapt.tasks.splits import draw_budget
from exapt.training.pretrained import load_pretrained


def adapt_once(spec: StudySpec, out: Path, budget: int | None, seed: int) -> dict[str, Any]:
    """Adapt a checkpoint with `budget` labels (None: all but the test part); the fitted model is written to `out`."""
    _check_room(out)
    with tempfile.TemporaryDirectory() as cache:
        prepared = _prepared(spec, Path(cache))
        first = prepared.first
        start = Start(prepared.domain, first.backbone, objective=first.objective)
        fitted = _fit(prepared, spec.adapt, start, budget, seed)
        record = _scored(prepared, fitted, seed) | {"seed": seed, "out": str(out)}
    fitted.record |= {"test": {k: record[k] for k in ("metric", "score", "interval", "test")}}
    fitted.save(out)
    write_json(out / "score.json", record)
    return record


def probe_once(spec: StudySpec, budget: int | None, seed: int) -> list[dict[str, Any]]:
    """Linear and kNN probes of the frozen checkpoint and of a random network of the same shape."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(spec, Path(folder))
        starts = {
            "pretrained": Start(prepared.domain, prepared.first.backbone),
            "random": Start(prepared.domain, prepared.fresh(seed)),
        }
        probes: dict[str, AdaptSpec] = {"linear": spec.probe, "knn": KnnSpec()}
        return [
            {"features": where, "probe": how} | _scored(prepared, _fit(prepared, probe, start, budget, seed), seed)
            for where, start in starts.items()
            for how, probe in probes.items()
        ]


def predict_file(folder: Path, source: Source | Arrays, out: Path) -> int:
    """Predict every example of a source with a fitted model; returns how many rows were written."""
    fitted = load_fitted(folder)
    if isinstance(fitted.task, DetectTask):
        return predict_boxes(fitted, source, out)
    if isinstance(fitted.task, PotentialTask):
        return predict_energies(fitted, source, out)
    if isinstance(fitted.task, ContactsTask):
        return predict_contacts(fitted, source, out)
    check_ending(out)
    dataset = fitted.domain.read(source)
    prediction = fitted.predict(dataset)
    columns = {"index": np.asarray(dataset.rows)}
    if fitted.task.per_element:
        kept = fitted.domain.kept(dataset)
        columns = {"index": np.repeat(columns["index"], kept), "element": np.concatenate([np.arange(k) for k in kept])}
    write_table(out, columns | prediction_columns(fitted.task, prediction) | interval_columns(fitted, dataset))
    return len(prediction)


def interval_columns(fitted: Fitted, dataset: Dataset) -> dict[str, np.ndarray]:
    """`low` and `high` of 90 % intervals, and in `outside` what lies beyond the labels; {} where a fit has none."""
    found = fitted.intervals(dataset)
    columns = {} if found is None else {"low": found[:, 0], "high": found[:, 1]}
    beyond = fitted.outside(dataset)
    return columns | ({"outside": np.array(beyond, dtype=object)} if any(beyond) else {})


def scan_genome(
    folder: Path, source: Source | Arrays, out: Path, given: Mapping[str, Any], say: Callable[[str], None]
) -> int:
    """Score the windows of a genome with a fitted model and write a track; returns how many rows were written."""
    if not is_track(out):
        raise InputError(f"{out}: windows along a genome are written as .bedgraph or .bed; or leave {min(given)} out")
    if "window" not in given:
        raise InputError(f"{out}: --window is missing: how many bases the model reads at once, as it was fitted on")
    scan = Scan.of(given)
    done = scan_file(load_fitted(folder), source, out, scan)
    for note in [*done.notes(scan.window), *(str(path) for path in done.files if path != out)]:
        say(note)
    return done.rows


def embed_file(checkpoint: Path, source: Source | Arrays, out: Path, pooling: Any) -> tuple[int, int]:
    """Write the pooled frozen features of every example of a source; returns (rows, width)."""
    check_ending(out)
    if pooling not in get_args(Pooling):
        raise InputError(f"--pooling {pooling}; valid: {', '.join(get_args(Pooling))}")
    start = load_pretrained(checkpoint)
    dataset = start.domain.read(source)
    features = embed(start.backbone, start.domain, dataset, pooling)
    write_table(out, {"index": np.asarray(dataset.rows), "feature": features})
    return features.shape[0], features.shape[1]


def prediction_columns(task: Task, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Predictions under names a reader knows: the class and each class's probability, or the values."""
    values = prediction.reshape(len(prediction), -1)
    if isinstance(task, RegressTask):
        return {name: values[:, i] for i, name in enumerate(task.columns)}
    columns: dict[str, np.ndarray] = {}
    if isinstance(task, SoftmaxTask):
        columns["label"] = np.array(task.classes, dtype=object)[values.argmax(1)]
    assert isinstance(task, SoftmaxTask | MultiLabelTask)
    return columns | {f"probability_{name}": values[:, i] for i, name in enumerate(task.classes)}


def interval_over_examples(
    task: Task, prediction: np.ndarray, truth: np.ndarray, sizes: np.ndarray, seed: int
) -> tuple[float, float]:
    """90 % interval of the metric over test examples: how sure this one fit's score is.

    Wilson's interval (1927) for the accuracy of whole examples, which stays honest where all are right; else the
    percentile bootstrap. `sizes` (n,) says how many predictions belong to each example: they are drawn together.
    """
    if task.metric_name == "accuracy" and not task.per_element:
        right = round(task.metric(prediction, truth) * len(truth))
        found = binomtest(right, len(truth)).proportion_ci(0.9, method="wilson")
        return float(found.low), float(found.high)
    rng = np.random.default_rng(seed)
    places = np.split(np.arange(len(truth)), np.cumsum(sizes)[:-1])
    scores = []
    for _ in range(task.resamples):
        drawn = np.concatenate([places[i] for i in rng.integers(len(sizes), size=len(sizes))])
        scores.append(task.metric(prediction[drawn], truth[drawn]))
    low, high = np.nanquantile(scores, [0.05, 0.95])
    return float(low), float(high)


def _check_room(out: Path) -> None:
    """Refuse a folder that holds anything but a fitted model, before any work is done."""
    make_folder(out)
    strangers = sorted(p.name for p in out.iterdir() if p.name[0] != ".")
    if strangers and not (out / FITTED).is_file():
        raise InputError(f"{out}: holds files that are no fitted model ({strangers[0]}, …); choose a new folder")


def _prepared(spec: StudySpec, folder: Path) -> Prepared:
    assert spec.checkpoint is not None
    return Prepared(spec, RunFolder(folder), [Path(spec.checkpoint)])


def _fit(prepared: Prepared, adapt: AdaptSpec, start: Start, budget: int | None, seed: int) -> Fitted:
    pool, data = prepared.split.pool, prepared.labelled
    train, valid = draw_budget(
        data,
        prepared.task,
        pool,
        len(pool) if budget is None else budget,
        seed,
        prepared.spec.validation,
        prepared.spec.split.balanced,
    )
    return fit(adapt, start, prepared.task, data.subset(train), data.subset(valid), seed)


def _scored(prepared: Prepared, fitted: Fitted, seed: int) -> dict[str, Any]:
    """The test score of a finished fit, once, with its interval over test examples."""
    task, test = prepared.task, prepared.test
    prediction, truth = fitted.predict(test), truth_of(task, prepared.domain, test)
    diverged = fitted.record["diverged"]
    sizes = prepared.domain.kept(test) if task.per_element else np.ones(len(test), dtype=np.int64)
    return {
        "metric": task.metric_name,
        "score": task.chance(truth) if diverged else task.metric(prediction, truth),
        "interval": list(interval_over_examples(task, prediction, truth, sizes, seed)),
        "test": len(test),
        "train": fitted.record["train"],
        "valid": fitted.record["valid"],
        "diverged": diverged,
        **({"figures": figures} if (figures := task.figures(prediction, truth)) else {}),
    }
