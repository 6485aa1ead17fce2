"""A task's head that begins as the one `properties` learnt for its column says the same from the first step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exapt.backbones import TransformerSpec
from exapt.domains import DnaSpec
from exapt.domains.base import Arrays
from exapt.objectives import BatterySpec, PropertiesSpec
from exapt.objectives.base import Objective
from exapt.objectives.property_answers import answers
from exapt.tasks import ClassifySpec, RegressSpec, inherited
from exapt.tasks.heads import HeadSpec

SEQUENCES = ["ACGTACGT", "AAAAAA", "CCCC", "GTGTGTG", "ACACA", "TTTT"]
COLUMNS: dict[str, list[Any]] = {
    "gap": [1.5, 2.0, -2.25, 4.0, 0.5, 1.0],
    "size": [10.0, 12.5, 11.0, 14.0, 9.5, 10.0],
    "kind": ["b", "a", "b", "c", "c", "a"],
    "toxic": ["yes", "no", "no", "yes", "yes", "no"],
    "other": [0, 1, 0, 1, 1, 0],
}


class Bench:
    """Heads of all columns with weights that are not zero, and another set of labels for the task."""

    def __init__(self, names: list[str], **spec: Any) -> None:
        self.domain = DnaSpec(length=16, reverse_complement=False).build()
        self.data = self.domain.read(Arrays(SEQUENCES, COLUMNS, label=names))
        corpus = self.domain.read(Arrays(SEQUENCES, COLUMNS, label=list(COLUMNS)))
        settled = PropertiesSpec.parse(spec).settled(corpus, self.domain)
        self.backbone = TransformerSpec(width=8, depth=1, heads=2).build(self.domain.inputs, seed=0).eval()
        self.heads: Any = settled.build(self.domain, self.backbone, seed=1)
        with torch.no_grad():
            self.heads.of_examples.out.bias.normal_(generator=torch.Generator().manual_seed(0))
        self.batch = self.domain.collate([self.data[i] for i in range(6)])

    def inherited(self, task: Any, objective: Objective | None = None) -> tuple[bool, np.ndarray]:
        """Whether anything was, and what the task's head then predicts."""
        head = task.head(8, seed=0).eval()
        did = task.inherit(head, objective or self.heads, task.attach(self.data), lambda: torch.zeros(0))
        return did, task.decode(head(self.backbone(self.batch)))

    def said(self, name: str) -> np.ndarray:
        return answers(self.heads, self.backbone, self.batch)[name].numpy()


def test_numbers_are_those_of_the_heads_on_the_tasks_own_scale() -> None:
    bench = Bench(["size", "gap"])
    task = RegressSpec().build(bench.data)
    task.centre, task.scale = task.centre + 1.0, task.scale * 2.0
    did, values = bench.inherited(task)
    assert did
    np.testing.assert_allclose(values, np.stack([bench.said("size"), bench.said("gap")], 1), rtol=1e-5, atol=1e-5)


def test_classes_and_yes_or_no_are_too() -> None:
    bench = Bench(["kind"])
    did, chances = bench.inherited(ClassifySpec(classes=["c", "a", "b"]).build(bench.data))
    assert did
    np.testing.assert_allclose(chances, bench.said("kind")[:, [2, 0, 1]], rtol=1e-5)
    bench = Bench(["toxic"])
    did, chances = bench.inherited(ClassifySpec().build(bench.data))
    np.testing.assert_allclose(chances[:, 1], bench.said("toxic"), rtol=1e-5)
    bench = Bench(["other", "toxic"])
    did, chances = bench.inherited(ClassifySpec().build(bench.data))
    assert did
    np.testing.assert_allclose(chances, np.stack([bench.said("other"), bench.said("toxic")], 1), rtol=1e-5)


def test_a_head_within_a_battery_is_found() -> None:
    bench = Bench(["gap"])
    corpus = bench.domain.read(Arrays(SEQUENCES, COLUMNS, label=["gap"]))
    parts = [{"objective": {"kind": "masked"}}, {"objective": {"kind": "properties"}}]
    battery = BatterySpec.parse({"parts": parts}).settled(corpus, bench.domain).build(bench.domain, bench.backbone, 0)
    did, values = bench.inherited(RegressSpec().build(bench.data), battery)
    assert did and values.std() > 1e-4


@pytest.mark.parametrize(
    ("names", "task", "spec"),
    [
        (["gap"], RegressSpec(), {"heads": ["size"]}),
        (["gap"], RegressSpec(head=HeadSpec(pooling="max")), {}),
        (["gap"], RegressSpec(head=HeadSpec(hidden=4)), {}),
        (["gap"], RegressSpec(), {"hidden": 8}),
        (["kind"], ClassifySpec(classes=["a", "b", "c"]), {"heads": ["toxic"]}),
    ],
)
def test_what_does_not_fit_is_left_fresh(names: list[str], task: Any, spec: dict[str, Any]) -> None:
    bench = Bench(names, **spec)
    built = task.build(bench.data)
    did, values = bench.inherited(built)
    fresh = built.decode(built.head(8, seed=0).eval()(bench.backbone(bench.batch)))
    assert not did
    np.testing.assert_array_equal(values, fresh)


def test_a_number_divided_by_its_elements_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pre-trained on the column is the whole number."""
    data = DnaSpec().build().read(Arrays(["ACGT", "AC"], {"label": [8.0, 3.0]}, label="label"))
    monkeypatch.setattr(inherited, "head_of", lambda *_: pytest.fail("looked for a head"))
    task = RegressSpec(per="element").build(data)
    assert not task.inherit(task.head(4, seed=0), None, data, lambda: torch.zeros(0))
