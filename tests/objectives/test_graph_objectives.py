"""Objectives over graphs: against naive loops, gradients, what they find, and short runs that beat random weights."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from exapt.backbones import GraphNet, GraphNetSpec, TransformerSpec
from exapt.batch import Batch
from exapt.domains import DnaSpec, GraphDomain, GraphSpec
from exapt.domains.base import Dataset, Source
from exapt.domains.links import Links
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, CommunitiesSpec, InfomaxSpec, MaskedSpec, RebuildSpec, finding
from exapt.objectives.base import Objective
from exapt.objectives.communities import Communities, by_size
from exapt.objectives.finding import find_communities
from exapt.objectives.infomax import Infomax
from exapt.objectives.rebuild import Decoder, Rebuild, everyone, scaled_cosine

pytest.importorskip("torch_geometric")
pytest.importorskip("networkx")

PLANTED = "sbm:nodes=240,communities=4,inside=0.15,outside=0.01,features=24,signal=0.35,seed=3"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def planted(path: str = PLANTED, **options: Any) -> tuple[GraphDomain, Dataset]:
    source = Source(path=path)
    domain = GraphSpec(**options).build(source)
    return domain, domain.read(source)


def whole(domain: GraphDomain, dataset: Dataset) -> Batch:
    return domain.collate([dataset[i] for i in range(len(dataset))])


def network(domain: GraphDomain, **options: Any) -> GraphNet:
    return GraphNetSpec(**{"width": 16, "depth": 1, **options}).build(domain.inputs, seed=0)


# Deep Graph Infomax


def test_infomax_is_its_loop() -> None:
    """Velickovic et al. 2019, equation 1 and §4.2.2, one graph after another."""
    objective = Infomax(4, seed=0).double()
    real, other = (torch.randn(7, 4, dtype=torch.double, generator=rng(s)) for s in (1, 2))
    loss = objective.told_apart(real, other, torch.tensor([0, 3, 7]))
    terms, right = [], 0
    for first, last in ((0, 3), (3, 7)):
        summary = torch.sigmoid(real[first:last].sum(0) / (last - first))
        for node in range(first, last):
            for vector, label in ((real[node], 1), (other[node], 0)):
                chance = torch.sigmoid(vector @ objective.bilinear @ summary)
                terms.append(-torch.log(chance if label else 1 - chance))
                right += int((float(chance.detach()) > 0.5) == bool(label))
    assert float(loss.value.detach()) == pytest.approx(float(torch.stack(terms).mean().detach()), rel=1e-12)
    assert float(loss.terms["accuracy"]) == pytest.approx(right / 14)
    assert loss.count == 7


def test_infomax_shuffles_features_within_the_batch_and_keeps_edges() -> None:
    domain, dataset = planted()
    batch, seen = whole(domain, dataset), []

    class Spy(GraphNet):
        def forward(self, batch: Batch) -> Any:
            seen.append(batch)
            return super().forward(batch)

    spy = Spy(GraphNetSpec(width=4, depth=1), domain.inputs)
    loss = InfomaxSpec().build(domain, spy, seed=0)(spy, batch, rng())
    assert loss.count == 240
    assert torch.equal(seen[0].inputs, batch.inputs)
    assert torch.equal(seen[1].edges, batch.edges)
    assert not torch.equal(seen[1].inputs, batch.inputs)
    assert torch.equal(seen[1].inputs.sort(0).values, batch.inputs.sort(0).values)


# GraphMAE


def test_scaled_cosine_is_its_loop() -> None:
    """Hou et al. 2022, equation 2; a node without features has no direction and costs 1."""
    rebuilt, real = (torch.randn(5, 3, dtype=torch.double, generator=rng(s)) for s in (1, 2))
    real[4] = 0
    each = [
        (1 - float(a @ b) / (float(a.norm()) * float(b.norm()) or 1.0)) ** 3 for a, b in zip(rebuilt, real, strict=True)
    ]
    assert float(scaled_cosine(rebuilt, real, 3.0)) == pytest.approx(sum(each) / 5, rel=1e-12)
    assert float(scaled_cosine(rebuilt[:0], real[:0], 3.0)) == 0


def test_rebuild_is_its_steps() -> None:
    """Hidden nodes show the token, the decoder sees none of them, and only they are judged."""
    domain, dataset = planted()
    net = network(domain).double()
    objective = RebuildSpec(replaced=0.0, gamma=2.0).build(domain, net, seed=0).double()
    torch.nn.init.normal_(objective.token, generator=rng(9))
    batch = whole(domain, dataset)
    batch = replace(batch, inputs=batch.inputs.double())
    masked = domain.mask(batch, 0.5, rng(4))
    shown = batch.inputs.clone()
    shown[masked.where] = objective.token.detach()
    hidden = objective.between(net(replace(batch, inputs=shown)).elements)
    hidden[masked.where] = 0.0
    assert objective.decoder.form is not None
    rebuilt = objective.decoder.layer(hidden, objective.decoder.form.around(hidden, batch.edges, None))
    wanted = scaled_cosine(rebuilt[masked.where], batch.inputs[masked.where], 2.0)
    loss = objective(net, batch, rng(4))
    torch.testing.assert_close(loss.value, wanted)
    assert loss.count == len(masked.where) == 120


def test_a_hidden_node_does_not_tell_the_decoder_about_itself() -> None:
    domain, dataset = planted()
    net, batch = network(domain), whole(domain, dataset)
    objective = RebuildSpec().build(domain, net, seed=0)
    where = domain.mask(batch, 0.5, rng(4)).where
    moved = replace(batch, inputs=batch.inputs.index_fill(0, where, 7.0))
    for replaced, same in ((0.0, True), (1.0, False)):
        spec = RebuildSpec(replaced=replaced)
        one, two = (Rebuild(spec, domain, 16, "gcn", 0).shown(b.inputs, where, rng()) for b in (batch, moved))
        assert torch.equal(one, two) is same
    assert isinstance(objective, Rebuild)


def test_a_linear_decoder_is_not_masked_again() -> None:
    domain, dataset = planted()
    objective = RebuildSpec(decoder="linear").build(domain, network(domain), seed=0)
    assert not objective.decoder.looks_around
    assert math.isfinite(float(objective(network(domain), whole(domain, dataset), rng()).value.detach()))
    assert Decoder("gat", 8, 5, 0).looks_around


def test_nodes_that_no_example_owns_are_encoded_but_not_judged() -> None:
    domain, dataset = planted()
    batch = domain.collate([dataset[i] for i in range(40)])
    assert len(batch.inputs) == 240
    assert len(everyone(batch)) == 240
    net = network(domain)
    assert RebuildSpec().build(domain, net, seed=0)(net, batch, rng()).count == 20
    assert InfomaxSpec().build(domain, net, seed=0)(net, batch, rng()).count == 40


# communities


def test_planted_communities_are_found_by_every_way() -> None:
    from sklearn.metrics import normalized_mutual_info_score as nmi

    _, dataset = planted()
    truth = dataset.columns["label"]
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    for by, least in (("louvain", 0.95), ("greedy", 0.8), ("spectral", 0.95), ("clusters", 0.8)):
        found = find_communities(dataset.store, by, count=4)  # type: ignore[arg-type]
        assert nmi(truth, found) > least, by
        assert np.array_equal(found, find_communities(dataset.store, by, count=4))  # type: ignore[arg-type]
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[arg-type]


def test_spectral_by_iteration_equals_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.metrics import adjusted_rand_score

    _, dataset = planted()
    exact = find_communities(dataset.store, "spectral", count=4)  # type: ignore[arg-type]
    monkeypatch.setattr("exapt.objectives.finding.DENSE", 0)
    assert adjusted_rand_score(exact, find_communities(dataset.store, "spectral", count=4)) == 1.0  # type: ignore[arg-type]


def test_small_communities_are_no_target() -> None:
    numbers = np.array([4, 4, 9, 7, 7, 7, 2])
    assert by_size(numbers, 2).tolist() == [1, 1, -1, 0, 0, 0, -1]
    assert by_size(numbers, 1).tolist() == [1, 1, 3, 0, 0, 0, 2]


def test_settled_writes_the_number_down_and_attach_follows_rows() -> None:
    domain, dataset = planted()
    spec = CommunitiesSpec().settled(dataset, domain)
    assert spec.classes == 4
    attached = spec.attach(dataset, domain).targets[spec.target]
    part = spec.attach(dataset.subset([5, 3]), domain)
    assert part.targets[spec.target].tolist() == attached[[5, 3]].tolist()
    other = CommunitiesSpec(by="clusters", count=3)
    both = other.attach(spec.attach(dataset, domain), domain)
    assert {spec.target, other.target} <= set(both.targets)
    again = CommunitiesSpec.parse(spec.plain())
    assert again.target == spec.target


def test_communities_is_cross_entropy_where_there_is_a_community() -> None:
    domain, dataset = planted()
    net = network(domain).double()
    spec = CommunitiesSpec(classes=3)
    objective = spec.build(domain, net, seed=0).double()
    batch = whole(domain, dataset.subset([0, 1, 2, 3]))
    batch = replace(batch, targets={spec.target: torch.tensor([2, -1, 0, 1])})
    loss = objective(net, batch, rng())
    logits = objective.out(net(batch).elements)
    expected = [-logits[i].log_softmax(0)[c] for i, c in ((0, 2), (2, 0), (3, 1))]
    torch.testing.assert_close(loss.value, torch.stack(expected).mean())
    guess = objective.guess(net, batch, rng())
    assert guess.owner.tolist() == [0, 2, 3]
    torch.testing.assert_close(guess.surprise().mean(), loss.value.float(), check_dtype=False)


@pytest.mark.parametrize("kind", ["infomax", "rebuild", "communities"])
def test_gradients_are_right(kind: str) -> None:
    domain, dataset = planted("sbm:nodes=14,communities=2,inside=0.6,outside=0.1,features=3,seed=1")
    net = GraphNetSpec(width=3, depth=1, activation="elu").build(domain.inputs, seed=0).double()
    spec: Any = {
        "infomax": InfomaxSpec(),
        "rebuild": RebuildSpec(),
        "communities": CommunitiesSpec(smallest=2).settled(dataset, domain),
    }[kind]
    dataset = spec.attach(dataset, domain)
    batch = whole(domain, dataset)
    batch = replace(batch, inputs=batch.inputs.double())
    objective = spec.build(domain, net, seed=0).double()
    both = torch.nn.ModuleList([net, objective])
    names = [name for name, _ in both.named_parameters()]

    def value(*values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))

        class Whole(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.parts = both

            def forward(self) -> Tensor:
                return objective(net, batch, rng(5)).value

        return torch.func.functional_call(Whole(), {f"parts.{name}": v for name, v in given.items()}, ())

    assert torch.autograd.gradcheck(value, list(both.parameters()))


# what they refuse


def test_other_fields_are_refused() -> None:
    domain: Any = DnaSpec(length=32).build()
    backbone = TransformerSpec(size="nano", depth=1).build(domain.inputs, seed=0)
    for spec in (InfomaxSpec(), RebuildSpec(), CommunitiesSpec(classes=2)):
        with pytest.raises(InputError, match=rf"objective.kind={spec.kind} needs nodes of graphs, not tokens"):
            spec.build(domain, backbone, seed=0)


def test_what_communities_cannot_do() -> None:
    domain, dataset = planted()
    with pytest.raises(InputError, match=r"objective.classes: the number of communities follows from a corpus"):
        CommunitiesSpec().build(domain, network(domain))
    with pytest.raises(InputError, match=r"count: 300 communities of 240 nodes"):
        CommunitiesSpec(by="clusters", count=300).attach(dataset, domain)
    with pytest.raises(InputError, match=r"by=louvain found 0 communities of 241 or more nodes"):
        CommunitiesSpec(smallest=241).settled(dataset, domain)


# short runs

FAINT = "sbm:nodes=240,communities=4,inside=0.1,outside=0.02,features=24,signal=0.25,seed=3"


def train(objective: Objective, net: GraphNet, batch: Batch, steps: int, rate: float = 0.005) -> list[float]:
    parameters = [*net.parameters(), *objective.parameters()]
    optimiser, losses = torch.optim.AdamW(parameters, rate, weight_decay=0.0), []
    for step in range(steps):
        loss = objective(net, batch, rng(step))
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
        losses.append(float(loss.value.detach()))
    return losses


def probed(net: GraphNet, batch: Batch, labels: np.ndarray) -> float:
    """Accuracy on the nodes that a logistic regression on 5 nodes a class did not see, over 10 draws."""
    with torch.no_grad():
        features = net.eval()(batch).elements.numpy()
    features = (features - features.mean(0)) / (features.std(0) + 1e-9)
    scores = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(labels))
        known = np.concatenate([order[labels[order] == c][:5] for c in np.unique(labels)])
        rest = np.setdiff1d(order, known)
        model = LogisticRegression(C=0.1).fit(features[known], labels[known])
        scores.append(float((model.predict(features[rest]) == labels[rest]).mean()))
    return float(np.mean(scores))


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        (InfomaxSpec(), 80),
        (RebuildSpec(), 120),
        (CommunitiesSpec(), 40),
        (CommunitiesSpec(by="clusters", count=4), 40),
    ],
    ids=["infomax", "rebuild", "louvain", "clusters"],
)
def test_a_short_run_beats_random_weights(spec: Any, steps: int) -> None:
    domain, dataset = planted(FAINT)
    labels = dataset.columns["label"].astype(int)
    spec = spec.settled(dataset, domain)
    dataset = spec.attach(dataset, domain)
    batch, net = whole(domain, dataset), network(domain, width=32)
    before = probed(net, batch, labels)
    losses = train(spec.build(domain, net, seed=0), net.train(), batch, steps)
    after = probed(net, batch, labels)
    assert np.mean(losses[-5:]) < losses[0]
    assert after > before + 0.03, (before, after)


def test_the_communities_objective_is_trained_on_what_attach_found() -> None:
    domain, dataset = planted()
    spec = CommunitiesSpec().settled(dataset, domain)
    batch, net = whole(domain, spec.attach(dataset, domain)), network(domain)
    objective = spec.build(domain, net, seed=0)
    assert isinstance(objective, Communities)
    losses = train(objective, net, batch, 60, rate=0.02)
    assert losses[0] == pytest.approx(math.log(4), abs=0.3)
    assert float(objective(net, batch, rng()).terms["accuracy"]) > 0.95


@pytest.mark.parametrize("spec", [MaskedSpec(), AutoregressiveSpec()])
def test_objectives_of_tokens_refuse_nodes_and_name_one_for_them(spec: MaskedSpec | AutoregressiveSpec) -> None:
    domain = GraphSpec().build(Source(path="networkx:karate"))
    network = GraphNetSpec(width=4, depth=1).build(domain.inputs, seed=0)
    with pytest.raises(InputError, match=r"not nodes; valid here: rebuild"):
        spec.build(domain, network, seed=0)


@pytest.mark.parametrize("by", ["louvain", "greedy"])
def test_without_networkx_the_ways_that_need_it_say_which_do_not(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(InputError, match=rf"objective\.by={by} needs .*valid without: spectral, clusters"):
        finding.by_modularity(Links.of(np.zeros((2, 0), dtype=np.int64), 3), by, 1.0, 0)
