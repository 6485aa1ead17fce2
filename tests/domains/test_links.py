"""Edges in compressed rows: gathering them and drawing among them, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exapt.domains.links import ALL, Links

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def links() -> Links:
    edges = np.unique(RNG.integers(0, 30, (2, 150)), axis=1)
    return Links.of(edges, 40)  # the last ten nodes stand alone


def pairs(edges: np.ndarray) -> set[tuple[int, int]]:
    return set(map(tuple, edges.T.tolist()))


def test_rows_hold_the_edges_into_each_node(links: Links) -> None:
    assert (links.edges[1][:-1] <= links.edges[1][1:]).all()
    again = Links.of(links.edges[:, np.random.default_rng(1).permutation(links.edges.shape[1])], 40)
    assert np.array_equal(again.edges, links.edges)
    rows = np.array([3, 35, 3, 7])
    slots, counts = links.into(rows)
    wanted = [sorted(a for a, b in pairs(links.edges) if b == row) for row in rows]
    assert counts.tolist() == [len(part) for part in wanted]
    assert links.sources[slots].tolist() == [a for part in wanted for a in part]
    assert links.matrix().toarray()[3].nonzero()[0].tolist() == wanted[0]


def test_values_follow_their_edges() -> None:
    edges = np.array([[2, 0, 1], [0, 1, 0]])
    links = Links.of(edges, 3, np.array([[20.0], [1.0], [10.0]], np.float32))
    assert links.edges.tolist() == [[1, 2, 0], [0, 0, 1]]
    assert links.values is not None
    assert links.values[:, 0].tolist() == [10, 20, 1]


def test_the_whole_graph_around_some_nodes(links: Links) -> None:
    owned = np.array([5, 2, 5])
    around = links.whole(owned)
    assert around.nodes[:3].tolist() == [5, 2, 5]
    assert sorted(around.nodes[2:].tolist()) == [i for i in range(40) if i != 2]
    named = around.nodes[around.edges]
    assert pairs(named) == pairs(links.edges)
    for place in (0, 2):  # a node asked for twice sees its neighbours twice
        assert sorted(named[0][around.edges[1] == place]) == sorted(a for a, b in pairs(links.edges) if b == 5)


def test_all_neighbours_within_some_hops(links: Links) -> None:
    around = links.within(np.array([4]), (ALL, ALL))
    into = {node: {a for a, b in pairs(links.edges) if b == node} for node in range(40)}
    first = into[4] | {4}
    second = first.union(*(into[node] for node in first))
    assert set(around.nodes.tolist()) == second
    assert len(set(around.nodes.tolist())) == len(around.nodes)
    assert pairs(around.nodes[around.edges]) == {(a, b) for b in first for a in into[b]}


def test_drawn_neighbours_are_neighbours_each_once_and_the_same_for_a_salt(links: Links) -> None:
    rows = np.arange(40)
    slots, counts = links.into(rows, 3, salt=7)
    assert counts.tolist() == np.minimum(links.degrees, 3).tolist()
    assert len(set(slots.tolist())) == len(slots)
    assert np.array_equal(links.edges[1][slots], np.repeat(rows, counts))
    assert np.array_equal(links.into(rows, 3, salt=7).slots, slots)
    assert not np.array_equal(links.into(rows, 3, salt=8).slots, slots)
    few, size = links.into(np.array([20, 9]), 3, salt=7)  # in another batch, a node draws the same
    both = np.split(few, [int(size[0])])
    for node, part in zip((20, 9), both, strict=True):
        assert part.tolist() == slots[np.repeat(rows, counts) == node].tolist()


def test_every_neighbour_is_as_likely_to_be_drawn() -> None:
    links = Links.of(np.stack([np.arange(1, 11), np.zeros(10, np.int64)]), 11)
    seen = np.zeros(10)
    sets = set()
    for salt in range(3000):
        slots = links.into(np.array([0]), 3, salt=salt).slots
        seen[slots] += 1
        sets.add(tuple(sorted(slots.tolist())))
    assert len(sets) == 120  # every set of 3 of 10
    assert np.abs(seen / 3000 - 0.3).max() < 0.04  # 4.8 standard errors


def test_memory_of_a_draw_does_not_grow_with_degrees() -> None:
    count = 200_000
    hub = Links.of(np.stack([np.arange(1, count), np.zeros(count - 1, np.int64)]), count)
    around = hub.within(np.array([0]), (5, 5), salt=1)
    assert len(around.nodes) == 6
    assert around.edges.shape == (2, 5)


def test_isolated_nodes_have_nothing_around_them(links: Links) -> None:
    around = links.within(np.array([39]), (2, ALL), salt=3)
    assert around.nodes.tolist() == [39]
    assert torch.from_numpy(around.edges).shape == (2, 0)
