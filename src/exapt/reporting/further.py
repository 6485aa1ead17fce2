"""Figures of the fits beside the metric, where the task gives any."""

from __future__ import annotations

from collections.abc import Sequence

from exapt.evidence.unit import count
from exapt.reporting.blocks import Section, Table, row
from exapt.reporting.numbers import Plain


def figures(found: Sequence[Plain]) -> Section | None:
    """A row an arm: means over seeds, with their deviation."""
    if not found:
        return None
    names = list(dict.fromkeys(name for line in found for name in line["figures"]))
    rows = [row(line["arm"], *(_said(line["figures"].get(name)) for name in names)) for line in found]
    first = found[0]
    caption = f"Means ± deviations over {first['seeds']} seeds with {count(first['budget'])} labels, on the test set"
    return Section("Further figures", [Table(["arm", *names], rows, caption)])


def _said(value: Plain | None) -> str:
    return "–" if value is None else f"{value['mean']:.3g} ± {value['deviation']:.2g}"
