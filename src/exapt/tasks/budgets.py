"""Budgets of labels: nested draws from the pool, divided between training and validation."""

from __future__ import annotations

import zlib

import numpy as np

from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.tasks.base import Task
from exapt.tasks.parts import divide, divide_groups, interleave

LEAST = 2
"""The fewest examples to train on and the fewest to validate on, where labels are no classes."""


def draw_budget(
    dataset: Dataset,
    task: Task,
    pool: np.ndarray,
    budget: int,
    seed: int,
    validation: float = 0.2,
    balanced: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Places (train, valid) of `budget` labelled examples of an attached data set, drawn from the places in `pool`.

    A budget counts every label used. For one seed budgets are nested, in both parts: a smaller one is part of a larger.
    Classes come in about the pool's shares, at least one example of each in either part; `balanced`: equally many of
    each, as long as the pool has them. A group is never in both parts.
    Raises `InputError` for a budget that the pool or the classes do not allow.
    """
    pool = np.asarray(pool, dtype=np.int64)
    some = dataset.subset(pool)
    strata = task.strata(some)
    least = len(np.unique(strata)) if task.every_stratum else LEAST
    _check_budget(dataset, budget, len(pool), least, task.every_stratum)
    rng = random(seed, "budget")
    held = _held(dataset, task, some, strata, validation, rng)
    train, valid = np.flatnonzero(~held), np.flatnonzero(held)
    wanted = share_of(budget, validation, least, (len(train), len(valid)))
    order = [part[interleave(strata[part], rng, task.every_stratum, balanced)] for part in (train, valid)]
    return pool[order[0][: budget - wanted]], pool[order[1][:wanted]]


def share_of(budget: int, validation: float, least: int, room: tuple[int, int]) -> int:
    """How many of a budget validate: its share, but `least` in either part, and no more than there is room for.

    It grows by 0 or 1 with the budget, so both parts are nested.
    """
    wanted = min(max(int(validation * budget + 0.5), least), budget - least)
    return min(max(wanted, budget - room[0]), room[1])


def _held(
    dataset: Dataset, task: Task, some: Dataset, strata: np.ndarray, validation: float, rng: np.random.Generator
) -> np.ndarray:
    """(n,) which examples of the pool validate, if they are drawn at all."""
    if group_column(dataset) is None:
        held = divide(strata, validation, rng)
    else:
        held = divide_groups(strata, names_of(some), validation, rng)
    lacking = set(strata[held].tolist()) ^ set(strata[~held].tolist())
    if task.every_stratum and lacking:
        name = list(task.counts(some))[int(min(lacking))]
        raise InputError(
            f"{dataset.source}: the pool has too few examples of class '{name}'; "
            "at least 2 are needed (in 2 groups where there are groups): one to train on, one to validate on"
        )
    return held


def _check_budget(dataset: Dataset, budget: int, there: int, least: int, classes: bool) -> None:
    if budget > there:
        raise InputError(
            f"{dataset.source}: a budget of {budget} labels, but the pool holds {there}; choose at most {there}"
        )
    if budget < 2 * least:
        why = f"2 for each of {least} classes" if classes else f"{least} to train on and {least} to validate on"
        raise InputError(
            f"{dataset.source}: a budget of {budget} labels is too small; valid: {2 * least} ({why}) and more"
        )


def group_column(dataset: Dataset) -> str | None:
    """The column that the source named as group."""
    return next(iter(dataset.roles.get("group", ())), None)


def names_of(dataset: Dataset) -> np.ndarray:
    """(n,) each example's group as a string; raises `InputError` where it is empty."""
    column = group_column(dataset)
    assert column is not None
    names = np.array([str(value) for value in dataset.column(column)])
    empty = np.flatnonzero(np.isin(names, ("", "nan", "None")))
    if len(empty):
        raise InputError(f"{dataset.where(int(empty[0]))}: '{column}' is empty; every example needs a group")
    return names


def random(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each purpose of a seed."""
    return np.random.default_rng([seed % 2**32, zlib.crc32(purpose.encode())])
