"""Reading raw label columns: which they are, what a value says, and where a bad one stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from exapt.domains.base import Dataset
from exapt.errors import InputError

Missing = Literal["auto", "refuse", "ignore"]
"""What an empty label means: a mistake, or an unknown value that costs nothing. `auto`: refuse it where an example has
one label, ignore it where it has several."""

EMPTY = ("", "nan", "NaN")
"""Strings that hold no label. Not 'NA' or 'None': both are real names somewhere."""


def label_columns(dataset: Dataset) -> list[str]:
    """The columns that hold the label: those the source named, else `label`, else the only one there is."""
    named = dataset.roles.get("label", ())
    if named:
        return list(named)
    others = [n for role in ("group", "split") for n in dataset.roles.get(role, ())]
    there = [name for name in dataset.columns if name not in others]
    if "label" in there:
        return ["label"]
    if len(there) == 1:
        return there
    options = f"one of: {', '.join(there)}" if there else "the column that holds it (no column was read)"
    raise InputError(f"{dataset.source}: which column is the label? Set labelled.label (--label) to {options}")


def one_column(dataset: Dataset, kind: str) -> str:
    """The only label column; raises `InputError` where there are several."""
    names = label_columns(dataset)
    if len(names) > 1:
        raise InputError(
            f"{dataset.source}: task.kind={kind} takes one label column, found {', '.join(names)}; name one"
        )
    return names[0]


def row(dataset: Dataset, place: int) -> str:
    """File and row, counted from 1 below any header."""
    return dataset.where(place)


def word(value: Any) -> str | None:
    """The name of a class as read, None where the label is empty; 1.0 and 1 are one class."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value).strip()
    return None if text in EMPTY else text


def words(dataset: Dataset, name: str, missing: Missing) -> list[str | None]:
    """The class name of every example; refuses empty labels unless they are to be ignored."""
    values = dataset.column(name)
    lists = [place for place, value in enumerate(values) if isinstance(value, list | tuple | np.ndarray)]
    if lists:
        raise InputError(
            f"{row(dataset, lists[0])}: '{name}' holds a list, and a class is one word or number; valid: "
            "task.kind=detect for boxes (by fine-tuning, no probe tells them), tag for a class an element"
        )
    found = [word(value) for value in values]
    if missing != "ignore":
        refuse_empty(dataset, name, [w is None for w in found])
    return found


def refuse_empty(dataset: Dataset, name: str, empty: Sequence[bool] | np.ndarray) -> None:
    """Raise `InputError` at the first empty label."""
    bad = np.flatnonzero(np.asarray(empty, dtype=bool))
    if len(bad):
        raise InputError(
            f"{row(dataset, int(bad[0]))}: '{name}' is empty ({len(bad)} of {len(dataset)} rows); "
            "fill it in, take the row out, or set task.missing=ignore"
        )


def in_order(names: Iterable[str]) -> list[str]:
    """Distinct names, as numbers where all are numbers."""
    distinct = set(names)
    try:
        return sorted(distinct, key=float)
    except ValueError:
        return sorted(distinct)


def choose_classes(dataset: Dataset, name: str, found: Sequence[str | None], given: Sequence[str] | None) -> list[str]:
    """The classes given, or those found in a column; raises `InputError` for fewer than two."""
    classes = list(given) if given else in_order(w for w in found if w is not None)
    if len(classes) < 2:
        only = f"only '{classes[0]}'" if classes else "no label at all"
        raise InputError(f"{dataset.source}: column '{name}' holds {only}; a classification needs at least two classes")
    return classes


NUMBERS = "is it a number? Then set task.kind=regress; else list task.classes"


def refuse_numbers(dataset: Dataset, name: str, classes: Sequence[str], advice: str = NUMBERS) -> None:
    """Raise `InputError` where nearly every row has a class of its own."""
    if len(classes) > max(20, len(dataset) // 2):
        held = f"column '{name}' holds {len(classes)} different values in {len(dataset)} rows"
        raise InputError(f"{dataset.source}: {held}; {advice}")


def class_numbers(dataset: Dataset, name: str, found: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """(n,) int64 class numbers, −1 where empty; raises `InputError` naming the row of a class that is not known."""
    number = {c: i for i, c in enumerate(classes)}
    for place, w in enumerate(found):
        if w is not None and w not in number:
            raise InputError(f"{row(dataset, place)}: '{name}' is '{w}'; known classes: {listed(classes)}")
    return np.array([-1 if w is None else number[w] for w in found], dtype=np.int64)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message, cut short."""
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
