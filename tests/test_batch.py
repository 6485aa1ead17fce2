"""A packed batch equals its examples one by one, whatever their lengths."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.batch import (
    Batch,
    Features,
    element_index,
    offsets_of,
    pack,
    pad,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
    segments,
    unpad,
)

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=6)
SEEDS = st.integers(0, 10_000)
POOLS = {
    "sum": lambda rows: rows.sum(0),
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.max(0).values,
    "first": lambda rows: rows[0],
    "last": lambda rows: rows[-1],
}


def packed(lengths: list[int], seed: int, width: int = 3) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    rows = [torch.randn(n, width, generator=rng, dtype=torch.float64) for n in lengths]
    return rows, *pack(rows)


def full_batch(lengths: list[int], seed: int) -> Batch:
    """A batch with every part filled; each edge joins two elements of one example."""
    rng = torch.Generator().manual_seed(seed)
    _, values, offsets = packed(lengths, seed)
    starts = offsets[:-1]
    edges = [torch.randint(0, n, (2, 3), generator=rng) + s for n, s in zip(lengths, starts, strict=True) if n]
    joined = torch.cat(edges, 1) if edges else torch.zeros(2, 0, dtype=torch.long)
    return Batch(
        inputs=values,
        offsets=offsets,
        positions=torch.randn(len(values), 2, generator=rng),
        edges=joined[:, torch.randperm(joined.shape[1], generator=rng)],
        cell=torch.randn(len(lengths), 3, 3, generator=rng),
        targets={"label": torch.randn(len(lengths), generator=rng)},
        element_targets={"site": torch.randn(len(values), generator=rng)},
        index=torch.arange(len(lengths)) + 100,
    )


@settings(deadline=None)
@given(LENGTHS, SEEDS)
def test_segment_operations_equal_a_loop_over_examples(lengths: list[int], seed: int) -> None:
    rows, values, offsets = packed(lengths, seed)
    zero = torch.zeros(3, dtype=torch.float64)
    for name, fast in (("sum", segment_sum), ("mean", segment_mean), ("max", segment_max)):
        plain = torch.stack([POOLS[name](r) if len(r) else zero for r in rows])
        torch.testing.assert_close(fast(values, offsets), plain)
    softmax = torch.cat([r.softmax(0) for r in rows])
    torch.testing.assert_close(segment_softmax(values, offsets), softmax)


@settings(deadline=None)
@given(LENGTHS, SEEDS, st.sampled_from(list(POOLS)))
def test_pooled_equals_a_loop(lengths: list[int], seed: int, how: str) -> None:
    lengths = [n + 1 for n in lengths] if how in ("first", "last") else lengths
    rows, values, offsets = packed(lengths, seed)
    plain = torch.stack([POOLS[how](r) if len(r) else r.new_zeros(3) for r in rows])
    torch.testing.assert_close(Features(values, offsets).pooled(how), plain)


@settings(deadline=None, max_examples=25)
@given(LENGTHS, SEEDS)
def test_segment_gradients_are_right(lengths: list[int], seed: int) -> None:
    _, values, offsets = packed(lengths, seed)
    values.requires_grad_()
    for operation in (segment_sum, segment_mean, segment_max, segment_softmax, lambda v, o: pad(v, o)[0]):
        assert torch.autograd.gradcheck(lambda v, op=operation: op(v, offsets), (values,))


@settings(deadline=None)
@given(LENGTHS, SEEDS)
def test_pad_and_unpad_are_inverse(lengths: list[int], seed: int) -> None:
    rows, values, offsets = packed(lengths, seed)
    padded, real = pad(values, offsets)
    assert padded.shape == (len(rows), max(lengths), 3)
    assert real.sum(1).tolist() == lengths
    for b, row in enumerate(rows):
        assert torch.equal(padded[b, : len(row)], row)
        assert not padded[b, len(row) :].any()
    assert torch.equal(unpad(padded, real), values)


def test_pad_keeps_integers_and_further_dimensions() -> None:
    ids = torch.arange(1, 6)
    padded, _ = pad(ids, torch.tensor([0, 2, 2, 5]))
    assert padded.tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5]]
    boxes, _ = pad(torch.ones(3, 2, 4), torch.tensor([0, 1, 3]))
    assert boxes.shape == (2, 2, 2, 4)
    assert boxes.sum() == 24


@settings(deadline=None)
@given(LENGTHS, SEEDS, st.data())
def test_select_equals_picking_examples_one_by_one(lengths: list[int], seed: int, data: st.DataObject) -> None:
    batch = full_batch(lengths, seed)
    chosen = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=8))
    some = batch.select(chosen)
    assert len(some) == len(chosen)
    for place, b in enumerate(chosen):
        one, again = batch.select([b]), some.select([place])
        assert torch.equal(one.inputs, batch.inputs[batch.offsets[b] : batch.offsets[b + 1]])
        for name in ("inputs", "offsets", "positions", "edges", "cell", "index"):
            assert torch.equal(getattr(one, name), getattr(again, name)), name
        assert torch.equal(one.targets["label"], batch.targets["label"][b : b + 1])
        assert torch.equal(one.element_targets["site"], again.element_targets["site"])


@settings(deadline=None)
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_selected_edges_join_the_same_elements(lengths: list[int], seed: int, random: st.randoms) -> None:
    batch = full_batch(lengths, seed)
    order = list(range(len(lengths)))
    random.shuffle(order)
    moved = batch.select(order)
    assert moved.edges is not None and batch.edges is not None

    def joins(b: Batch) -> list[list[float]]:
        assert b.edges is not None
        return sorted(torch.cat([b.inputs[b.edges[0]], b.inputs[b.edges[1]]], 1).tolist())

    assert joins(moved) == joins(batch)


@settings(deadline=None)
@given(LENGTHS, SEEDS, st.randoms(use_true_random=False))
def test_permuting_examples_permutes_results(lengths: list[int], seed: int, random: st.randoms) -> None:
    batch = full_batch(lengths, seed)
    order = list(range(len(lengths)))
    random.shuffle(order)
    before = Features(batch.inputs, batch.offsets)
    moved = batch.select(order)
    after = Features(moved.inputs, moved.offsets)
    for how in ("mean", "max", "sum"):
        torch.testing.assert_close(after.pooled(how), before.pooled(how)[order])


@settings(deadline=None)
@given(LENGTHS)
def test_counts_owners_and_places(lengths: list[int]) -> None:
    offsets = offsets_of(torch.tensor(lengths))
    batch = Batch(torch.zeros(sum(lengths)), offsets)
    assert batch.lengths.tolist() == lengths
    assert batch.segments.tolist() == [b for b, n in enumerate(lengths) for _ in range(n)]
    assert batch.places().tolist() == [i for n in lengths for i in range(n)]
    assert torch.equal(segments(offsets), batch.segments)
    everything = element_index(offsets, torch.arange(len(lengths)))
    assert everything.tolist() == list(range(sum(lengths)))


def test_an_empty_batch_and_an_empty_choice_work() -> None:
    batch = full_batch([2, 0, 1], 0)
    none = batch.select([])
    assert len(none) == 0
    assert none.inputs.shape == (0, 3)
    assert Features(none.inputs, none.offsets).pooled().shape == (0, 3)
    padded, real = pad(none.inputs, none.offsets)
    assert padded.shape == (0, 0, 3)
    assert unpad(padded, real).shape == (0, 3)


def test_pictures_are_selected_whole() -> None:
    pictures = torch.arange(3 * 2 * 4 * 4.0).reshape(3, 2, 4, 4)
    batch = Batch(pictures, offsets_of(torch.tensor([4, 4, 4])))
    assert batch.pictures
    assert torch.equal(batch.select([2, 0]).inputs, pictures[[2, 0]])


def test_given_positions_win_over_the_count() -> None:
    batch = Batch(torch.zeros(3), torch.tensor([0, 1, 3]), positions=torch.tensor([7, 8, 9]))
    assert batch.places().tolist() == [7, 8, 9]


def test_half_precision_means_do_not_drift() -> None:
    """In bfloat16 a running sum of ones stops at 256; the mean of 1,000 ones must still be one."""
    ones = torch.ones(1000, 2, dtype=torch.bfloat16)
    mean = segment_mean(ones, torch.tensor([0, 1000]))
    assert mean.dtype == torch.bfloat16
    assert mean.tolist() == [[1.0, 1.0]]


def test_wrong_pooling_says_what_is_valid() -> None:
    features = Features(torch.ones(1, 2), torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="mean, max, sum, first, last"):
        features.pooled("median")
    with pytest.raises(ValueError, match="at least one element"):
        features.pooled("first")


def test_packing_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no examples"):
        pack([])


def test_to_moves_every_part() -> None:
    moved = full_batch([2, 1], 0).to("meta")
    parts = [moved.inputs, moved.offsets, moved.edges, moved.cell, moved.positions, moved.index]
    parts += [moved.targets["label"], moved.element_targets["site"]]
    assert all(part is not None and part.device.type == "meta" for part in parts)


def test_what_an_edge_carries_goes_with_it() -> None:
    batch = full_batch([3, 0, 4, 2], 1)
    batch = replace(batch, edge_inputs=torch.arange(batch.edges.shape[1]).float()[:, None])
    some = batch.select([3, 2, 3])
    for place, example in enumerate((3, 2, 3)):
        inside = (batch.edges[0] >= batch.offsets[example]) & (batch.edges[0] < batch.offsets[example + 1])
        mine = (some.edges[0] >= some.offsets[place]) & (some.edges[0] < some.offsets[place + 1])
        torch.testing.assert_close(some.edge_inputs[mine], batch.edge_inputs[inside])
        shifted = batch.edges[:, inside] - batch.offsets[example] + some.offsets[place]
        torch.testing.assert_close(some.edges[:, mine], shifted)


def test_selecting_nodes_of_a_graph_keeps_the_others_as_neighbours() -> None:
    inputs = torch.arange(5.0)[:, None]
    ring = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    batch = Batch(
        inputs, torch.arange(4), edges=ring, linked=True, index=torch.arange(3), edge_inputs=torch.arange(5.0)
    )
    some = batch.select([2, 0])
    assert some.inputs.flatten().tolist() == [2, 0, 1, 3, 4]
    assert some.offsets.tolist() == [0, 1, 2] and some.index.tolist() == [2, 0]
    torch.testing.assert_close(some.inputs[some.edges].squeeze(-1), inputs[ring].squeeze(-1))
    torch.testing.assert_close(some.edge_inputs, batch.edge_inputs)
    with pytest.raises(ValueError, match="once only"):
        batch.select([0, 0])
