"""What a probing audit looks at: factors as class numbers, splits of the pool, and features with their floors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exapt.adaptation import embed
from exapt.adaptation.features import Pooling
from exapt.audits.base import Subject
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.evidence.probing import Split, duplicate_types, kmeans_types
from exapt.tasks.multilabel import MultiLabelTask
from exapt.tasks.regress import RegressTask
from exapt.tasks.splits import draw_budget

BANDS = 5
"""A number is asked for as one of so many bands that hold the same number of examples."""
KINDS = 20
"""A column of more distinct numbers than this is cut into bands."""
LEAST = 10
"""A class with fewer examples is left out of its factor."""
TESTED = 0.25
"""The share of the examples that a split tests on."""
WIDEST = 1024
"""Raw inputs of more columns are cut to those that vary most."""


@dataclass(frozen=True)
class Gathered:
    """Examples of the pool, and all that is asked of them."""

    examples: Dataset
    factors: dict[str, np.ndarray]
    """(n,) class numbers by name, −1 where not known; the first is the task's."""
    splits: list[Split]
    features: dict[str, list[np.ndarray]]
    """'pretrained', 'random' (several networks) and, where the field has them, 'raw'; (n, D) each."""
    types: np.ndarray
    notes: list[str]


def gather(
    subject: Subject, names: Sequence[str], *, most: int, splits: int, networks: int, pooling: Pooling, clusters: int
) -> Gathered:
    """Everything from the pool, not the test part. Raises `InputError` for factors that cannot be asked for."""
    places = np.sort(np.concatenate(_draw(subject, subject.pool, min(most, len(subject.pool)), 0)))
    examples = subject.labelled.subset(places)
    notes: list[str] = []
    factors = known_factors(subject, examples, names, notes)
    parts = [_draw(subject, places, len(places), seed) for seed in range(splits)]
    pairs = [(np.searchsorted(places, train), np.searchsorted(places, test)) for train, test in parts]
    backbones = {"pretrained": [subject.start.backbone], "random": [subject.fresh(s) for s in range(networks)]}
    features = {
        name: [embed(backbone, subject.domain, examples, pooling) for backbone in several]
        for name, several in backbones.items()
    }
    raw = raw_inputs(subject, examples, notes)
    if raw is not None:
        features["raw"] = [raw]
    types = kmeans_types(raw, clusters) if raw is not None and clusters else duplicates(examples)
    return Gathered(examples, factors, pairs, features, types, notes)


def known_factors(subject: Subject, examples: Dataset, names: Sequence[str], notes: list[str]) -> dict[str, np.ndarray]:
    """The task's labels, then the columns named, as class numbers; classes too rare to ask for are left out."""
    found = task_factors(subject, examples)
    found |= {name: as_classes(examples.column(name)) for name in names}
    out = {}
    for name, factor in found.items():
        kinds, counts = np.unique(factor[factor >= 0], return_counts=True)
        kept = kinds[counts >= LEAST]
        if len(kept) < 2:
            raise InputError(
                f"audit probes: '{name}' has {len(kept)} classes of {LEAST} and more examples among {len(factor)}; "
                "2 are the least: name another column under factors, or give more labelled examples"
            )
        if len(kept) < len(kinds):
            notes.append(f"'{name}': {len(kinds) - len(kept)} classes with fewer than {LEAST} examples are left out.")
        places = np.searchsorted(kept, factor).clip(max=len(kept) - 1)
        out[name] = np.where(np.isin(factor, kept), places, -1)
    return out


def task_factors(subject: Subject, examples: Dataset) -> dict[str, np.ndarray]:
    """The labels of the task itself; numbers in bands, several labels one by one."""
    task = subject.task
    if task.per_element or not task.probed:
        raise InputError(
            "audit probes: the task labels elements or objects, and factors are asked of whole examples; "
            "a study of the same checkpoint with one label an example would do"
        )
    truth = task.truth(examples)
    if isinstance(task, RegressTask):
        values = truth.reshape(len(examples), -1)
        return {name: as_classes(values[:, i]) for i, name in enumerate(task.columns)}
    if isinstance(task, MultiLabelTask):
        return {name: np.nan_to_num(truth[:, i], nan=-1).astype(np.int64) for i, name in enumerate(task.classes)}
    name = next(iter(examples.roles.get("label", ())), "label")
    return {name: truth.astype(np.int64)}


def as_classes(values: np.ndarray) -> np.ndarray:
    """(n,) class numbers of a raw column: words as they are, many numbers in bands of equal size; empty is −1."""
    numbers = _numbers(values)
    if numbers is not None and len(np.unique(numbers[np.isfinite(numbers)])) > KINDS:
        known = np.isfinite(numbers)
        cuts = np.unique(np.quantile(numbers[known], np.arange(1, BANDS) / BANDS))
        return np.where(known, np.searchsorted(cuts, numbers, side="right"), -1)
    words = np.array([str(value) for value in values.tolist()])
    classes = np.unique(words, return_inverse=True)[1]
    return np.where(np.isin(words, ("", "nan", "None")), -1, classes)


def raw_inputs(subject: Subject, examples: Dataset, notes: list[str]) -> np.ndarray | None:
    """(n, p) the field's classical features, dense; None where the field has none."""
    try:
        [found] = subject.domain.classical(examples)
    except InputError:
        notes.append("This field has no classical features, so raw inputs are no floor here.")
        return None
    if found.shape[1] <= WIDEST:
        return np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float32)
    mean = np.asarray(found.mean(0)).ravel()
    square = np.asarray(found.multiply(found).mean(0) if hasattr(found, "multiply") else (found**2).mean(0)).ravel()
    columns = np.sort(np.argsort(mean**2 - square, kind="stable")[:WIDEST])
    notes.append(f"Of {found.shape[1]} raw columns the {WIDEST} that vary most stand for the raw inputs.")
    kept = found[:, columns]
    return np.asarray(kept.toarray() if hasattr(kept, "toarray") else kept, dtype=np.float32)


def duplicates(examples: Dataset) -> np.ndarray:
    """(n,) types by exact content."""
    return duplicate_types([examples[i].inputs for i in range(len(examples))])


def _draw(subject: Subject, pool: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test places of one split: strata in like shares, groups whole."""
    train, test = draw_budget(subject.labelled, subject.task, pool, count, seed, TESTED)
    return np.sort(train), np.sort(test)


def _numbers(values: np.ndarray) -> np.ndarray | None:
    try:
        return np.array([np.nan if v is None or v == "" else float(v) for v in values.tolist()])
    except (TypeError, ValueError):
        return None
