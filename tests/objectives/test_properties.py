"""Many sparse heads: loss and gradients against a plain loop, missing labels, kinds found out, and what is told."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from objective_standins import gradients_are_true
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.backbones.equivariant import EquivariantSpec
from exapt.batch import Batch
from exapt.domains import DnaSpec
from exapt.domains.atom_batch import turned
from exapt.domains.atoms import AtomsSpec
from exapt.domains.base import Arrays, Dataset, Domain
from exapt.domains.structure import Structure
from exapt.errors import InputError
from exapt.objectives import BatterySpec, PropertiesSpec
from exapt.objectives.properties import Properties
from exapt.objectives.property_answers import answers

NAN = float("nan")
SEQUENCES = ["ACGTACGT", "AAAAAA", "CCCC", "GTGTGTG", "ACACA"]
COLUMNS: dict[str, list[Any]] = {
    "gap": [1.5, NAN, -2.25, 4.0, NAN],
    "toxic": ["yes", "no", "", "no", "yes"],
    "kind": ["b", "a", "", "c", "?"],
    "pair": [[1.0, 2.0], [NAN, 0.0], None, [3.0, 5.0], [0.5, 1.0]],
    "tags": ["HHEEHHEE", "", "HE?E", "???????", "EEHHE"],
    "charge": [None, [0.1, -0.25, 0.3, 0.0, NAN, 0.5], [1.0, 2.0, -1.5, 0.5], None, None],
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Bench:
    """Five sequences with six columns, and what is built on them, in float64."""

    def __init__(self, columns: dict[str, list[Any]] | None = None, **spec: Any) -> None:
        columns = COLUMNS if columns is None else columns
        self.domain: Domain = DnaSpec(length=16, reverse_complement=False).build()
        self.data: Dataset = self.domain.read(Arrays(SEQUENCES, columns, label=list(columns)))
        self.spec = PropertiesSpec.parse(spec).settled(self.data, self.domain)
        self.data = self.spec.attach(self.data, self.domain)
        self.backbone: Backbone = TransformerSpec(width=8, depth=1, heads=2).build(self.domain.inputs, seed=0).double()
        built = self.spec.build(self.domain, self.backbone, seed=1).double()
        assert isinstance(built, Properties)
        self.objective = built
        self.batch = self.domain.collate([self.data[i] for i in range(len(self.data))])


def plain(name: str, bench: Bench, batch: Batch) -> list[Tensor]:
    """The losses of a head's labels, one by one, from raw columns."""
    head, level = bench.objective.heads[name], bench.objective.of_examples
    features = bench.backbone(batch)
    assert batch.index is not None
    found = []
    for place, example in enumerate(batch.index.tolist()):
        own = features.elements[batch.offsets[place] : batch.offsets[place + 1]]
        rows, labels = [own.mean(0)], [COLUMNS[name][example]]
        if head.per == "element":
            level = bench.objective.of_elements
            raw = COLUMNS[name][example]
            rows, labels = list(own), list(raw) if raw else [None] * len(own)
        assert level is not None
        start = sum(
            one.outputs for n, one in level.heads.items() if list(level.heads).index(n) < list(level.heads).index(name)
        )
        weight, bias = level.out.weight[start : start + head.outputs], level.out.bias[start : start + head.outputs]
        for row, label in zip(rows, labels, strict=True):
            said = weight @ row + bias
            if label in (None, "", "?") or (isinstance(label, float) and math.isnan(label)):
                continue
            if head.kind == "classes":
                found.append(-said.log_softmax(0)[(head.classes or []).index(label)])
            elif head.kind == "binary":
                p = said.sigmoid()[0]
                found.append(-(p if label == "yes" else 1 - p).log())
            else:
                for k, one in enumerate(np.ravel(label)):
                    assert head.centre is not None and head.scale is not None
                    if not math.isnan(one):
                        found.append((said[k] - (one - head.centre[k]) / head.scale[k]) ** 2)
    return found


def test_kinds_are_found_out_and_the_scale_is_that_of_the_corpus() -> None:
    heads = Bench().spec.heads
    assert isinstance(heads, dict)
    assert {n: (h.kind, h.per) for n, h in heads.items()} == {
        "gap": ("value", "example"),
        "toxic": ("binary", "example"),
        "kind": ("classes", "example"),
        "pair": ("values", "example"),
        "tags": ("classes", "element"),
        "charge": ("value", "element"),
    }
    known = np.array([1.5, -2.25, 4.0])
    assert heads["gap"].centre == pytest.approx([known.mean()]) and heads["gap"].scale == pytest.approx([known.std()])
    assert heads["kind"].classes == ["a", "b", "c"] and heads["tags"].classes == ["E", "H"]
    assert heads["pair"].size == 2 and len(heads["pair"].scale or []) == 2


@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4], [2, 1], [3]])
def test_the_loss_is_the_mean_over_heads_of_the_mean_over_labels(chosen: list[int]) -> None:
    bench = Bench()
    batch = bench.batch.select(chosen)
    losses = {name: plain(name, bench, batch) for name in COLUMNS}
    means = {name: torch.stack(found).mean() for name, found in losses.items() if found}
    if chosen == [3]:
        assert not losses["tags"] and not losses["charge"], "a batch in which heads have no label at all"
    wanted = torch.stack(list(means.values())).mean()
    loss = bench.objective(bench.backbone, batch, rng())
    assert loss.count == len(chosen)
    torch.testing.assert_close(loss.value, wanted, rtol=1e-6, atol=1e-7)  # labels are stored in float32
    ours = torch.autograd.grad(loss.value, list(bench.backbone.parameters()))
    for one, two in zip(ours, torch.autograd.grad(wanted, list(bench.backbone.parameters())), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)
    for name, mean in means.items():
        assert float(torch.as_tensor(loss.terms[f"{name}.loss"])) == pytest.approx(float(mean.detach()), rel=1e-5)


def test_weights_are_those_of_a_weighted_mean() -> None:
    heads = {name: {"weight": 3.0 if name == "gap" else 1.0} for name in ("gap", "toxic")}
    bench = Bench(heads=heads)
    means = [torch.stack(plain(name, bench, bench.batch)).mean() for name in ("gap", "toxic")]
    wanted = (3 * means[0] + means[1]) / 4
    torch.testing.assert_close(bench.objective(bench.backbone, bench.batch, rng()).value, wanted, rtol=1e-6, atol=1e-7)


def test_no_label_at_all_costs_nothing_and_makes_no_nan() -> None:
    bench = Bench(weighing="uncertainty")
    blank = {name: torch.full_like(value, NAN) for name, value in bench.batch.targets.items()}
    each = {name: torch.full_like(value, NAN) for name, value in bench.batch.element_targets.items()}
    loss = bench.objective(bench.backbone, replace(bench.batch, targets=blank, element_targets=each), rng())
    loss.value.backward()
    assert loss.count == 0 and float(loss.value.detach()) == 0.0
    for parameter in [*bench.backbone.parameters(), *bench.objective.parameters()]:
        assert parameter.grad is None or not parameter.grad.any()


def test_a_missing_label_is_as_if_its_example_had_been_left_out() -> None:
    """Whatever stands in its place: not even an infinite prediction there would be seen."""
    bench = Bench({"gap": COLUMNS["gap"]})
    all_of_them = bench.objective(bench.backbone, bench.batch, rng())
    labelled = bench.objective(bench.backbone, bench.batch.select([0, 2, 3]), rng())
    torch.testing.assert_close(all_of_them.value, labelled.value)
    pulls = torch.autograd.grad(all_of_them.value, list(bench.backbone.parameters()))
    for one, two in zip(pulls, torch.autograd.grad(labelled.value, list(bench.backbone.parameters())), strict=True):
        torch.testing.assert_close(one, two)
        assert one.isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    bench = Bench(weighing="uncertainty", hidden=3)
    names = ["of_examples.out.weight", "of_elements.out.weight", "trunk.weight", "uncertainty.parameter"]
    assert gradients_are_true(bench, names, rng)


def test_heads_that_share_nothing_learn_as_if_alone() -> None:
    """Labels of other heads never change what a head's own layer is pulled to."""
    both = Bench({"gap": COLUMNS["gap"], "toxic": COLUMNS["toxic"]})
    alone = Bench({"gap": COLUMNS["gap"]})
    first, second = both.objective.of_examples, alone.objective.of_examples
    assert first is not None and second is not None
    with torch.no_grad():
        second.out.weight.copy_(first.out.weight[:1])
    one = torch.autograd.grad(both.objective(both.backbone, both.batch, rng()).value, first.out.weight)[0][:1]
    two = torch.autograd.grad(alone.objective(alone.backbone, alone.batch, rng()).value, second.out.weight)[0]
    torch.testing.assert_close(2 * one, two)


def test_the_last_loss_of_a_head_stays_in_the_log() -> None:
    bench = Bench()
    first = bench.objective(bench.backbone, bench.batch, rng()).terms["tags.loss"]
    later = bench.objective(bench.backbone, bench.batch.select([3]), rng()).terms["tags.loss"]
    assert first == later and "recent" in bench.objective.state_dict()
    bench.objective.eval()
    other = bench.objective(bench.backbone, bench.batch.select([4]), rng()).terms["tags.loss"]
    again = bench.objective(bench.backbone, bench.batch.select([3]), rng()).terms["tags.loss"]
    assert other != again and again == first, "an evaluation changes nothing"


def test_settled_heads_build_without_a_corpus_and_survive_plain_data() -> None:
    bench = Bench()
    again = PropertiesSpec.parse(bench.spec.plain())
    assert again == bench.spec and again.target == bench.spec.target
    assert again.settled(bench.data, bench.domain) == bench.spec
    again.build(bench.domain, bench.backbone, seed=0)
    with pytest.raises(InputError, match=r"objective\.heads is not known before a corpus is read"):
        PropertiesSpec.parse({"heads": ["gap"]}).build(bench.domain, bench.backbone)


def test_two_parts_of_a_battery_keep_their_labels_apart() -> None:
    parts = [
        {"objective": {"kind": "properties", "heads": ["gap"]}, "name": "a"},
        {"objective": {"kind": "properties", "heads": ["toxic", "tags"]}, "name": "b", "weight": 2.0},
        {"objective": {"kind": "masked"}},
    ]
    bench = Bench()
    spec = BatterySpec.parse({"parts": parts}).settled(bench.data, bench.domain)
    assert spec.reads_labels
    data = spec.attach(bench.data, bench.domain)
    batch = bench.domain.collate([data[i] for i in range(5)])
    loss = spec.build(bench.domain, bench.backbone, 0).double()(bench.backbone, batch, rng())
    loss.value.backward()
    assert {"a.loss", "a.gap.loss", "b.toxic.loss", "b.tags.loss", "masked.accuracy"} <= set(loss.terms)


def test_what_is_guessed_is_of_one_kind_or_refused() -> None:
    values = Bench({"gap": COLUMNS["gap"], "pair": COLUMNS["pair"]})
    guess = values.objective.guess(values.backbone, values.batch, rng())
    assert guess.kind == "values" and guess.output.shape == (5, 3) and guess.owner.tolist() == [0, 1, 2, 3, 4]
    labels = Bench({"toxic": COLUMNS["toxic"]})
    assert labels.objective.guess(labels.backbone, labels.batch, rng()).owner.tolist() == [0, 1, 3, 4]
    classes = Bench({"kind": COLUMNS["kind"]})
    assert classes.objective.guess(classes.backbone, classes.batch, rng()).target.tolist() == [1, 0, 2]
    bare = replace(classes.batch, targets={})
    assert classes.objective.guess(classes.backbone, bare, rng()).target.tolist() == [-1] * 5
    mixed = Bench()
    assert not mixed.objective.guesses
    with pytest.raises(InputError, match="predicts no single item"):
        mixed.objective.guess(mixed.backbone, mixed.batch, rng())


def test_columns_of_one_value_may_be_left_out() -> None:
    columns = {"gap": COLUMNS["gap"], "same": [1, 1, None, 1, 1], "none": [None] * 5}
    heads = Bench(columns, constant="drop").spec.heads
    assert isinstance(heads, dict) and list(heads) == ["gap"]
    with pytest.raises(InputError, match="no column is left: all of same, none hold one value"):
        Bench({n: columns[n] for n in ("same", "none")}, constant="drop")


WORDS = ["a", "b", "a", "b", "a"]


@pytest.mark.parametrize(
    ("column", "head", "message"),
    [
        (WORDS, {"column": "labell"}, r"heads\.x: no column 'labell' was read; did you mean 'label'"),
        ([2.0] * 5, {}, r"column 'label' holds only '2'; .*leave it out, or set objective\.constant=drop"),
        (["a"] * 5, {"kind": "classes"}, "column 'label' holds only 'a'; a head needs different labels"),
        (
            ["?", "-1", "1", "1", "1"],
            {"kind": "classes"},
            "holds only '1'; a classification needs at least two classes",
        ),
        ([[1.0, 2.0]] * 4 + [None], {}, "holds only 1, 2; a head needs different values"),
        ([1, 1, None, 1, 1], {"kind": "binary"}, "column 'label' holds only '1'; a head needs different labels"),
        ([1, 1, -1, 1, 1], {"kind": "binary"}, "holds only 1; a label needs both 0 and 1"),
        ([None] * 5, {}, "column 'label' holds no label at all"),
        ([1.0, 2.0, math.inf, 3.5, 4.0], {}, "row 3: 'label' is infinite"),
        ([1.0, 2.0, "high", 3.5, 4.0], {"kind": "value"}, "row 3: 'label' is 'high'; valid: a finite number"),
        ([1, 0, 2, 1, 0], {"kind": "binary"}, "row 3: 'label' holds '2'; valid: 0, 1, yes, no or nothing"),
        (WORDS, {"classes": ["a", "c"]}, "row 2: 'label' holds 'b'; known classes: a, c"),
        ([f"w{i}" * 9 for i in range(4)] + ["w0"], {"kind": "classes", "extensive": True}, "extensive: only a value"),
        (WORDS, {"extensive": True}, "'label' is classes per example; extensive is for a value per example"),
        (["HE"] * 4 + ["H"], {"per": "element"}, "row 1: 'label' labels 2 elements, but the example has 8"),
        ([[0.5] * 8, [0.1] * 5, None, None, None], {}, "row 2: 'label' labels 5 elements, but the example has 6"),
        ([[0.5, 1.0], 2.0, None, None, None], {}, "row 2: 'label' is a single value, and elsewhere a list"),
        (
            [[0.5, 1.0], [1.0, 2.0, 3.0], None, None, None],
            {"kind": "values", "per": "example"},
            "holds 3 numbers; valid: 2",
        ),
        (
            [[1.0, 2.0, 3.5]] + [[0.0, 1.0, 2.0]] * 4,
            {"kind": "vector"},
            r"heads\.x: a vector needs a backbone whose features turn",
        ),
        ([1.0, 2.5, 3.0, 4.0, 5.0], {"scale": [1.0, 2.0]}, "scale of 'label' has 2 numbers; valid: 1"),
        ([1.0, 2.5, 3.0, 4.0, 5.0], {"extensive": True}, "a potential needs structures of atoms"),
    ],
)
def test_mistakes_are_told_in_a_line(column: list[Any], head: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Bench({"label": column}, heads={"x": {"column": "label", **head}})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({"x": {"knd": "value"}}, r"unknown key 'heads\.x\.knd'; did you mean 'kind'"),
        ({"x": {"kind": "number"}}, r"heads\.x\.kind: .*'value'.*found 'number'"),
        ({"x": {"classes": ["a", "a"]}}, "classes repeat a name"),
        ({"x": {"kind": "value", "classes": ["a", "b"]}}, "classes are of kind classes, not value"),
        ({"x": {"scale": [0.0]}}, "scale must be above 0"),
        ({}, "heads"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(heads: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PropertiesSpec.parse({"heads": heads})


def test_a_corpus_whose_labels_are_not_named_is_refused() -> None:
    domain = DnaSpec(length=16).build()
    with pytest.raises(InputError, match=r"name them in corpus\.label, or in objective\.heads"):
        PropertiesSpec().settled(domain.read(Arrays(SEQUENCES)), domain)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([0, 1, 1, 0, 1], "binary"),
        ([0.0, 1.0, NAN, 0.0, 1.0], "binary"),
        ([0, 1, -1, 0, 1], "binary"),
        ([True, False, True, True, False], "binary"),
        (["no", "yes", "", "no", "yes"], "binary"),
        ([3, 4, 3, 4, 4], "classes"),
        (["3", "4", "3", "4", "4"], "classes"),
        (["x", "y", "", "y", "x"], "classes"),
        ([1, 2, 3, 4, 5], "value"),
        ([0.5, 1.0, 0.5, 1.0, 1.0], "value"),
        (["0.5", "", "1e3", "-1", "2"], "value"),
    ],
)
def test_kinds_of_single_values(column: list[Any], kind: str) -> None:
    heads = Bench({"label": column}).spec.heads
    assert isinstance(heads, dict) and (heads["label"].kind, heads["label"].per) == (kind, "example")


def test_strings_with_separators_are_labels_of_elements() -> None:
    texts = ["0.5 1 2 3 4 5 6 7", "", "1 2 ? 4.5", "", ""]
    bench = Bench(
        {"label": texts}, heads={"x": {"column": "label", "per": "element", "separator": " ", "kind": "value"}}
    )
    target = bench.batch.element_targets[bench.spec.target]
    assert target.isfinite().sum() == 11 and target.shape == (int(bench.batch.offsets[-1]), 1)


class Atoms:
    """Structures of atoms with numbers, vectors and energies, and an equivariant network in float64."""

    def __init__(self, heads: dict[str, Any] | None = None) -> None:
        draw = np.random.default_rng(0)
        sizes = [3, 4, 5, 4]
        rows = [Structure(np.array([6, 1, 8, 1, 7])[:n], draw.normal(0, 1.5, (1, n, 3))) for n in sizes]
        own = {1: -13.0, 6: -1000.0, 7: -1500.0, 8: -2000.0}
        self.energies = [sum(own[int(z)] for z in s.numbers) + draw.normal() for s in rows]
        columns: dict[str, list[Any]] = {
            "dipole": [draw.normal(size=3) for _ in rows],
            "forces": [draw.normal(size=(n, 3)) for n in sizes],
            "charges": [draw.normal(size=n) for n in sizes[:3]] + [np.full(4, NAN)],
            "energy": self.energies,
        }
        columns["dipole"][1] = np.full(3, NAN)
        self.domain = AtomsSpec(cutoff=4.0, closest=0.0).build()
        self.raw = self.domain.read(Arrays(rows, columns, label=list(columns)))
        usual: dict[str, Any] = {"dipole": {}, "forces": {}, "charges": {}, "energy": {"extensive": True}}
        spec = PropertiesSpec.parse({"heads": heads or usual})
        self.spec = spec.settled(self.raw, self.domain)
        self.data = self.spec.attach(self.raw, self.domain)
        self.backbone = EquivariantSpec(width=8, depth=2, radial=6).build(self.domain.inputs, 0).double()
        built = self.spec.build(self.domain, self.backbone, 1).double()
        assert isinstance(built, Properties)
        self.objective = built
        batch = self.domain.collate([self.data[i] for i in range(4)])
        assert batch.positions is not None and batch.edge_inputs is not None
        self.batch = replace(
            batch, positions=batch.positions.double(), edge_inputs=batch.edge_inputs.double(), cell=None
        )


def test_three_numbers_of_atoms_are_vectors_and_energies_lose_what_elements_explain() -> None:
    atoms = Atoms()
    heads = atoms.spec.heads
    assert isinstance(heads, dict)
    kinds = {n: (h.kind, h.per) for n, h in heads.items()}
    assert kinds == {
        "dipole": ("vector", "example"),
        "forces": ("vector", "element"),
        "charges": ("value", "element"),
        "energy": ("value", "example"),
    }
    assert heads["dipole"].centre == [0.0] * 3 and len(set(heads["dipole"].scale or ())) == 1
    target = atoms.batch.targets[atoms.spec.target][:, 0].double().numpy()
    refs, centre, scale = (
        heads["energy"].references or {},
        (heads["energy"].centre or [])[0],
        (heads["energy"].scale or [])[0],
    )
    for i, energy in enumerate(atoms.energies):
        numbers = atoms.raw.store[i][4:, 0].astype(int)
        explained = sum(refs.get(int(z), 0.0) for z in numbers)
        assert target[i] == pytest.approx(((energy - explained) / len(numbers) - centre) / scale, rel=1e-4, abs=1e-5)
    assert np.abs(target).max() < 3


def test_vector_heads_equal_a_loop_and_turn_with_the_structure() -> None:
    atoms = Atoms()
    batch, features = atoms.batch, atoms.backbone(atoms.batch)
    assert features.vectors is not None
    for level in (atoms.objective.of_examples, atoms.objective.of_elements):
        assert level is not None and level.turning is not None
        said = level.turning(features, level.per)
        each = torch.stack(
            [
                vectors @ (F.silu(level.turning.gate(row)) * level.turning.out.weight[0])
                for vectors, row in zip(features.vectors, features.elements, strict=True)
            ]
        )
        if level.per == "example":
            each = torch.stack([part.sum(0) for part in each.split(batch.lengths.tolist())])
        torch.testing.assert_close(said, each)
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=rng(1)))[0]
        moved = atoms.backbone(turned(batch, turn.expand(4, 3, 3)))
        torch.testing.assert_close(said @ turn, level.turning(moved, level.per))
        assert said.abs().max() > 1e-3


def test_gradients_of_vector_heads_are_those_of_finite_differences() -> None:
    atoms = Atoms()
    names = ["of_examples.turning.gate.weight", "of_elements.turning.out.weight"]
    assert gradients_are_true(atoms, names, rng)


def test_a_vector_may_be_learnt_as_three_numbers() -> None:
    atoms = Atoms({"dipole": {"kind": "values"}, "energy": {}})
    heads = atoms.spec.heads
    assert isinstance(heads, dict) and heads["dipole"].size == 3
    loss = atoms.objective(atoms.backbone, atoms.batch, rng())
    assert loss.value.isfinite() and atoms.objective.of_elements is None


def test_answers_are_in_the_units_of_the_labels_and_need_none() -> None:
    bench = Bench()
    plain = bench.domain.read(Arrays(SEQUENCES))
    batch = bench.domain.collate([plain[i] for i in range(5)])
    said = answers(bench.objective, bench.backbone, batch)
    assert list(said) == list(bench.objective.heads)
    heads, level, elements = bench.objective.heads, bench.objective.of_examples, bench.objective.of_elements
    assert level is not None and elements is not None
    pooled = bench.backbone(batch).pooled("mean")
    raw = level.out(pooled)
    gap = heads["gap"]
    assert gap.scale and gap.centre
    torch.testing.assert_close(said["gap"], raw[:, 0] * gap.scale[0] + gap.centre[0])
    assert said["pair"].shape == (5, 2) and said["charge"].shape == (int(batch.offsets[-1]),)
    assert said["kind"].shape == (5, 3) and said["tags"].shape == (int(batch.offsets[-1]), 2)
    torch.testing.assert_close(said["kind"].sum(1), torch.ones(5, dtype=torch.float64))
    assert ((said["toxic"] > 0) & (said["toxic"] < 1)).all()


def test_extensive_answers_add_up_over_distant_parts() -> None:
    atoms = Atoms({"energy": {"extensive": True}})
    batch = atoms.batch
    assert batch.positions is not None
    said = answers(atoms.objective, atoms.backbone, batch)["energy"]
    far = batch.positions + 1000.0 * batch.segments[:, None]
    both = replace(batch, positions=far, offsets=batch.offsets[[0, -1]], targets={}, whole=None)
    together = answers(atoms.objective, atoms.backbone, both)["energy"]
    torch.testing.assert_close(together[0], said.sum(), rtol=1e-9, atol=1e-9)
    assert abs(float(said[0]) - atoms.energies[0]) < 50.0, "the elements' own energies are put back"
