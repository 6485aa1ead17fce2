"""A graph network through every way of adapting: frozen, tuned in part, anchored, with LoRA, pruned, resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exapt.adaptation import FinetuneSpec, ProbeSpec, Start, fit
from exapt.adaptation.fisher import fisher
from exapt.adaptation.structured import removed
from exapt.backbones import GraphNet, GraphNetSpec
from exapt.domains import GraphDomain, GraphSpec
from exapt.domains.base import Dataset, Source
from exapt.errors import InputError
from exapt.objectives import CommunitiesSpec, RebuildSpec
from exapt.tasks import ClassifySpec
from exapt.tasks.base import Task
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec
from exapt.training.watcher import Watcher

pytest.importorskip("torch_geometric")

SOURCE = Source(path="sbm:nodes=60,communities=2,inside=0.2,outside=0.02,features=6,signal=0.5,seed=1", label="label")
QUICK: dict[str, Any] = {"rates": [0.01], "min_steps": 6, "max_steps": 6, "evaluations": 2, "batch": 16}


@pytest.fixture(scope="module")
def field() -> tuple[GraphDomain, Dataset, Task]:
    domain = GraphSpec().build(SOURCE)
    dataset = domain.read(SOURCE)
    task = ClassifySpec().build(dataset)
    return domain, task.attach(dataset), task


def network(domain: GraphDomain, **options: Any) -> GraphNet:
    return GraphNetSpec(**{"width": 8, "depth": 3, "heads": 2, **options}).build(domain.inputs, seed=0)


def changed(before: GraphNet, after: Any) -> list[bool]:
    """Whether each layer moved."""
    return [
        any(not torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
        for a, b in zip(before.layers, after.layers, strict=True)
    ]


@pytest.mark.parametrize(
    ("keys", "moved"),
    [
        ({"last": 1}, [False, False, True]),
        ({"layer_decay": 0.5}, [True, True, True]),
        ({"last": 0}, [False, False, False]),
        ({"anchor": [{"kind": "l2sp", "alphas": [0.001]}]}, [True, True, True]),
        ({"lora": {"rank": 2}}, [True, True, True]),
        ({"prune": {"sparsity": 0.5}}, [True, True, True]),
    ],
    ids=["last", "decay", "head", "l2sp", "lora", "prune"],
)
@pytest.mark.parametrize("conv", ["gcn", "gin", "gat"])
def test_every_way_of_tuning(field: Any, conv: str, keys: dict[str, Any], moved: list[bool]) -> None:
    domain, dataset, task = field
    net = network(domain, conv=conv)
    train, valid = dataset.subset(np.arange(20)), dataset.subset(np.arange(20, 40))
    fitted = fit(FinetuneSpec(**QUICK, **keys), Start(domain, net), task, train, valid, seed=0)
    tuned = fitted.backbone()
    assert changed(net, tuned) == moved
    assert fitted.predict(dataset).shape == (60, 2)
    if "prune" in keys:
        assert isinstance(tuned, GraphNet)
        zeros = sum(int((p == 0).sum()) for n, p in tuned.named_parameters() if n.endswith("lin.weight"))
        assert zeros > 0 or conv == "gin"


def test_the_probe_reads_each_node_once(field: Any) -> None:
    domain, dataset, task = field
    train, valid = dataset.subset(np.arange(20)), dataset.subset(np.arange(20, 40))
    fitted = fit(ProbeSpec(), Start(domain, network(domain)), task, train, valid, seed=0)
    some = fitted.predict(dataset.subset([7, 50]))
    np.testing.assert_allclose(some, fitted.predict(dataset)[[7, 50]], atol=1e-6)


def test_fisher_takes_each_node_by_itself_where_nodes_mix(field: Any) -> None:
    """Neighbours' rows are in each other's gradients, so the fast way is found out and the plain one taken."""
    domain, dataset, _ = field
    spec = CommunitiesSpec().settled(dataset, domain)
    small = spec.attach(dataset, domain).subset(np.arange(4))
    net = network(domain, depth=2)
    objective = spec.build(domain, net, seed=0)
    batch = domain.collate([small[i] for i in range(4)])
    names = dict(net.named_parameters())
    found = fisher(lambda b, rng: objective.guess(net, b, rng), [net, objective], names, [batch], how="empirical")
    assert found.one_by_one
    wanted = {name: torch.zeros_like(p) for name, p in names.items()}
    for place in range(4):
        surprise = objective.guess(net.eval(), batch.select([place]), torch.Generator()).surprise().sum()
        for (name, _), slope in zip(names.items(), torch.autograd.grad(surprise, list(names.values())), strict=True):
            wanted[name] += slope.square() / 4
    for name, value in wanted.items():
        torch.testing.assert_close(found.diagonal[name], value.detach(), msg=name)


def test_an_artifact_knows_how_many_communities_there_were(field: Any, tmp_path: Path) -> None:
    domain, _, _ = field
    artifact = pretrain(
        SOURCE,
        domain.spec,
        GraphNetSpec(width=8, depth=1),
        CommunitiesSpec(),
        TrainingSpec(steps=6, batch=60, holdout=0, monitor={"on": False}),
        tmp_path / "run",
        progress=False,
    )
    assert artifact.specs["objective"]["classes"] == 2
    assert artifact.load_report["objective"].full


def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path) -> None:
    """Batch statistics, the token and dropout are all part of what a checkpoint keeps or a step draws."""
    spec = GraphNetSpec(width=8, depth=2, norm="batch", dropout=0.3)
    training = TrainingSpec(steps=6, batch=30, holdout=0, checkpoint_every=3, monitor={"on": False})
    runs = []
    for name, stop in (("whole", False), ("broken", True)):
        folder = tmp_path / name
        if stop:
            with pytest.raises(KeyboardInterrupt):
                pretrain(
                    SOURCE,
                    GraphSpec(),
                    spec,
                    RebuildSpec(),
                    training,
                    folder,
                    progress=False,
                    watchers=lambda _m, _d: [Stop()],
                )
        done = pretrain(SOURCE, GraphSpec(), spec, RebuildSpec(), training, folder, progress=False)
        runs.append(done.backbone.state_dict() | done.objective.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


class Stop(Watcher):
    """Ends a run after its fifth step, as a user does."""

    name = "stop"

    def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        if step == 5:
            raise KeyboardInterrupt


def test_heads_cannot_be_taken_out(field: Any) -> None:
    with pytest.raises(InputError, match=r"can be taken out of backbone.kind=transformer, not GraphNet"):
        removed(network(field[0]), 0.5)


@pytest.mark.parametrize(("conv", "hops"), [("gin", 2), ("gat", 2), ("gcn", 3)])
def test_enough_hops_equal_the_whole_graph(field: Any, conv: str, hops: int) -> None:
    """GCN weighs a neighbour by its degree, which the last hop does not show: it needs one hop more."""
    _, dataset, _ = field
    net = network(field[0], conv=conv, depth=2).eval()
    some = [dataset[i] for i in (3, 40, 8)]
    near = GraphSpec(neighbours=[-1] * hops).build(SOURCE)
    batch = near.collate(some)
    assert len(batch.inputs) < 60 or conv == "gcn"
    whole = field[0].collate([dataset[i] for i in range(60)])
    torch.testing.assert_close(net(batch).elements, net(whole).elements[[3, 40, 8]], atol=1e-6, rtol=1e-5)
