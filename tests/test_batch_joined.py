"""Batches put end to end equal each of them alone: packed, pictures, and nodes of one graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from exapt.batch import Batch, joinable, joined
from test_batch import full_batch


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return all(torch.equal(one[name], other[name]) for name in other)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


PARTS = ("inputs", "offsets", "positions", "cell", "targets", "element_targets", "index")


def test_selecting_from_a_joined_batch_gives_its_parts_back() -> None:
    parts = [full_batch([3, 0, 2], 1), full_batch([1, 4], 2), full_batch([2], 3)]
    whole = joined(parts)
    assert len(whole) == 6
    for part, places in zip(parts, ([0, 1, 2], [3, 4], [5]), strict=True):
        found, expected = whole.select(places), part.select(list(range(len(part))))
        assert all(same(getattr(found, name), getattr(expected, name)) for name in PARTS)
        assert torch.equal(found.edges, expected.edges)


def test_pictures_are_stacked() -> None:
    parts = [Batch(torch.randn(n, 1, 4, 4), torch.arange(n + 1) * 4) for n in (2, 3)]
    whole = joined(parts)
    assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))
    assert whole.offsets.tolist() == [0, 4, 8, 12, 16, 20]


def linked(own: int, spare: int, seed: int) -> Batch:
    """Nodes of a graph, the first of them examples of their own; edges between any."""
    rng = torch.Generator().manual_seed(seed)
    count = own + spare
    return Batch(
        torch.randn(count, 3, generator=rng),
        torch.arange(own + 1),
        edges=torch.randint(0, count, (2, 20), generator=rng),
        edge_inputs=torch.randn(20, 2, generator=rng),
        linked=True,
        index=torch.arange(own),
        element_targets={"community": torch.arange(own)},
    )


def messages(batch: Batch) -> torch.Tensor:
    """What each owned node is sent along its edges."""
    assert batch.edges is not None and batch.edge_inputs is not None
    sent = batch.inputs[batch.edges[0]] * batch.edge_inputs[:, :1]
    summed = torch.zeros_like(batch.inputs).index_add(0, batch.edges[1], sent) + batch.inputs
    return summed[: int(batch.offsets[-1])]


def test_nodes_of_graphs_keep_their_own_edges() -> None:
    parts = [linked(4, 3, 0), linked(4, 0, 1), linked(2, 5, 2)]
    whole = joined(parts)
    assert whole.linked and int(whole.offsets[-1]) == 10 and len(whole.inputs) == 18
    torch.testing.assert_close(messages(whole), torch.cat([messages(part) for part in parts]))
    assert whole.element_targets["community"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_views_with_edges_dropped_can_be_joined_and_unlike_batches_cannot() -> None:
    one = full_batch([3, 2], 0)
    assert one.edges is not None
    assert joinable([one, replace(one, edges=one.edges[:, :1])])
    pictures = [Batch(torch.randn(1, 1, side, side), torch.tensor([0, 1])) for side in (4, 6)]
    for pair in (pictures, [one, replace(one, positions=None)], [one, replace(one, targets={})]):
        assert not joinable(pair)
        with pytest.raises(ValueError, match="same parts"):
            joined(pair)
    with pytest.raises(ValueError, match="same parts"):
        joined([])
