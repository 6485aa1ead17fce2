"""Graphs as a domain: linked and packed batches, masks, views, baselines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.batch import Batch
from exapt.domains import Arrays, Dataset, GraphDomain, GraphSpec, Source, from_arrays, load_domain
from exapt.errors import InputError
from exapt.tasks.duplicates import contents

RNG = np.random.default_rng(0)


def graph(nodes: int, edges: int, features: int = 3, seed: int = 0) -> SimpleNamespace:
    """Shaped as PyTorch Geometric's Data."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (nodes, features)).astype(np.float32)
    return SimpleNamespace(x=x, edge_index=rng.integers(0, nodes, (2, edges)), num_nodes=nodes)


def relabelled(one: SimpleNamespace, seed: int = 1) -> SimpleNamespace:
    order = np.random.default_rng(seed).permutation(one.num_nodes)
    place = np.argsort(order)
    return SimpleNamespace(x=one.x[order], edge_index=place[one.edge_index], num_nodes=one.num_nodes)


def built(source: Source | Arrays, **keys: object) -> tuple[GraphDomain, Dataset]:
    domain = GraphSpec(**keys).build(source)  # type: ignore[arg-type]
    return domain, domain.read(source)


def network(batch: Batch, layers: int = 2) -> Tensor:
    """A stand-in for a backbone: each layer adds up neighbours; only owned elements come back."""
    x = batch.inputs.double()
    assert batch.edges is not None
    for _ in range(layers):
        x = torch.tanh(x + torch.zeros_like(x).index_add(0, batch.edges[1], x[batch.edges[0]]))
    return x[: int(batch.offsets[-1])]


NODES = from_arrays([graph(50, 120)], label=list(range(50)))
MANY = from_arrays([graph(n, 2 * n, seed=n) for n in (5, 1, 9, 4)], label=[0, 1, 0, 1])


@pytest.mark.parametrize("keys", [{}, {"neighbours": [-1, -1]}, {"neighbours": [100, 100], "evaluation": "drawn"}])
def test_a_batch_of_nodes_equals_each_alone(keys: dict) -> None:
    domain, dataset = built(NODES, **keys)
    whole = domain.collate(list(dataset))
    assert whole.linked
    truth = network(whole)
    some = domain.collate([dataset[i] for i in (7, 3, 7)])
    assert len(some) == 3
    torch.testing.assert_close(network(some), truth[[7, 3, 7]])
    for i in (0, 20, 49):
        torch.testing.assert_close(network(domain.collate([dataset[i]]))[0], truth[i])
    torch.testing.assert_close(network(whole.select([4, 1])), truth[[4, 1]])


def test_owned_nodes_come_first_with_their_labels() -> None:
    domain, dataset = built(NODES)
    dataset = Dataset(**{**vars(dataset), "targets": {"label": np.arange(50)}})
    batch = domain.collate([dataset[i] for i in (9, 2)])
    assert batch.targets["label"].tolist() == [9, 2]
    assert batch.index is not None
    assert batch.index.tolist() == [9, 2]
    assert batch.offsets.tolist() == [0, 1, 2]
    assert len(batch.inputs) == 50
    assert domain.transductive
    assert torch.equal(batch.inputs[0], torch.from_numpy(dataset.store.rows(np.array([9]))[0]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("fan", [-2, 0])
def test_a_hop_of_too_few_neighbours_is_refused(fan: int) -> None:
    with pytest.raises(InputError, match=rf"neighbours: {fan} neighbours at a hop; valid: 1, 2, …, or -1 for all"):
        GraphSpec.parse({"kind": "graph", "neighbours": [3, fan]}, "domain")


def test_training_draws_neighbours_anew_for_another_order_and_the_same_for_the_same() -> None:
    domain, dataset = built(from_arrays([graph(60, 900)]), neighbours=[4, 2])
    first, again, other = (domain.collate_training([dataset[i] for i in order]) for order in ([1, 2], [1, 2], [2, 1]))
    assert first.edges is not None
    assert again.edges is not None
    assert other.edges is not None
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.edges, again.edges)
    assert torch.bincount(first.edges[1])[:2].tolist() == [4, 4]
    assert not torch.equal(other.inputs.sort(0).values, first.inputs.sort(0).values) or len(other.inputs) != len(
        first.inputs
    )
    everything = domain.collate([dataset[1], dataset[2]])
    assert everything.edges is not None
    assert everything.edges.shape[1] > first.edges.shape[1]


def test_drawn_neighbours_of_an_evaluation_do_not_depend_on_the_batch() -> None:
    domain, dataset = built(from_arrays([graph(60, 900)]), neighbours=[4, 4], evaluation="drawn")
    whole = network(domain.collate(list(dataset)), layers=2)
    # A node reached at the last hop has no edges of its own in a batch; with two layers none are needed.
    for i in (0, 13):
        torch.testing.assert_close(network(domain.collate([dataset[i]]))[0], whole[i])


def test_a_batch_of_graphs_equals_each_alone() -> None:
    domain, dataset = built(MANY, level="graph")
    whole = domain.collate(list(dataset))
    assert not whole.linked
    assert whole.offsets.tolist() == [0, 5, 6, 15, 19]
    assert domain.inputs.length == 9
    truth = network(whole)
    for i in range(4):
        alone = domain.collate([dataset[i]])
        torch.testing.assert_close(network(alone), truth[whole.offsets[i] : whole.offsets[i + 1]])
        chosen = whole.select([i])
        assert torch.equal(chosen.inputs, alone.inputs)
        assert chosen.edges is not None
        assert alone.edges is not None
        assert torch.equal(chosen.edges, alone.edges)
    assert domain.collate([]).inputs.shape == (0, 3)
    assert not domain.transductive


def test_edges_run_both_ways_unless_directed_and_equal_ones_stand_once() -> None:
    one = SimpleNamespace(edge_index=np.array([[0, 1, 0, 2, 0], [1, 0, 1, 2, 2]]), num_nodes=4)
    _, both = built(from_arrays([one]), features="constant")
    assert sorted(map(tuple, both.store.links.edges.T.tolist())) == [(0, 1), (0, 2), (1, 0), (2, 0)]  # type: ignore[attr-defined]
    assert both.skipped == {"self-loops": 1, "repeated edges": 1}
    _, one_way = built(from_arrays([one]), features="constant", directed=True, self_loops=True)
    assert sorted(map(tuple, one_way.store.links.edges.T.tolist())) == [(0, 1), (0, 2), (1, 0), (2, 2)]  # type: ignore[attr-defined]
    assert one_way.skipped == {"repeated edges": 1}


def test_what_edges_carry_reaches_the_batch() -> None:
    one = graph(4, 0)
    one.edge_index, one.edge_attr = np.array([[0, 1, 2], [1, 2, 3]]), np.array([[0.5], [1.5], [2.5]])
    for level in ("node", "graph"):
        domain, dataset = built(from_arrays([one]), edge_values=True, level=level)
        assert domain.inputs.edge_features == 1
        batch = domain.collate(list(dataset))
        assert batch.edges is not None
        assert batch.edge_inputs is not None
        for (a, b), value in zip(batch.edges.T.tolist(), batch.edge_inputs[:, 0].tolist(), strict=True):
            assert value == min(a, b) + 0.5
        view = domain.views(batch, torch.Generator().manual_seed(0))[0]
        assert view.edges is not None
        assert view.edge_inputs is not None
        assert len(view.edge_inputs) == view.edges.shape[1]


def test_masks_hide_the_share_asked_for() -> None:
    domain, dataset = built(NODES)
    batch = domain.collate([dataset[i] for i in range(20)])
    masked = domain.mask(batch, 0.3, torch.Generator().manual_seed(1))
    assert len(masked.where) == 6
    assert masked.where.max() < 20
    assert torch.equal(masked.target, batch.inputs[masked.where])
    assert not masked.batch.inputs[masked.where].any()
    others = torch.ones(50, dtype=torch.bool).index_fill(0, masked.where, False)
    assert torch.equal(masked.batch.inputs[others], batch.inputs[others])
    graphs, data = built(MANY, level="graph")
    packed = graphs.collate(list(data))
    where = graphs.mask(packed, 0.5, torch.Generator().manual_seed(1)).where
    assert torch.bincount(packed.segments[where]).tolist() == [2, 1, 4, 2]


def test_views_drop_edges_and_features_at_the_shares_of_each() -> None:
    domain, dataset = built(
        from_arrays([graph(300, 3000, 200)]), drop_edges=[0.0, 0.5], hide_features=[0.5, 0.0], scale="none"
    )
    batch = domain.collate(list(dataset))
    assert batch.edges is not None
    first, second, third = domain.views(batch, torch.Generator().manual_seed(0), count=3)
    assert first.edges is not None
    assert second.edges is not None
    assert torch.equal(first.edges, batch.edges)
    assert torch.equal(second.inputs, batch.inputs)
    assert abs(second.edges.shape[1] / batch.edges.shape[1] - 0.5) < 0.05
    gone = (first.inputs == 0).all(0)
    assert 0.35 < gone.float().mean() < 0.65
    assert torch.equal(first.inputs[:, ~gone], batch.inputs[:, ~gone])
    assert not torch.equal(first.inputs, third.inputs)
    again = domain.views(batch, torch.Generator().manual_seed(0), count=1)[0]
    assert torch.equal(again.inputs, first.inputs)


def test_every_change_of_the_audit_changes_the_batch_and_keeps_its_shape() -> None:
    domain, dataset = built(NODES)
    batch = domain.collate(list(dataset))
    for change in domain.transformations():
        changed = change.change(batch, change.strengths[-1], torch.Generator().manual_seed(0)).batch
        assert changed.inputs.shape == batch.inputs.shape
        assert changed.edges is not None
        assert batch.edges is not None
        assert changed.edges.shape != batch.edges.shape or not torch.equal(changed.inputs, batch.inputs)


def test_sgc_is_its_formula() -> None:
    domain, dataset = built(NODES, smoothing=3)
    batch = domain.collate(list(dataset))
    assert batch.edges is not None
    adjacency = torch.eye(50, dtype=torch.float64)
    adjacency[batch.edges[1], batch.edges[0]] = 1
    scale = torch.diag(adjacency.sum(1) ** -0.5)
    wanted = torch.linalg.matrix_power(scale @ adjacency @ scale, 3) @ batch.inputs.double()
    wanted /= wanted.square().sum(1).mean().sqrt()  # nodes of length 1 in the quadratic mean
    train, other = domain.classical(dataset, [dataset.subset([4, 2])])
    np.testing.assert_allclose(np.asarray(train), wanted.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.asarray(other), wanted[[4, 2]].numpy(), atol=1e-5)
    raw = domain.classical_raw(dataset)[0]
    own = batch.inputs / batch.inputs.square().sum(1).mean().sqrt()
    np.testing.assert_allclose(raw.toarray() if hasattr(raw, "toarray") else raw, own.numpy(), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(domain.classical_elements(dataset.subset([4]))), wanted[[4]], atol=1e-5)


def test_sparse_features_stay_sparse() -> None:
    spec = SimpleNamespace(edge_index=np.zeros((2, 0), int), num_nodes=500)
    _, dataset = built(from_arrays([spec]), features="identity")
    assert dataset.store.features.nnz == 500  # type: ignore[attr-defined]
    assert dataset.store.rows(np.array([3])).argmax() == 3  # type: ignore[attr-defined]


def test_nodes_are_never_repeats_and_graphs_are_however_they_are_numbered() -> None:
    domain, dataset = built(from_arrays([SimpleNamespace(edge_index=np.zeros((2, 0), int), num_nodes=5)]))
    assert len(set(contents(dataset, domain).tolist())) == 5
    one = graph(8, 14)
    changed = relabelled(one)
    changed.edge_index = changed.edge_index[:, 5:]
    domain, graphs = built(from_arrays([one, relabelled(one), graph(8, 14, seed=5), changed]), level="graph")
    same = contents(graphs, domain)
    assert same[0] == same[1]
    assert len(set(same.tolist())) == 3
    prints = [set(domain.fingerprints(example).tolist()) for example in graphs]
    assert prints[0] == prints[1] != prints[2]


def test_a_ring_of_six_is_not_two_rings_of_three() -> None:
    ring = SimpleNamespace(edge_index=np.array([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]]), num_nodes=6)
    two = SimpleNamespace(edge_index=np.array([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]]), num_nodes=6)
    domain, dataset = built(from_arrays([ring, two]), level="graph", features="constant")
    assert len(set(contents(dataset, domain).tolist())) == 2


def test_the_baseline_of_graphs_counts_neighbourhoods() -> None:
    one = graph(8, 14)
    domain, dataset = built(from_arrays([one, relabelled(one), graph(8, 14, seed=5)]), level="graph")
    counts = domain.classical(dataset)[0]
    assert (counts[[0]] != counts[[1]]).nnz == 0
    assert (counts[[0]] != counts[[2]]).nnz > 0
    np.testing.assert_allclose(np.expm1(counts.toarray()).sum(1), [24, 24, 24], rtol=1e-5)  # 8 nodes, 3 rounds
    mean = domain.classical_raw(dataset)[0]
    np.testing.assert_allclose(mean[0], [*dataset.store.graph(0).features.mean(0), np.log(9)], rtol=1e-5)  # type: ignore[attr-defined]


def test_degrees_describe_nodes_that_have_nothing_else() -> None:
    star = SimpleNamespace(edge_index=np.array([[0, 0, 0], [1, 2, 3]]), num_nodes=5)
    domain, dataset = built(from_arrays([star]), degrees=2)
    assert dataset.store.features.toarray().tolist() == [[0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]  # type: ignore[attr-defined]
    assert domain.describe()["described by"] == "degree"
    assert domain.describe()["corpus"] == {"graphs": 1, "nodes": 5, "edges": 6, "components": 2, "isolated nodes": 1}


def test_measured_features_are_standardised_as_the_corpus_is(tmp_path: Path) -> None:
    one = graph(40, 60)
    one.x = RNG.normal(5, 3, (40, 2))
    domain, dataset = built(from_arrays([one]))
    found = dataset.store.features  # type: ignore[attr-defined]
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-5)
    domain.save(tmp_path)
    other = SimpleNamespace(**{**vars(one), "x": one.x + 3})
    again = load_domain(tmp_path).read(from_arrays([other]))
    np.testing.assert_allclose(again.store.features, found + 3 / one.x.std(0), atol=1e-4)  # type: ignore[attr-defined]


def test_counted_features_are_shares_of_their_row() -> None:
    one = graph(3, 2)
    one.x = np.array([[1, 0, 3], [0, 0, 0], [2, 2, 0]], dtype=np.float32)
    domain, dataset = built(from_arrays([one]))
    np.testing.assert_allclose(dataset.store.features, [[0.25, 0, 0.75], [0, 0, 0], [0.5, 0.5, 0]])  # type: ignore[attr-defined]
    assert domain.describe()["scaled"] == "rows"


def test_what_a_domain_cannot_take_is_named() -> None:
    with pytest.raises(InputError, match="learnt from a corpus"):
        GraphSpec().build()
    domain, dataset = built(NODES)
    _, other = built(NODES)
    with pytest.raises(InputError, match="must be of one graph"):
        domain.collate([dataset[0], other[0]])
    with pytest.raises(InputError, match="nodes have 4 features, the domain's have 3"):
        domain.read(from_arrays([graph(5, 5, 4)]))
    with pytest.raises(InputError, match=r"nodes have no features; valid for domain.features: degree"):
        GraphSpec(features="given").build(from_arrays([SimpleNamespace(edge_index=np.zeros((2, 0)), num_nodes=3)]))
    with pytest.raises(InputError, match="edges carry 0 values, the domain's 1"):
        weighted = graph(4, 3)
        weighted.edge_attr = np.ones(3)
        GraphSpec(edge_values=True).build(from_arrays([weighted])).read(from_arrays([graph(4, 3)]))
