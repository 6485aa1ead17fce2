"""Objectives over views: one pass equals one by one, the average network, small batches, golden runs, collapse."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from contrast_standins import Moved, field, short_run
from objective_standins import Letters, Running, letters_batch

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features
from exapt.domains import DnaSpec, ProteinSpec, TableSpec, TextSpec, from_arrays
from exapt.errors import InputError
from exapt.objectives import ByolSpec, MaskedSpec, SigregSpec, SimclrSpec, SimsiamSpec, VicregSpec
from exapt.objectives import views as views_file
from exapt.objectives.byol import Byol
from exapt.training.optimiser import parameter_groups

EVERY: list[Any] = [SimclrSpec(), VicregSpec(), ByolSpec(), SimsiamSpec(), SigregSpec(slices=32)]
NAMES = [spec.kind for spec in EVERY]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def proteins(count: int = 12) -> tuple[Any, Any, Batch]:
    domain = ProteinSpec(length=24).build()
    draw = torch.randint(0, 20, (count, 20), generator=rng())
    texts = ["".join("ACDEFGHIKLMNPQRSTVWY"[i] for i in row[: 5 + n]) for n, row in enumerate(draw)]
    data = domain.read(from_arrays(texts))
    backbone = TransformerSpec(width=16, depth=1, heads=1).build(domain.inputs, seed=0)
    return domain, backbone, domain.collate([data[i] for i in range(count)])


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_one_pass_over_all_views_equals_one_by_one(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    domain, backbone, batch = proteins()
    found = []
    for together in (True, False):
        objective = spec.build(domain, backbone, seed=0)
        if not together:
            monkeypatch.setattr(views_file, "joinable", lambda _: False)
        loss = objective(backbone, batch, rng(5))
        found.append((loss.value, torch.autograd.grad(loss.value, list(backbone.parameters()))))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_terms_are_detached_and_evaluation_repeats_itself(spec: Any) -> None:
    domain, backbone, batch = proteins()
    objective = spec.build(domain, backbone, seed=0)
    loss = objective(backbone, batch, rng())
    assert loss.count == len(batch) and loss.value.requires_grad
    assert {"alignment", "uniformity"} <= set(loss.terms)
    assert not any(torch.as_tensor(term).requires_grad for term in loss.terms.values())
    objective.eval()
    before = copy.deepcopy(objective.state_dict())
    first, again = (float(objective(backbone, batch, rng(3)).value.detach()) for _ in range(2))
    assert first == again
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.state_dict().items())


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_a_batch_of_one_example_counts_for_nothing(spec: Any) -> None:
    domain, backbone, batch = proteins()
    objective = spec.build(domain, backbone, seed=0)
    loss, usual = objective(backbone, batch.select([0]), rng()), objective(backbone, batch, rng())
    assert loss.count == 0 and float(loss.value.detach()) == 0 and list(loss.terms) == list(usual.terms)
    loss.value.backward()
    assert objective(backbone, batch.select([0, 1]), rng()).value.isfinite()


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_a_domain_without_views_is_refused(spec: Any) -> None:
    with pytest.raises(InputError, match="Letters has no views of an example to compare; valid here: masked"):
        spec.build(Letters(), Running(), seed=0)
    with pytest.raises(InputError, match="no single item"):
        spec.build(*proteins()[:2], seed=0).guess(Running(), letters_batch([3]), rng())
    assert MaskedSpec().build(Letters(), Running(), seed=0).guesses


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_weights_follow_the_seed_and_only_matrices_decay(spec: Any) -> None:
    domain, backbone, _ = proteins()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, same, other = (spec.build(domain, backbone, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state), "fresh weights draw from their own seed alone"
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    objective = spec.build(domain, backbone, seed=0)
    decays, free = parameter_groups(objective.parameters(), 1e-3, 0.1)
    assert {p.ndim for p in decays["params"]} == {2} and {p.ndim for p in free["params"]} == {1}
    assert free["weight_decay"] == 0 and not any(name.startswith("target") for name, _ in objective.named_parameters())


def test_projectors_take_a_users_shape() -> None:
    domain, backbone, batch = proteins()
    keys = {"projector": {"hidden": 24, "width": 8, "layers": 3, "norm": "layer"}, "pooling": "max"}
    objective = SimclrSpec.parse(keys).build(domain, backbone, seed=0)
    shapes = [tuple(p.shape) for p in objective.parameters() if p.ndim == 2]
    assert shapes == [(24, 16), (24, 24), (8, 24)]
    plain = SimclrSpec.parse({"projector": {"layers": 0}}).build(domain, backbone, seed=0)
    assert not list(plain.parameters()) and plain(backbone, batch, rng()).value.isfinite()


def test_the_average_network_moves_in_training_only_and_by_its_momentum() -> None:
    domain, backbone, batch = proteins()
    objective = ByolSpec(momentum=0.75).build(domain, backbone, seed=0)
    assert isinstance(objective, Byol)
    name = "stack.layers.0.mlp.Wi.weight"
    weight = backbone.get_parameter(name)
    with torch.no_grad():
        weight += 1.0  # weights that were loaded after the objective was built
    objective(backbone, batch, rng())
    assert torch.equal(objective.target.get_buffer(name), weight), "the first step begins with a copy"
    with torch.no_grad():
        weight += 1.0
    objective(backbone, batch, rng())
    torch.testing.assert_close(objective.target.get_buffer(name), weight - 0.75)
    objective.eval()(backbone, batch, rng())
    torch.testing.assert_close(objective.target.get_buffer(name), weight - 0.75)
    twin = ByolSpec(momentum=0.75).build(domain, backbone, seed=1)
    twin.load_state_dict(objective.state_dict())
    assert int(twin.get_buffer("updates")) == 2


def test_no_gradient_goes_through_what_is_predicted() -> None:
    domain, backbone, batch = proteins()
    goals = ByolSpec().build(domain, backbone, seed=0)
    goals(backbone, batch, rng()).value.backward()
    assert not any(tensor.requires_grad for tensor in goals.target.buffers())
    free, held = (SimsiamSpec(stop_gradient=stop).build(domain, backbone, seed=0) for stop in (False, True))
    values = [one(backbone, batch, rng()).value for one in (free, held)]
    weights = [one.projector.layers[0].weight for one in (free, held)]
    pulls = [torch.autograd.grad(value, weight)[0] for value, weight in zip(values, weights, strict=True)]
    assert torch.equal(*values) and not torch.allclose(*pulls)


ROWS = [{"age": 20 + i, "work": "abc"[i % 3], "hours": i % 7} for i in range(20)]
FIELDS: dict[str, Any] = {
    "text": (TextSpec(tokens="characters", length=16), [f"number {i} of twenty" for i in range(20)]),
    "dna": (DnaSpec(length=16), ["ACGT" * 4, "GGGCCC", "TTTACA"] * 7),
    "table": (TableSpec(), ROWS),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_same_loss_trains_every_field_of_tokens(name: str) -> None:
    spec, values = FIELDS[name]
    source = from_arrays(values)
    domain = spec.build(source)
    data = domain.read(source)
    backbone = TransformerSpec(width=16, depth=1, heads=1).build(domain.inputs, seed=0)
    loss = SimclrSpec().build(domain, backbone, seed=0)(backbone, domain.collate([data[i] for i in range(20)]), rng())
    loss.value.backward()
    assert loss.count == 20 and loss.value.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


class Graph(Letters):
    """Nodes of one graph; a view lacks some numbers of every node."""

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        stays = [torch.rand(batch.inputs.shape[1], generator=rng) < 0.7 for _ in range(count)]
        return [replace(batch, inputs=batch.inputs * one) for one in stays]


class Messages(Backbone):
    """Each node beside the sum of what its neighbours send."""

    width = 6

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(6) + 0.1)

    @property
    def blocks(self) -> list[torch.nn.Module]:
        return [self]

    def forward(self, batch: Batch) -> Features:
        assert batch.edges is not None
        summed = batch.inputs.index_add(0, batch.edges[1], batch.inputs[batch.edges[0]])
        return Features((summed @ self.weight).relu()[: int(batch.offsets[-1])], batch.offsets)


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_nodes_of_a_graph_are_examples_too(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = rng(1)
    batch = Batch(
        torch.randn(14, 6, generator=draw),
        torch.arange(10),
        edges=torch.randint(0, 14, (2, 40), generator=draw),
        linked=True,
    )
    found = []
    for together in (True, False):
        objective = spec.build(Graph(), Messages(), seed=0)
        if not together:
            monkeypatch.setattr(views_file, "joinable", lambda _: False)
        loss = objective(Messages(), batch, rng(2))
        assert loss.count == 9
        found.append(loss.value.detach())
    torch.testing.assert_close(*found)


def test_pictures_of_unlike_views_are_encoded_one_by_one() -> None:
    domain, data = field(patch=4)
    batch = domain.collate([data[i] for i in range(6)])
    backbone = TransformerSpec(width=16, depth=1, heads=1).build(domain.inputs, seed=0)

    class Cropped(Moved):
        def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
            small = replace(batch, inputs=batch.inputs[:, :, :4, :4], offsets=torch.arange(len(batch) + 1))
            return [batch, small]

    domain.__class__ = Cropped
    assert SimclrSpec().build(domain, backbone, seed=0)(backbone, batch, rng()).value.isfinite()


GOLDEN = {"simclr": 0.15, "vicreg": 0.1, "byol": 0.06, "simsiam": 0.08, "sigreg": 0.15}
"""What each must gain in 200 steps over the network as it began; at seed 0 it was 0.25, 0.21, 0.15, 0.17 and 0.25."""


@pytest.mark.parametrize("spec", EVERY, ids=NAMES)
def test_a_short_run_beats_the_network_it_began_as(spec: Any) -> None:
    ran = short_run(spec, steps=200, lr=2e-3, every=25)
    assert ran.after > ran.before + GOLDEN[spec.kind]
    assert ran.monitor.alarm is None


COLLAPSING: list[Any] = [
    SimclrSpec(negatives=False),
    VicregSpec(variance=0, covariance=0),
    SimsiamSpec.parse({"stop_gradient": False, "projector": {"norm": "none"}}),
]


@pytest.mark.parametrize("spec", COLLAPSING, ids=["simclr", "vicreg", "simsiam"])
def test_a_planted_collapse_raises_the_alarm(spec: Any) -> None:
    ran = short_run(spec, steps=120, lr=2e-3)
    assert ran.monitor.alarm and "COLLAPSED" in ran.monitor.alarm["state"]
    assert ran.after < ran.before


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_healthy_and_planted_runs_over_more_seeds(seed: int) -> None:
    """Accuracy tells them apart without fail; the alarm errs, as docs/objectives.md says."""
    healthy = [short_run(spec, seed, steps=200, lr=2e-3, every=25) for spec in EVERY]
    planted = [short_run(spec, seed, steps=200, lr=2e-3, every=25) for spec in COLLAPSING]
    assert all(ran.after > ran.before + 0.05 for ran in healthy)
    assert all(ran.after < ran.before for ran in planted)
    assert sum(ran.monitor.alarm is not None for ran in healthy) <= 2
    assert sum(ran.monitor.alarm is not None for ran in planted) >= 2
