"""A battery equals the weighted sum of its parts, and one part alone is that objective bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains import DnaSpec
from exapt.domains.base import Arrays, Dataset, Domain
from exapt.errors import InputError
from exapt.objectives import Battery, BatterySpec, MaskedSpec, ObjectiveSpec, SimclrSpec, SupervisedSpec
from exapt.objectives.base import Objective
from exapt.spec import Spec

SEQUENCES = ["ACGTACGTAC", "AAAAAAAATTTT", "CCCCGG", "GTGTGTACAC", "ACACTTGCATGC", "TTTTACGT"]
KINDS = ["a", "b", "a", "b", "", "a"]
MASKED, CLASSES = {"kind": "masked"}, {"kind": "supervised"}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Bench:
    """Six sequences, their batch, and a fresh network of one seed."""

    def __init__(self) -> None:
        self.domain: Domain = DnaSpec(length=16, reverse_complement=False).build()
        self.data: Dataset = self.domain.read(Arrays(SEQUENCES, {"kind": KINDS}, label="kind"))

    def network(self) -> Backbone:
        return TransformerSpec(size="nano", depth=1).build(self.domain.inputs, seed=0)

    def objective(self, spec: ObjectiveSpec, backbone: Backbone, seed: int = 7) -> tuple[Objective, Batch]:
        settled = spec.settled(self.data, self.domain)
        data = settled.attach(self.data, self.domain)
        batch = self.domain.collate([data[i] for i in range(len(data))])
        return settled.build(self.domain, backbone, seed), batch


def battery(*parts: object) -> BatterySpec:
    return BatterySpec.parse({"parts": list(parts)})


def gradients(value: torch.Tensor, *networks: nn.Module) -> list[torch.Tensor]:
    wanted = [p for network in networks for p in network.parameters()]
    found = torch.autograd.grad(value, wanted, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(wanted, found, strict=True)]


@pytest.mark.parametrize("spec", [MaskedSpec(), SupervisedSpec(), SimclrSpec()], ids=lambda spec: spec.kind)
def test_one_part_of_weight_one_is_that_objective_bit_for_bit(spec: ObjectiveSpec) -> None:
    bench = Bench()
    one, two = bench.network(), bench.network()
    alone, batch = bench.objective(spec, one)
    part, _ = bench.objective(battery({"objective": spec.plain()}), two)
    first, second = rng(), rng()
    want, have = alone(one, batch, first), part(two, batch, second)
    assert torch.equal(want.value, have.value) and want.count == have.count
    assert torch.equal(first.get_state(), second.get_state())
    for a, b in zip(gradients(want.value, one, alone), gradients(have.value, two, part), strict=True):
        assert torch.equal(a, b)


def test_the_sum_is_the_weighted_sum_of_losses_and_of_gradients() -> None:
    bench = Bench()
    network = bench.network()
    spec = battery({"objective": MASKED, "weight": 0.5}, {"objective": CLASSES, "weight": 3.0})
    objective, batch = bench.objective(spec, network)
    assert isinstance(objective, Battery)
    parts = {part.name: part for part in objective.losses(network, batch, rng())}
    whole = objective(network, batch, rng())
    wanted = 0.5 * parts["masked"].loss.value + 3.0 * parts["supervised"].loss.value
    assert float(whole.value.detach()) == pytest.approx(float(wanted.detach()), rel=1e-6)
    sums = [0.5 * a + 3.0 * b for a, b in zip(*(gradients(p.loss.value, network) for p in parts.values()), strict=True)]
    for a, b in zip(gradients(whole.value, network), sums, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    assert whole.count == len(batch)
    assert float(torch.as_tensor(whole.terms["masked.loss"])) == float(parts["masked"].loss.value.detach())
    assert {"masked.accuracy", "supervised.loss", "supervised.accuracy"} <= set(whole.terms)


def test_a_part_more_or_another_order_behind_the_first_changes_no_draws() -> None:
    bench = Bench()
    other = {"objective": {"kind": "masked", "ratio": 0.5}, "name": "half"}
    views = {"objective": {"kind": "simclr"}}

    def losses(*parts: object) -> dict[str, float]:
        network = bench.network()
        objective, batch = bench.objective(battery(*parts), network)
        assert isinstance(objective, Battery)
        return {part.name: float(part.loss.value.detach()) for part in objective.losses(network, batch, rng())}

    few = losses({"objective": MASKED}, other)
    more = losses({"objective": MASKED}, views, other)
    assert few == {name: more[name] for name in few}
    alone = losses({"objective": MASKED})
    assert alone["masked"] == few["masked"]
    twins = losses({"objective": MASKED}, {"objective": MASKED, "name": "again"})
    assert twins["masked"] != twins["again"]


def test_every_batch_has_draws_of_its_own() -> None:
    bench = Bench()
    network = bench.network()
    objective, batch = bench.objective(battery({"objective": CLASSES}, {"objective": MASKED}), network)
    assert isinstance(objective, Battery)
    lasting = rng()
    first = [float(objective.losses(network, batch, lasting)[1].loss.value.detach())]
    torch.rand(1, generator=lasting)
    first.append(float(objective.losses(network, batch, lasting)[1].loss.value.detach()))
    assert first[0] != first[1]


def test_a_battery_within_a_battery_is_the_flat_sum() -> None:
    bench = Bench()
    inner = {"kind": "battery", "parts": [{"objective": CLASSES, "weight": 2.0}]}
    network = bench.network()
    nested, batch = bench.objective(battery({"objective": MASKED}, {"objective": inner, "name": "supervised"}), network)
    flat, _ = bench.objective(battery({"objective": MASKED}, {"objective": CLASSES, "weight": 2.0}), network)
    one, two = nested(network, batch, rng()), flat(network, batch, rng())
    assert float(one.value.detach()) == pytest.approx(float(two.value.detach()), rel=1e-6)


def test_what_the_corpus_decides_is_written_into_the_parts() -> None:
    bench = Bench()
    spec = battery({"objective": MASKED}, {"objective": CLASSES}).settled(bench.data, bench.domain)
    assert spec.parts[1].objective.plain()["classes"] == ["a", "b"]
    again = BatterySpec.parse(spec.plain())
    assert again == spec
    again.build(bench.domain, bench.network(), seed=0)


def test_names_reading_labels_and_judging_follow_from_the_parts() -> None:
    several = battery({"objective": MASKED}, {"objective": {"kind": "byol"}}, {"objective": MASKED})
    assert several.names == ["masked", "byol", "masked-2"]
    assert not several.judges and not several.reads_labels
    assert battery({"objective": MASKED}, {"objective": CLASSES}).reads_labels
    assert battery({"objective": MASKED}).judges


def test_the_count_is_that_of_examples_and_nothing_without_items() -> None:
    bench = Bench()
    network = bench.network()
    objective, batch = bench.objective(battery({"objective": CLASSES}, {"objective": CLASSES, "name": "b"}), network)
    assert objective(network, batch, rng()).count == len(batch)
    assert objective(network, batch.select([4]), rng()).count == 0


def test_micro_batches_add_up_to_one_batch_where_every_example_has_as_many_items() -> None:
    bench = Bench()
    network = bench.network()
    spec = battery({"objective": CLASSES}, {"objective": CLASSES, "weight": 2.0, "name": "more"})
    objective, batch = bench.objective(spec, network)

    def mean(*batches: list[int]) -> float:
        losses = [objective(network, batch.select(places), rng()) for places in batches]
        return sum(float(loss.value.detach()) * loss.count for loss in losses) / sum(loss.count for loss in losses)

    assert mean([0, 1, 2], [3, 5]) == pytest.approx(mean([0, 1, 2, 3, 5]), rel=1e-6)
    unlike = mean([0, 1, 4], [3, 5])  # example 4 has no class: its micro-batch's mean weighs three examples, not two
    assert unlike != pytest.approx(mean([0, 1, 3, 4, 5]), rel=1e-3)


def test_guesses_come_from_an_only_part() -> None:
    bench = Bench()
    network = bench.network()
    one, batch = bench.objective(battery({"objective": CLASSES}), network)
    assert one.guesses and one.guess(network, batch, rng()).kind == "classes"
    two, _ = bench.objective(battery({"objective": CLASSES}, {"objective": MASKED}), network)
    assert not two.guesses
    with pytest.raises(InputError, match="Battery: predicts no single item"):
        two.guess(network, batch, rng())


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "List should have at least 1 item"),
        ([{"objective": {"kind": "maskd"}}], r"parts\.0\.objective\.kind 'maskd' is unknown; did you mean 'masked'"),
        ([{"objective": {"kind": "masked", "ratoi": 1}}], r"'parts\.0\.objective\.ratoi'; did you mean 'ratio'"),
        (
            [{"objective": {"kind": "battery", "parts": [{"objective": {"kind": "masked", "ratoi": 1}}]}}],
            r"'parts\.0\.objective\.parts\.0\.objective\.ratoi'; did you mean 'ratio'",
        ),
        ([{"objective": MASKED, "weight": 0}], "greater than 0"),
        ([{"objective": MASKED, "name": "a.b"}], r"part name 'a\.b': small letters"),
        ([{"objective": MASKED, "name": "x"}, {"objective": CLASSES, "name": "x"}], "two parts are named 'x'"),
        ([{"weight": 1}], r"parts\.0\.objective is missing"),
    ],
)
def test_batteries_that_make_no_sense_are_refused(parts: list[object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        battery(*parts)


def test_specs_hold_batteries_of_every_kind() -> None:
    class Holder(Spec):
        objective: ObjectiveSpec

    plain = {"kind": "battery", "parts": [{"objective": {"kind": "battery", "parts": [{"objective": MASKED}]}}]}
    held = Holder.parse({"objective": plain})
    assert isinstance(held.objective, BatterySpec)
    assert Holder.parse(held.plain()) == held
    assert "PartSpec" in str(Holder.model_json_schema())
