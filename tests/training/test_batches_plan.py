"""Plans of batches: every example once, within budget, the same wherever and however often they are made."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import collate, dataset

from exapt.domains.cutting import window_dataset
from exapt.errors import InputError
from exapt.training.batches import Batches, Feed


def places(batches: Batches, epoch: int = 0) -> list[int]:
    return [int(i) for part in batches.plan(epoch) for i in part]


@given(
    st.integers(1, 200),
    st.one_of(st.integers(1, 40).map(lambda b: {"batch": b}), st.integers(12, 90).map(lambda e: {"batch_elements": e})),
    st.booleans(),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_example_comes_once_within_budget(n: int, size: dict[str, int], bucket: bool, accumulate: int) -> None:
    data = dataset(n)
    batches = Batches(data, collate, bucket=bucket, seed=3, **size)
    steps = batches.steps(1, accumulate)
    assert sorted(int(i) for step in steps for part in step for i in part) == list(range(n))
    assert all(1 <= len(step) <= accumulate for step in steps)
    for part in (part for step in steps for part in step):
        if "batch" in size:
            assert 0 < len(part) <= size["batch"]
        else:
            assert data.lengths[part].sum() <= size["batch_elements"]


def test_bucketing_changes_the_order_not_the_examples() -> None:
    data = dataset(300)
    flat, bucketed = Batches(data, collate, batch=8, bucket=False), Batches(data, collate, batch=8)
    assert Counter(places(flat)) == Counter(places(bucketed))
    assert places(flat) != places(bucketed)


def test_bucketing_puts_like_lengths_together() -> None:
    data = dataset(600, longest=100)

    def spread(bucket: bool) -> float:
        return float(np.mean([np.ptp(data.lengths[p]) for p in Batches(data, collate, batch=8, bucket=bucket).plan(0)]))

    assert spread(True) < 0.25 * spread(False)


def test_a_small_set_makes_new_batches_every_pass() -> None:
    batches = Batches(dataset(32), collate, batch=8)
    compositions = {frozenset(map(frozenset, (part.tolist() for part in batches.plan(e)))) for e in range(5)}
    assert len(compositions) == 5


def test_plans_follow_from_seed_and_pass_alone() -> None:
    one, other = (Batches(dataset(50), collate, batch=4, seed=5) for _ in range(2))
    assert places(one, 3) == places(other, 3)
    assert places(one, 3) != places(one, 4)
    assert places(one, 3) != places(Batches(dataset(50), collate, batch=4, seed=6), 3)


def test_without_shuffling_all_passes_are_alike() -> None:
    batches = Batches(dataset(20), collate, batch=4, shuffle=False)
    assert places(batches, 0) == places(batches, 9)


@pytest.mark.parametrize(("accumulate", "ranks"), [(4, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("bucket", [True, False])
def test_only_the_product_of_batch_accumulate_and_ranks_matters(accumulate: int, ranks: int, bucket: bool) -> None:
    data = dataset(200)
    parts = Batches(data, collate, batch=4, bucket=bucket).steps(2, accumulate, ranks)
    whole = Batches(data, collate, batch=16, bucket=bucket).steps(2)
    assert [np.concatenate(s).tolist() for s in parts] == [np.concatenate(s).tolist() for s in whole]


@pytest.mark.parametrize("size", [{"batch": 3}, {"batch_elements": 40}])
@pytest.mark.parametrize("ranks", [2, 3])
def test_processes_share_out_every_step(size: dict[str, int], ranks: int) -> None:
    batches = Batches(dataset(101), collate, **size)
    steps = batches.steps(0, accumulate=2, ranks=ranks)
    assert all(len(step) % ranks == 0 and all(len(part) for part in step) for step in steps)
    used = [int(i) for step in steps for part in step for i in part]
    assert len(used) == len(set(used))
    assert len(used) > 101 - ranks
    feeds = [Feed(batches, 2, rank, ranks) for rank in range(ranks)]
    taken = [int(i) for feed in feeds for _ in steps for batch in feed.take() for i in batch.index]
    assert sorted(taken) == sorted(used)


def test_a_feed_goes_on_from_any_place() -> None:
    batches = Batches(dataset(30), collate, batch=4, windows=lambda d, p: window_dataset(d, 9, p), phases=9)
    walked = Feed(batches)
    seen = []
    for _ in range(25):
        place = (walked.epoch, walked.position)
        seen.append((place, [b.inputs.tolist() for b in walked.take()]))
    for place, expected in seen:
        feed = Feed(batches)
        feed.seek(*place)
        assert [b.inputs.tolist() for b in feed.take()] == expected


def test_windows_are_cut_elsewhere_in_every_pass() -> None:
    data = dataset(10, longest=60)
    batches = Batches(data, collate, batch=4, windows=lambda d, p: window_dataset(d, 10, p), phases=10)
    assert len({batches.phase(epoch) for epoch in range(20)}) > 5
    assert batches.examples(0).lengths.max() <= 10
    assert {batches.phase(e) for e in range(5)} <= set(range(10))


def test_lengths_may_be_what_collate_keeps() -> None:
    data = dataset(40, longest=50)
    batches = Batches(data, collate, batch_elements=16, lengths=lambda d: np.minimum(d.lengths, 8))
    assert all(np.minimum(data.lengths[part], 8).sum() <= 16 for part in batches.plan(0))


def test_an_example_larger_than_the_budget_is_named() -> None:
    with pytest.raises(InputError, match=r"memory: an example has \d+ elements, more than batch_elements = 2"):
        Batches(dataset(20), collate, batch_elements=2).plan(0)


def test_both_or_neither_size_is_refused() -> None:
    for size in ({}, {"batch": 1, "batch_elements": 1}):
        with pytest.raises(InputError, match="either batch or batch_elements"):
            Batches(dataset(3), collate, **size)


def test_no_examples_is_refused() -> None:
    with pytest.raises(InputError, match="no examples"):
        Batches(dataset(3).subset([]), collate, batch=1)


def test_fewer_examples_than_processes_is_refused() -> None:
    with pytest.raises(InputError, match="2 examples cannot feed 3 processes"):
        Batches(dataset(2), collate, batch=1).steps(0, ranks=3)


def test_iterating_yields_the_batches_of_the_first_pass() -> None:
    batches = Batches(dataset(30), collate, batch=7)
    assert [b.index.tolist() for b in batches] == [part.tolist() for part in batches.plan(0)]
    assert len(batches) == 5
