"""From a column to what a head learns: numbers on a scale of the corpus, class numbers, yes and no; NaN where unknown.

Shapes: n examples, m labels of one example (1, or as many as elements), k numbers of a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from exapt.domains.base import Dataset, Domain
from exapt.domains.label_values import NO, YES, absent, as_long, both_values, is_list, numbers, scale_of, split
from exapt.domains.labels import choose_classes, listed, refuse_numbers, row, word
from exapt.errors import InputError
from exapt.objectives.energies import ELEMENTS, fit_references
from exapt.objectives.potential_labels import composition
from exapt.objectives.property import NUMERIC, PropertySpec
from exapt.objectives.property_kinds import found_out

TRUTH = {**dict.fromkeys(YES, 1), **dict.fromkeys(NO, 0)}
ADVICE = "valid: a finite number, or nothing (for classes set kind: classes)"


def settled(spec: PropertySpec, dataset: Dataset, domain: Domain) -> PropertySpec:
    """With kind and scale written out, its column being known; raises `InputError` where that teaches nothing."""
    kind, per = found_out(dataset, domain, spec)
    spec = spec.model_copy(update={"kind": kind, "per": per})
    if spec.extensive and (kind != "value" or per != "example"):
        raise InputError(
            f"{dataset.source}: '{spec.column}' is {kind} per {per}; extensive is for a value per example only"
        )
    if kind == "classes":
        return spec.model_copy(update={"classes": spec.classes or _classes(spec, dataset)})
    if kind in NUMERIC:
        return _scaled(spec, dataset)
    both_values(dataset, str(spec.column), np.concatenate(_rows(spec, dataset))[:, 0])
    return spec


def encoded(spec: PropertySpec, dataset: Dataset) -> list[np.ndarray]:
    """n arrays (m, k) float64 of a settled head, standardised where they are numbers."""
    rows = _rows(spec, dataset)
    if spec.kind not in NUMERIC:
        return rows
    if spec.extensive:
        rows = _per_atom(spec, dataset, rows)
    centre, scale = np.asarray(spec.centre or 0.0), np.asarray(spec.scale)
    return [(values - centre) / scale for values in rows]


def _rows(spec: PropertySpec, dataset: Dataset) -> list[np.ndarray]:
    """n arrays (m, k): the numbers themselves."""
    assert spec.column is not None
    raw = dataset.column(spec.column)
    if spec.kind in ("classes", "binary"):
        table = TRUTH if spec.kind == "binary" else {name: i for i, name in enumerate(spec.classes or ())}
        return [_coded(spec, dataset, place, value, table) for place, value in enumerate(raw)]
    if spec.kind == "value" and spec.per == "example" and not any(map(is_list, raw)):
        return list(numbers(dataset, spec.column, ADVICE, spec.unknown)[:, None, None])
    return [_numbers(spec, dataset, place, value) for place, value in enumerate(raw)]


def _words(spec: PropertySpec, dataset: Dataset, place: int, value: Any) -> list[str | None]:
    """The word of every label of one example, None where it is not known."""
    column, per_element = str(spec.column), spec.per == "element"
    if absent(value, spec.unknown):
        return [None] * (int(dataset.lengths[place]) if per_element else 1)
    if not per_element:
        if is_list(value):
            raise InputError(f"{row(dataset, place)}: '{column}' holds a list; one label an example is a single value")
        return [word(value)]
    if not (isinstance(value, str) or is_list(value)):
        raise InputError(f"{row(dataset, place)}: '{column}' is '{value}'; valid: a label for every element")
    values = split(value, spec.separator)
    as_long(dataset, place, column, values)
    return [None if one in spec.unknown else one for one in values]


def _coded(spec: PropertySpec, dataset: Dataset, place: int, value: Any, table: Mapping[str, int]) -> np.ndarray:
    """(m, 1) the number that a table gives each word."""
    words = _words(spec, dataset, place, value)
    found = np.full((len(words), 1), np.nan)
    for i, text in enumerate(words):
        if text is None:
            continue
        said = text.lower() if spec.kind == "binary" else text
        if said not in table:
            valid = (
                "valid: 0, 1, yes, no or nothing" if spec.kind == "binary" else f"known classes: {listed(list(table))}"
            )
            raise InputError(f"{row(dataset, place)}: '{spec.column}' holds '{text:.40}'; {valid}")
        found[i] = table[said]
    return found


def _numbers(spec: PropertySpec, dataset: Dataset, place: int, value: Any) -> np.ndarray:
    """(m, k) the numbers of one example."""
    column, width = str(spec.column), spec.columns
    count = int(dataset.lengths[place]) if spec.per == "element" else 1
    if absent(value, spec.unknown):
        return np.full((count, width), np.nan)
    if spec.per == "element" and isinstance(value, str):
        value = split(value, spec.separator)
    where = row(dataset, place)
    if spec.per == "element":
        if not is_list(value):
            raise InputError(f"{where}: '{column}' is '{value}'; valid: a label for every element")
        as_long(dataset, place, column, value)
    found = _floats(value, spec, where)
    if found.size != count * width:
        each = f"; valid: {width} for each of its {count} elements" if spec.per == "element" else f"; valid: {width}"
        raise InputError(f"{where}: '{column}' holds {found.size} numbers{each}")
    if np.isinf(found).any():
        raise InputError(f"{where}: '{column}' is infinite; {ADVICE}")
    return found.reshape(count, width)


def _floats(value: Any, spec: PropertySpec, where: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        pass
    try:
        words = [word(one) for one in np.ravel(np.asarray(value, dtype=object))]
        return np.array([np.nan if one is None or one in spec.unknown else float(one) for one in words])
    except ValueError:
        raise InputError(f"{where}: '{spec.column}' holds '{str(value)[:40]}'; {ADVICE}") from None


def _classes(spec: PropertySpec, dataset: Dataset) -> list[str]:
    column = str(spec.column)
    words = [one for place, value in enumerate(dataset.column(column)) for one in _words(spec, dataset, place, value)]
    classes = choose_classes(dataset, column, words, None)
    if spec.per == "example":
        refuse_numbers(dataset, column, classes, f"are they numbers? Set objective.heads.{column}.kind=value")
    return classes


def _scaled(spec: PropertySpec, dataset: Dataset) -> PropertySpec:
    """With size, references, centre and scale; raises `InputError` for a column of one value."""
    if spec.kind == "values" and spec.size is None:
        spec = spec.model_copy(update={"size": _size(spec, dataset)})
    rows = _rows(spec, dataset)
    _refuse_constant(spec, dataset, np.concatenate(rows))
    if spec.extensive:
        if spec.references is None:
            spec = spec.model_copy(update={"references": _references(dataset, np.concatenate(rows)[:, 0])})
        rows = _per_atom(spec, dataset, rows)
    values = np.concatenate(rows)
    centre, scale = scale_of(values)
    if spec.kind == "vector":
        centre, scale = np.zeros(3), np.full(3, np.sqrt(np.nanmean(values**2)))
    found = {"centre": spec.centre or centre.tolist(), "scale": spec.scale or scale.tolist()}
    for key, given in found.items():
        if len(given) != spec.columns:
            raise InputError(
                f"objective.heads: {key} of '{spec.column}' has {len(given)} numbers; valid: {spec.columns}"
            )
    return spec.model_copy(update=found)


def _size(spec: PropertySpec, dataset: Dataset) -> int:
    """How many numbers the first label there is holds."""
    for place, value in enumerate(dataset.column(str(spec.column))):
        if not absent(value, spec.unknown):
            count = int(dataset.lengths[place]) if spec.per == "element" else 1
            return max(1, _floats(value, spec, row(dataset, place)).size // max(count, 1))
    raise InputError(f"{dataset.source}: column '{spec.column}' holds no label at all")


def _refuse_constant(spec: PropertySpec, dataset: Dataset, values: np.ndarray) -> None:
    known = values[np.isfinite(values).all(1)] if spec.columns > 1 else values[np.isfinite(values)][:, None]
    if not len(known):
        raise InputError(f"{dataset.source}: column '{spec.column}' holds no number at all")
    if (known == known[0]).all():
        held = ", ".join(f"{value:g}" for value in known[0])
        raise InputError(f"{dataset.source}: column '{spec.column}' holds only {held}; a head needs different values")


def _references(dataset: Dataset, values: np.ndarray) -> dict[int, float]:
    fitted = fit_references(composition(dataset), values)
    return {int(number): float(fitted[number]) for number in np.flatnonzero(fitted)}


def _per_atom(spec: PropertySpec, dataset: Dataset, rows: list[np.ndarray]) -> list[np.ndarray]:
    """What the elements by themselves do not explain, for each atom."""
    own = np.zeros(ELEMENTS)
    for number, value in (spec.references or {}).items():
        own[number] = value
    counts = composition(dataset)
    explained, atoms = counts @ own, counts.sum(1)
    return [(row - mine) / many for row, mine, many in zip(rows, explained, atoms, strict=True)]
