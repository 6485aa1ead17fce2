"""The graph network: against dense matrices, whatever the order of nodes, through every way of adapting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.backbones import GraphNet, GraphNetSpec
from exapt.batch import Batch, offsets_of
from exapt.domains.base import Inputs
from exapt.errors import InputError

pytest.importorskip("torch_geometric")

CONVS = ["gcn", "gin", "gat"]


def build(seed: int = 0, features: int = 5, edge_features: int = 0, **options: object) -> GraphNet:
    spec = GraphNetSpec.parse({"width": 8, "depth": 2, "heads": 2, **options})
    return spec.build(Inputs("nodes", features=features, edge_features=edge_features), seed).eval().double()


def stir(net: GraphNet, seed: int = 3) -> GraphNet:
    """Every parameter random, so that a bias or a slope in the wrong place shows."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=p.dtype) * 0.5)
    return net


def graph(nodes: int = 9, edges: int = 20, features: int = 5, seed: int = 0, carried: int = 0) -> Batch:
    """A directed graph without repeated edges or self-loops, its last node alone; every node an example."""
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(nodes - 1) for b in range(nodes - 1) if a != b]
    chosen = np.array(pairs)[rng.permutation(len(pairs))[:edges]].T
    inputs = torch.from_numpy(rng.standard_normal((nodes, features)))
    values = torch.from_numpy(rng.random((edges, carried))) if carried else None
    joined = torch.from_numpy(chosen).long()
    return Batch(inputs, torch.arange(nodes + 1), edges=joined, edge_inputs=values, linked=True)


def matrix(batch: Batch, weights: Tensor | None = None) -> Tensor:
    """(V, V) what comes into each row's node."""
    assert batch.edges is not None
    dense = torch.zeros(len(batch.inputs), len(batch.inputs), dtype=torch.double)
    dense[batch.edges[1], batch.edges[0]] = 1.0 if weights is None else weights
    return dense


def part(net: GraphNet, number: int, name: str) -> Tensor:
    return net.get_parameter(f"layers.{number}.conv.conv.{name}")


def prelu(x: Tensor, net: GraphNet, number: int) -> Tensor:
    return torch.where(x > 0, x, net.get_parameter(f"layers.{number}.act.weight") * x)


@pytest.mark.parametrize("weighted", [False, True])
def test_gcn_is_the_normalised_matrix(weighted: bool) -> None:
    """Kipf & Welling 2017, equation 2, degrees counting what comes in."""
    batch = graph(carried=int(weighted))
    net = stir(build(conv="gcn", edge_features=int(weighted)))
    carried = None if batch.edge_inputs is None else batch.edge_inputs[:, 0]
    whole = matrix(batch, carried) + torch.eye(9, dtype=torch.double)
    root = whole.sum(1) ** -0.5
    nodes = batch.inputs
    for number in range(2):
        nodes = root[:, None] * whole * root @ nodes @ part(net, number, "lin.weight").T + part(net, number, "bias")
        nodes = prelu(nodes, net, number)
    torch.testing.assert_close(net(batch).elements, nodes)


def test_gin_is_the_sum_through_a_perceptron() -> None:
    """Xu et al. 2019, equation 4.1."""
    batch, net = graph(), stir(build(conv="gin"))
    nodes = batch.inputs
    for number in range(2):
        heard = (1 + part(net, number, "eps")) * nodes + matrix(batch) @ nodes
        inner = torch.relu(heard @ part(net, number, "nn.0.weight").T + part(net, number, "nn.0.bias"))
        nodes = prelu(inner @ part(net, number, "nn.3.weight").T + part(net, number, "nn.3.bias"), net, number)
    torch.testing.assert_close(net(batch).elements, nodes)


def test_gine_adds_what_edges_carry() -> None:
    """Hu et al. 2020 (1905.12265), appendix A: the sum of ReLU(h + e)."""
    batch, net = graph(carried=3), stir(build(conv="gin", edge_features=3, depth=1))
    assert batch.edges is not None
    assert batch.edge_inputs is not None
    heard = (1 + part(net, 0, "eps")) * batch.inputs
    for (a, b), e in zip(batch.edges.T.tolist(), batch.edge_inputs, strict=True):
        heard[b] += torch.relu(batch.inputs[a] + part(net, 0, "lin.weight") @ e + part(net, 0, "lin.bias"))
    inner = torch.relu(heard @ part(net, 0, "nn.0.weight").T + part(net, 0, "nn.0.bias"))
    nodes = prelu(inner @ part(net, 0, "nn.3.weight").T + part(net, 0, "nn.3.bias"), net, 0)
    torch.testing.assert_close(net(batch).elements, nodes)


def test_gat_attends_as_a_loop_does() -> None:
    """Velickovic et al. 2018, equations 3 to 5, two heads, every node its own neighbour."""
    batch, net = graph(), stir(build(conv="gat", depth=1))
    values = (batch.inputs @ part(net, 0, "lin.weight").T).view(9, 2, 4)
    to_source, to_target = ((values * part(net, 0, f"att_{end}")).sum(-1) for end in ("src", "dst"))
    sees = matrix(batch) + torch.eye(9, dtype=torch.double) > 0
    rows = []
    for node in range(9):
        others = sees[node].nonzero()[:, 0]
        scores = torch.nn.functional.leaky_relu(to_source[others] + to_target[node], 0.2).softmax(0)
        rows.append((scores[:, :, None] * values[others]).sum(0).flatten() + part(net, 0, "bias"))
    torch.testing.assert_close(net(batch).elements, prelu(torch.stack(rows), net, 0))


@pytest.mark.parametrize("conv", CONVS)
def test_smoothing_averages_what_comes_out(conv: str) -> None:
    batch = graph()
    plain, smooth = stir(build(conv=conv)), stir(build(conv=conv, smoothing=2))
    whole = matrix(batch) + torch.eye(9, dtype=torch.double)
    root = whole.sum(1) ** -0.5
    once = root[:, None] * whole * root
    torch.testing.assert_close(smooth(batch).elements, once @ once @ plain(batch).elements)


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_renumbering_nodes_renumbers_features(conv: str, norm: str) -> None:
    batch = graph(carried=2 if conv != "gcn" else 0)
    net = stir(build(conv=conv, norm=norm, residual=True, edge_features=2 if conv != "gcn" else 0))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order).index_copy(0, order, torch.arange(9))
    assert batch.edges is not None
    moved = replace(batch, inputs=batch.inputs[order], edges=place[batch.edges])
    torch.testing.assert_close(net(moved).elements, net(batch).elements[order])


@pytest.mark.parametrize("conv", CONVS)
def test_some_nodes_of_a_graph_are_as_in_the_whole(conv: str) -> None:
    batch, net = graph(), stir(build(conv=conv))
    some = batch.select([7, 2, 8])
    features = net(some)
    assert features.elements.shape == (3, 8)
    assert len(features) == 3
    torch.testing.assert_close(features.elements, net(batch).elements[[7, 2, 8]])


@pytest.mark.parametrize("conv", CONVS)
def test_packed_graphs_equal_one_by_one(conv: str) -> None:
    one, two, net = graph(6, 8), graph(9, 20, seed=1), stir(build(conv=conv))
    assert one.edges is not None
    assert two.edges is not None
    lone = torch.randn(1, 5, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    inputs, edges = torch.cat([one.inputs, two.inputs, lone]), torch.cat([one.edges, two.edges + 6], 1)
    both = Batch(inputs, offsets_of(torch.tensor([6, 9, 0, 1])), edges=edges)
    alone = torch.cat([net(both.select([i])).elements for i in range(4)])
    torch.testing.assert_close(net(both).elements, alone)
    torch.testing.assert_close(net(both).pooled("max")[0], net(one).elements.amax(0))


@pytest.mark.parametrize("conv", ["gcn", "gat"])
def test_sparse_equals_dense_with_gradients(conv: str) -> None:
    batch = graph(features=200)
    batch = replace(
        batch, inputs=batch.inputs * (torch.rand(9, 200, generator=torch.Generator().manual_seed(0)) < 0.05)
    )
    found = []
    for sparse in (True, False):
        net = build(conv=conv, features=200)
        net.sparse = sparse
        elements = net(batch).elements
        (elements * torch.linspace(-1, 1, elements.numel(), dtype=torch.double).view_as(elements)).sum().backward()
        found.append([elements, *[p.grad for p in net.parameters()]])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("conv", CONVS)
def test_gradients_are_right(conv: str) -> None:
    batch, net = graph(5, 8, features=3), stir(build(conv=conv, features=3, activation="elu", depth=1, width=4))
    parameters = list(net.parameters())
    names = [name for name, _ in net.named_parameters()]

    def encode(inputs: Tensor, *values: Tensor) -> Tensor:
        moved = replace(batch, inputs=inputs)
        out = torch.func.functional_call(net, dict(zip(names, values, strict=True)), (moved,))
        return out.elements

    assert torch.autograd.gradcheck(encode, (batch.inputs.requires_grad_(), *parameters))


def test_dropped_sparse_entries_keep_their_mean() -> None:
    batch = graph(features=2000)
    batch = replace(batch, inputs=(batch.inputs.abs() > 2.2).double())
    net = build(features=2000, dropout=0.5, depth=1, activation="relu").train()
    torch.manual_seed(0)
    entered = net.enter(batch.inputs, True)
    assert set(entered.values().tolist()) == {0.0, 2.0}
    assert float(entered.values().mean()) == pytest.approx(1.0, abs=0.2)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (build(seed=s, conv="gat", norm="batch").state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["layers.0.conv.conv.lin.weight"], other["layers.0.conv.conv.lin.weight"])


@pytest.mark.parametrize("conv", CONVS)
def test_blocks_hold_every_parameter_once_and_biases_start_at_zero(conv: str) -> None:
    net = build(conv=conv, norm="batch", depth=3)
    own = [id(p) for block in net.blocks for p in block.parameters()]
    assert sorted(own) == sorted(id(p) for p in net.parameters())
    assert len(net.blocks) == 5
    assert all(not p.detach().any() for name, p in net.named_parameters() if name.endswith("bias"))


def test_narrow_and_edgeless_graphs() -> None:
    net = build(norm="layer")
    lone = Batch(torch.ones(1, 5), torch.tensor([0, 1]), linked=True)
    assert net(lone).elements.shape == (1, 8)
    assert net(lone).elements.dtype == torch.double
    assert net(Batch(torch.ones(0, 5), torch.tensor([0]), linked=True)).elements.shape == (0, 8)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (Inputs("tokens", vocabulary=5), {}, "takes nodes of graphs, not tokens"),
        (Inputs("nodes"), {}, "nodes without features"),
        (Inputs("nodes", features=3, edge_features=4), {}, "gcn cannot use 4 numbers an edge.*valid: gin, gat"),
    ],
)
def test_what_it_cannot_take(inputs: Inputs, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GraphNetSpec.parse(options).build(inputs, seed=0)


def test_heads_that_do_not_divide_and_negative_weights() -> None:
    with pytest.raises(InputError, match="width 10 is not a multiple of 4 heads"):
        GraphNetSpec.parse({"conv": "gat", "width": 10})
    batch = graph(carried=1)
    assert batch.edge_inputs is not None
    with pytest.raises(InputError, match="an edge has the weight -1; valid: 0 or more"):
        build(edge_features=1)(replace(batch, edge_inputs=batch.edge_inputs * 0 - 1))
