"""The test part, kept apart once and for all: stratified, grouped or as given, without duplicates across."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from exapt.domains.base import Dataset, Domain
from exapt.domains.labels import row
from exapt.errors import InputError
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.tasks.budgets import draw_budget, group_column, names_of, random
from exapt.tasks.duplicates import conflicting, contents, first_of_each
from exapt.tasks.parts import divide, divide_groups

SAID = {
    "train": ("train", "training", "tr", "pool", "fit"),
    "valid": ("valid", "validation", "val", "dev", "development"),
    "test": ("test", "testing", "te", "eval", "evaluation", "heldout", "held-out", "held_out", "holdout"),
}
"""What a split column may say, in any case."""


class SplitSpec(Spec):
    """How the test part is kept apart."""

    test: float = Field(default=0.2, gt=0, lt=1)
    """The share of examples in the test part; not used with `given`."""
    by: Literal["auto", "stratified", "group", "given", "scaffold"] = "auto"
    """`stratified`: like shares of every class (or tenths of a number); `group`: no group on both sides; `given`: as
    the split column says; `scaffold`: of molecules, no ring system (Bemis and Murcko's) on both sides; `auto`: given or
    group where the source names such a column, else stratified."""
    deduplicate: bool = True
    """Whether repeated examples are taken out, so that none stands on both sides."""
    balanced: bool = False
    """Whether a budget holds equally many labels of each class, as benchmarks of few labels a class do; False: in about
    the pool's shares."""


@dataclass(frozen=True)
class Split:
    """Places of the examples of each part."""

    pool: np.ndarray
    """What budgets are drawn from."""
    test: np.ndarray
    """Only scored, after every choice is made."""
    valid: np.ndarray | None = None
    """A validation part, where the data gives one."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """How it was split, for the report: sizes, duplicates taken out, labels of each class."""


def make_split(dataset: Dataset, task: Task, spec: SplitSpec, domain: Domain | None, seed: int) -> Split:
    """Keep a test part aside. The same arguments give the same parts.

    Examples without a label are left out. Raises `InputError` where a part stays empty, or a class is missing from
    the pool or the test part.
    """
    data = dataset if _attached(dataset, task) else task.attach(dataset)
    if spec.by == "scaffold":
        data = _by_scaffold(data, domain)
    by = _way(data, spec)
    kept = task.labelled(data)
    record: dict[str, Any] = {"by": by, "seed": seed, "examples": len(data), "without a label": int((~kept).sum())}
    parts = _given(data) if by == "given" else None
    if spec.deduplicate:
        unique = _unique(data, task, domain, kept, parts, record)
        kept = kept & unique
    if parts is None:
        parts = _random_parts(data, task, spec, by, seed, kept)
    pool, test, valid = (np.flatnonzero(kept & (parts == name)) for name in ("train", "test", "valid"))
    _check(data, task, pool, test)
    sizes = {"pool": len(pool), "test": len(test)} | ({"valid": len(valid)} if len(valid) else {})
    counts = {name: task.counts(data.subset(places)) for name, places in (("pool", pool), ("test", test))}
    return Split(
        pool, test, valid if len(valid) else None, record | sizes | ({"classes": counts} if counts["pool"] else {})
    )


def _attached(dataset: Dataset, task: Task) -> bool:
    return "label" in (dataset.element_targets if task.per_element else dataset.targets)


def _by_scaffold(dataset: Dataset, domain: Domain | None) -> Dataset:
    """The data set with every molecule's scaffold as its group."""
    assert domain is not None
    names = np.array(domain.scaffolds(dataset), dtype=object)
    columns = {**dataset.columns, "scaffold": names}
    return replace(dataset, columns=columns, roles={**dataset.roles, "group": ("scaffold",)})


def _way(dataset: Dataset, spec: SplitSpec) -> str:
    split, group = dataset.roles.get("split"), group_column(dataset)
    if spec.by == "auto":
        return "given" if split else "group" if group else "stratified"
    if spec.by == "given" and not split:
        raise InputError(
            f"{dataset.source}: split.by=given needs the column that says train or test; set labelled.split"
        )
    if spec.by == "group" and not group:
        raise InputError(f"{dataset.source}: split.by=group needs the column that says the group; set labelled.group")
    return spec.by


def _given(dataset: Dataset) -> np.ndarray:
    """(n,) train, valid or test, whatever synonym the column uses."""
    name = dataset.roles["split"][0]
    known = {word: part for part, words in SAID.items() for word in words}
    said = [str(value).strip().lower() for value in dataset.column(name)]
    for place, word in enumerate(said):
        if word not in known:
            raise InputError(f"{row(dataset, place)}: '{name}' says '{word}'; valid: train, valid, test")
    return np.array([known[word] for word in said])


def _unique(
    data: Dataset, task: Task, domain: Domain | None, kept: np.ndarray, parts: np.ndarray | None, record: dict[str, Any]
) -> np.ndarray:
    """(n,) False on repeats: the first of equals stays; where parts are given, test comes before valid before train,
    and the test part is left as it is."""
    content = contents(data, domain)
    rank = np.zeros(len(data), dtype=np.int64)
    if parts is not None:
        rank = np.select([parts == "test", parts == "valid"], [0, 1], 2)
    order = np.lexsort([np.arange(len(data)), rank, ~kept])
    unique = np.empty(len(data), dtype=bool)
    unique[order] = first_of_each(content[order])
    record["duplicates taken out"] = int((kept & ~unique & ((rank > 0) | (parts is None))).sum())
    if task.every_stratum:
        record["duplicates with different labels"] = conflicting(content[kept], task.strata(data)[kept])
    return unique if parts is None else unique | (parts == "test")


def _random_parts(data: Dataset, task: Task, spec: SplitSpec, by: str, seed: int, kept: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(kept)
    if len(places) < 2:
        raise InputError(f"{data.source}: {len(places)} labelled examples; a split needs at least 2 different ones")
    strata = task.strata(data.subset(places))
    rng = random(seed, "split")
    if by in ("group", "scaffold"):
        groups = names_of(data.subset(places))
        if len(np.unique(groups)) < 2:
            raise InputError(
                f"{data.source}: all examples are of one group, '{groups[0]}'; a split needs at least 2 groups"
            )
        chosen = divide_groups(strata, groups, spec.test, rng)
    else:
        chosen = divide(strata, spec.test, rng)
    parts = np.full(len(data), "train")
    parts[places[chosen]] = "test"
    return parts


def _check(data: Dataset, task: Task, pool: np.ndarray, test: np.ndarray) -> None:
    """Raise `InputError` for an empty part, or a class that one of them lacks."""
    for name, places in (("training pool", pool), ("test part", test)):
        if not len(places):
            raise InputError(f"{data.source}: the {name} is empty; give more examples, or another split")
    ours, theirs = task.counts(data.subset(pool)), task.counts(data.subset(test))
    for name in ours:
        if not ours[name] and theirs[name]:
            raise InputError(
                f"{data.source}: label '{name}' is seen only in the test part; every class must be learnable"
            )
        if task.every_stratum and not theirs[name]:
            where = f"only among the {len(pool)} examples of the pool" if ours[name] else "nowhere"
            raise InputError(
                f"{data.source}: label '{name}' stands {where}, not in the test part; "
                "give at least 2 examples (or groups) of each class"
            )


__all__ = ["Split", "SplitSpec", "draw_budget", "make_split"]
