"""The labelled part of a study: read by a domain, divided once, and known by its content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.files import jsonable
from exapt.spec import digest
from exapt.studies.spec import StudySpec
from exapt.tasks.base import Task
from exapt.tasks.splits import Split, draw_budget, make_split


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labelled examples, the task they are for, and which of them are the test part."""

    spec: StudySpec
    domain: Domain
    cache: Path | None = None

    @cached_property
    def raw(self) -> Dataset:
        """The examples with their columns as read."""
        return self.domain.read(self.spec.labelled, cache=self.cache)

    @cached_property
    def task(self) -> Task:
        return self.spec.task.build(self.raw)

    @cached_property
    def examples(self) -> Dataset:
        """The examples with encoded targets."""
        return self.task.attach(self.raw)

    @cached_property
    def split(self) -> Split:
        return make_split(self.examples, self.task, self.spec.split, self.domain, self.spec.split_seed)

    @cached_property
    def test(self) -> Dataset:
        """The part kept aside: only scored, after every choice is made."""
        return self.examples.subset(self.split.test)

    @cached_property
    def key(self) -> str:
        """A content key of the data, the task, the split and the domain."""
        plain = self.spec.plain()
        parts = [self.raw.fingerprint(), plain["task"], plain["split"], plain["split_seed"], self.domain.describe()]
        return digest(parts)

    def check(self) -> None:
        """Refuse budgets that cannot be drawn, before time is spent on anything else."""
        spec, pool = self.spec, self.split.pool
        largest = max(spec.budgets)
        if largest > len(pool):
            raise InputError(
                f"{spec.labelled.name}: budget {largest} needs {largest} labelled examples, "
                f"but {len(pool)} are left beside the {len(self.split.test)} kept for the test; "
                f"choose budgets up to {len(pool)}"
            )
        for seed in range(spec.seeds):
            draw_budget(self.examples, self.task, pool, min(spec.budgets), seed, spec.validation, spec.split.balanced)

    def to_probe(self) -> tuple[Dataset, np.ndarray] | None:
        """The pool, never the test part, with labels (n,) for a probe that watches pre-training.

        None where an example has no single class or number of its own.
        """
        pool = self.examples.subset(self.split.pool)
        labels = None if self.task.per_element else self.task.truth(pool)
        return None if labels is None or labels.ndim != 1 else (pool, labels)

    def described(self) -> dict[str, Any]:
        """Plain facts: all that a report says of the data, so that it can be written anew without it."""
        lengths = self.examples.lengths
        facts = {
            "labelled": self.spec.labelled.name,
            "examples": len(self.examples),
            "pool": len(self.split.pool),
            "test": len(self.split.test),
            "median length": float(np.median(lengths)) if len(lengths) else 0.0,
            "split": self.split.record,
            "domain": self.domain.describe(),
        } | self.task.described(self.examples)
        found = {"key": self.key, "metric": self.task.metric_name, "facts": facts, "warnings": self._warnings()}
        plain: dict[str, Any] = jsonable(found)
        return plain

    def _warnings(self) -> list[str]:
        found = [f"Labelled examples left out: {count} ({why})." for why, count in self.raw.skipped.items()]
        cut, test, margin = self.domain.truncated(self.examples), len(self.split.test), self.spec.margin
        if cut:
            length = self.domain.inputs.length
            share = cut / len(self.examples)
            found.append(f"{cut} labelled examples ({share:.0%}) are longer than {length} elements and were cut.")
        if test * margin < 1 and not self.task.per_element:
            found.append(
                f"The test part holds {test} examples, so a single one may weigh more than the margin of {margin:g}; "
                f"{int(np.ceil(1 / margin))} or more would be better."
            )
        return found
