"""What raw label columns hold, as numbers, as truth values, and as words of single elements.

Shapes: n examples, K columns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from exapt.domains.base import Dataset
from exapt.domains.labels import EMPTY, Missing, refuse_empty, row, word
from exapt.errors import InputError

YES, NO = {"1", "true", "yes", "y", "t"}, {"0", "false", "no", "n", "f"}
"""What a column of truth values may hold, in any case; empty is unknown."""


def numbers(dataset: Dataset, name: str, advice: str, unknown: Collection[str] = ()) -> np.ndarray:
    """(n,) float64, NaN where empty or one of the `unknown` words.

    Raises `InputError` naming file and row of what is no finite number, with `advice` on what is needed.
    """
    raw = dataset.column(name)
    if np.issubdtype(raw.dtype, np.number) and not unknown:
        values = raw.astype(np.float64)
    else:
        values = np.array([_number(dataset, name, i, value, advice, unknown) for i, value in enumerate(raw)])
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise InputError(f"{row(dataset, int(infinite[0]))}: '{name}' is infinite; {advice}")
    return values


def _number(dataset: Dataset, name: str, place: int, value: Any, advice: str, unknown: Collection[str]) -> float:
    text = word(value)
    try:
        return np.nan if text is None or text in unknown else float(text)
    except ValueError:
        raise InputError(f"{row(dataset, place)}: '{name}' is '{text:.40}'; {advice}") from None


def scale_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) means and standard deviations of the known values (n, K); 0 and 1 where there is nothing to go by."""
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(0), 1)
    centre = np.where(seen, values, 0.0).sum(0) / count
    deviation = np.sqrt(np.where(seen, (values - centre) ** 2, 0.0).sum(0) / count)
    return centre, np.where(deviation > 1e-12 * np.maximum(np.abs(centre), 1e-300), deviation, 1.0)


def yes_or_no(dataset: Dataset, name: str, missing: Missing) -> np.ndarray:
    """(n,) 1, 0 or NaN from a column; raises `InputError` naming file and row of anything else."""
    found = [word(value) for value in dataset.column(name)]
    if missing == "refuse":
        refuse_empty(dataset, name, [w is None for w in found])
    for place, w in enumerate(found):
        if w is not None and w.lower() not in YES | NO:
            raise InputError(
                f"{row(dataset, place)}: '{name}' is '{w}'; one of several labels must be 0 or 1 (or empty)"
            )
    return np.array([np.nan if w is None else float(w.lower() in YES) for w in found])


def both_values(dataset: Dataset, name: str, labels: np.ndarray) -> None:
    """Raise `InputError` where the known of labels (n,) are all 0 or all 1."""
    known = labels[np.isfinite(labels)]
    if not len(known) or (known == known[0]).all():
        held = f"only {known[0]:.0f}" if len(known) else "no label at all"
        raise InputError(f"{dataset.source}: column '{name}' holds {held}; a label needs both 0 and 1")


def is_list(value: Any) -> bool:
    """Whether a label is several values."""
    return isinstance(value, list | tuple | np.ndarray)


def absent(value: Any, unknown: Collection[str] = ()) -> bool:
    """Whether a cell holds no label: nothing, NaN, a word that means not known, or a list of these."""
    if is_list(value):
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
            return bool(np.isnan(value).all())
        return all(absent(one, unknown) for one in value)
    if isinstance(value, str):
        return value.strip() in (*EMPTY, *unknown)
    text = word(value)
    return text is None or text in unknown


def as_long(dataset: Dataset, place: int, name: str, values: Sequence[Any] | np.ndarray) -> None:
    """Raise `InputError` where labels of an example's elements are not as many as these."""
    length = int(dataset.lengths[place])
    if len(values) != length:
        raise InputError(f"{row(dataset, place)}: '{name}' labels {len(values)} elements, but the example has {length}")


def split(value: Any, separator: str | None) -> Sequence[str | None]:
    """The words of one example's elements: the letters of a string, its parts, or a list's values."""
    if not isinstance(value, str):
        return [word(v) for v in value]
    if separator is None:
        return list(value)
    return [word(v) for v in value.split(separator)]
