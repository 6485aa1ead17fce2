"""What kind of label a column holds, where nobody says."""

from __future__ import annotations

from typing import Any

import numpy as np

from exapt.domains.base import MISSING, Dataset, Domain
from exapt.domains.label_values import NO, YES, absent, as_long, is_list, split
from exapt.domains.labels import row, word
from exapt.errors import InputError
from exapt.objectives.property import Kind, Per, PropertySpec

MOST_CLASSES = 20
"""Whole numbers of more kinds than this are taken as numbers."""


def only(dataset: Dataset, spec: PropertySpec) -> str:
    """What a column holds that teaches nothing: no label at all, or one alone; '' where there are different ones."""
    assert spec.column is not None
    raw, unknown = dataset.column(spec.column), spec.missing or (MISSING,)
    there = [place for place, value in enumerate(raw) if not absent(value, unknown)]
    if not there:
        return "no label at all"
    lists = {is_list(raw[place]) for place in there}
    if len(lists) > 1:
        return ""
    per = spec.per or _per(dataset, spec, there, lists.pop())
    words, _ = _distinct([raw[place] for place in there], spec, per)
    return "" if len(words) > 1 else f"only '{min(words, default='')}'"


def found_out(dataset: Dataset, domain: Domain, spec: PropertySpec) -> tuple[Kind, Per]:
    """Kind, and whether of examples or of elements; raises `InputError` for a column without labels, or of a mix."""
    assert spec.column is not None
    raw = dataset.column(spec.column)
    there = [place for place, value in enumerate(raw) if not absent(value, spec.missing or (MISSING,))]
    if not there:
        raise InputError(f"{dataset.source}: column '{spec.column}' holds no label at all")
    lists = [is_list(raw[place]) for place in there]
    if any(lists) and not all(lists):
        raise InputError(
            f"{row(dataset, there[lists.index(False)])}: '{spec.column}' is a single value, and elsewhere a list; "
            "valid: one of them"
        )
    per = spec.per or _per(dataset, spec, there, lists[0])
    return spec.kind or _kind(raw, spec, there, per, domain.inputs.kind == "atoms"), per


def _per(dataset: Dataset, spec: PropertySpec, there: list[int], lists: bool) -> Per:
    """Of elements where every label is as long as its example; else lists of one length are of examples."""
    assert spec.column is not None
    raw, lengths = dataset.column(spec.column), dataset.lengths
    words = isinstance(raw[there[0]], str)
    if not lists and not words:
        return "example"
    if spec.classes and not lists and word(raw[there[0]]) in spec.classes:
        return "example"
    counts = [len(split(raw[i], spec.separator)) if words and not lists else len(raw[i]) for i in there]
    wrong = [i for i, count in zip(there, counts, strict=True) if count != lengths[i]]
    if not wrong and (lists or (len(there) > 1 and max(counts) > 1)):
        return "element"
    if lists and len(set(counts)) > 1:
        as_long(dataset, wrong[0], spec.column, raw[wrong[0]])
    return "example"


def _kind(raw: np.ndarray, spec: PropertySpec, there: list[int], per: Per, atoms: bool) -> Kind:
    first = raw[there[0]]
    if is_list(first):
        width = len(first) if per == "example" else np.asarray(first, dtype=object).size // len(first)
        if width > 1 or per == "example":
            return "vector" if atoms and width == 3 else "values"
    if spec.classes:
        return "classes"
    return _scalar(*_distinct([raw[place] for place in there], spec, per))


def _distinct(values: list[Any], spec: PropertySpec, per: Per) -> tuple[set[str], int]:
    """The different words among labels, and how many labels there are."""
    if is_list(values[0]) and not isinstance(values[0], np.ndarray):
        values = [np.asarray(value, dtype=object) for value in values]
    if per == "element" and isinstance(values[0], str):
        values = [np.array(split(value, spec.separator), dtype=object) for value in values]
    flat = np.concatenate([np.ravel(value) for value in values])
    alike = np.unique(flat) if flat.dtype != object else set(flat.tolist())
    words = {text for value in alike if (text := word(value)) is not None}
    return words - set(spec.missing or (MISSING,)), len(flat)


def _scalar(found: set[str], count: int) -> Kind:
    lower = {text.lower() for text in found} - {"-1"}
    if lower <= YES | NO and lower & YES and lower & NO:
        return "binary"
    try:
        whole = all(float(text).is_integer() for text in found)
    except ValueError:
        return "classes"
    return "classes" if whole and 2 <= len(found) <= min(MOST_CLASSES, count / 2) else "value"
