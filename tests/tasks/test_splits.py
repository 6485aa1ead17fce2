"""Splits leak nothing; budgets are nested, stratified and never tear a group."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from task_standins import dataset

from exapt.domains import DnaSpec, from_arrays
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.tasks import ClassifySpec, RegressSpec, TagSpec
from exapt.tasks.base import Task
from exapt.tasks.budgets import draw_budget, share_of
from exapt.tasks.parts import divide, divide_groups, interleave, quotas
from exapt.tasks.splits import SplitSpec, make_split

SEEDS = st.integers(0, 1000)
COUNTS = st.lists(st.integers(2, 25), min_size=2, max_size=4)


def classes(counts: list[int], seed: int = 0, **columns: object) -> tuple[Dataset, Task]:
    labels = np.random.default_rng(seed).permutation(np.repeat([f"c{i}" for i in range(len(counts))], counts))
    data = dataset(labels, **columns)
    task = ClassifySpec().build(data)
    return task.attach(data), task


def grouped(seed: int, groups: int = 12, kinds: int = 2) -> tuple[Dataset, Task]:
    """Every class in every third group at least; groups of 1 to 6 examples."""
    draw = np.random.default_rng(seed)
    rows = [(f"g{g}", f"c{(g + j) % kinds}") for g in range(groups) for j in range(draw.integers(1, 7))]
    rows += [(f"g{g}", f"c{k}") for k in range(kinds) for g in range(0, groups, 3)]
    order = draw.permutation(len(rows))
    names, labels = zip(*[rows[i] for i in order], strict=True)
    data = dataset(list(labels), group=list(names))
    task = ClassifySpec().build(data)
    return task.attach(data), task


# --- dividing ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.02, 0.9), SEEDS)
def test_every_stratum_gives_its_share(counts: list[int], share: float, seed: int) -> None:
    strata = np.repeat(np.arange(len(counts)), counts)
    chosen = divide(strata, share, np.random.default_rng(seed))
    for kind, count in enumerate(counts):
        taken = int(chosen[strata == kind].sum())
        assert abs(taken - share * count) <= 1
        assert taken == 0 if count == 1 else 1 <= taken <= count - 1


def test_quotas_round_so_that_the_total_is_right() -> None:
    assert quotas(np.array([13, 13, 13, 13]), 0.1).tolist() == [2, 1, 1, 1]
    assert quotas(np.array([100, 50]), 0.2).tolist() == [20, 10]


@settings(deadline=None)
@given(SEEDS, st.floats(0.1, 0.5))
def test_groups_stay_whole_and_shares_come_near(seed: int, share: float) -> None:
    data, task = grouped(seed, groups=24)
    strata, groups = task.strata(data), data.column("group")
    chosen = divide_groups(strata, groups, share, np.random.default_rng(seed))
    assert not set(groups[chosen]) & set(groups[~chosen])
    largest = max(Counter(groups.tolist()).values())
    assert abs(chosen.sum() - share * len(groups)) <= largest
    assert set(strata[chosen]) == set(strata[~chosen]) == set(strata)


@settings(deadline=None)
@given(COUNTS, SEEDS)
def test_every_beginning_of_an_order_is_stratified(counts: list[int], seed: int) -> None:
    strata = np.repeat(np.arange(len(counts)), counts)
    order = interleave(strata, np.random.default_rng(seed), each_first=False)
    assert sorted(order.tolist()) == list(range(len(strata)))
    for size in range(1, len(strata) + 1):
        seen = np.bincount(strata[order[:size]], minlength=len(counts))
        assert (np.abs(seen - size * np.array(counts) / len(strata)) <= len(counts)).all()
    first = interleave(strata, np.random.default_rng(seed), each_first=True)[: len(counts)]
    assert sorted(strata[first].tolist()) == list(range(len(counts)))


# --- splits --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(COUNTS, st.floats(0.1, 0.5), SEEDS)
def test_a_stratified_split_covers_all_once_and_holds_every_class(counts: list[int], share: float, seed: int) -> None:
    data, task = classes(counts, seed)
    split = make_split(data, task, SplitSpec(test=share), None, seed)
    assert sorted([*split.pool, *split.test]) == list(range(len(data)))
    truth = task.truth(data)
    for kind, count in enumerate(counts):
        assert abs((truth[split.test] == kind).sum() - share * count) <= 1
    assert set(truth[split.test]) == set(truth[split.pool]) == set(range(len(counts)))
    again = make_split(data, task, SplitSpec(test=share), None, seed)
    assert split.test.tolist() == again.test.tolist()
    assert split.record["by"] == "stratified"
    assert split.record["classes"]["test"] == {f"c{k}": int((truth[split.test] == k).sum()) for k in range(len(counts))}


def test_another_seed_gives_another_test_part() -> None:
    data, task = classes([30, 30])
    parts = {tuple(make_split(data, task, SplitSpec(), None, seed).test) for seed in range(5)}
    assert len(parts) == 5


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_no_group_is_on_both_sides(seed: int) -> None:
    data, task = grouped(seed)
    split = make_split(data, task, SplitSpec(test=0.25), None, seed)
    groups = data.column("group")
    assert split.record["by"] == "group"
    assert not set(groups[split.pool]) & set(groups[split.test])
    assert set(task.truth(data)[split.test]) == {0, 1}
    stratified = make_split(data, task, SplitSpec(test=0.25, by="stratified"), None, seed)
    assert set(groups[stratified.pool]) & set(groups[stratified.test])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=10, max_size=60), SEEDS)
def test_equal_examples_never_stand_on_both_sides(rows: list[tuple[int, bool]], seed: int) -> None:
    contents = [np.array([c, c + 1]) for c, _ in rows]
    data = dataset([str(label) for _, label in rows], values=contents)
    first = {c: str(label) for c, label in reversed(rows)}
    assume(min(Counter(first.values()).values()) >= 2 and len(set(first.values())) == 2)
    task = ClassifySpec().build(data)
    split = make_split(data, task, SplitSpec(test=0.3), None, seed)
    ours, theirs = ({rows[i][0] for i in part} for part in (split.pool, split.test))
    assert not ours & theirs
    assert split.record["duplicates taken out"] == len(rows) - len(first)
    both = sum(len({label for c, label in rows if c == content}) > 1 for content in first)
    assert split.record["duplicates with different labels"] == both
    kept = make_split(data, task, SplitSpec(test=0.3, deduplicate=False), None, seed)
    assert len(kept.pool) + len(kept.test) == len(rows)


def test_both_strands_of_dna_are_one_example() -> None:
    sequences = ["ACGTTT", "AAACGT", "CCCCCC", "GGGGGG", "ACGTAA", "TTACGT", "GATTAC", "GATTAG"]
    source = from_arrays(sequences, label=list("ababbaab"))
    for tokens in ({"tokens": "base"}, {"tokens": "kmer", "k": 4}):
        domain = DnaSpec(**tokens).build()
        data = domain.read(source)
        task = ClassifySpec().build(data)
        record = make_split(data, task, SplitSpec(test=0.4), domain, 0).record
        assert (record["duplicates taken out"], record["duplicates with different labels"]) == (3, 3)
    domain = DnaSpec(reverse_complement=False).build()
    assert make_split(domain.read(source), task, SplitSpec(test=0.4), domain, 0).record["duplicates taken out"] == 0


def test_a_given_split_is_kept_and_the_pool_gives_way_to_it() -> None:
    said = ["Train", "training", "val", "dev", "TEST", "eval", "train", "train", "valid", "train"]
    values = [np.array([v]) for v in (1, 2, 3, 4, 5, 5, 5, 4, 1, 6)]
    data = dataset(list("abababbaaa"), values=values, split=said)
    task = ClassifySpec().build(data)
    split = make_split(data, task, SplitSpec(), None, 0)
    assert split.record["by"] == "given"
    assert split.test.tolist() == [4, 5]
    assert split.valid is not None
    assert split.valid.tolist() == [2, 3, 8]
    assert split.pool.tolist() == [1, 9]
    assert split.record["duplicates taken out"] == 3


def test_unlabelled_examples_are_left_out_and_counted() -> None:
    data = dataset(["a", "b", "", "a", "b", ""])
    task = ClassifySpec(missing="ignore").build(data)
    split = make_split(data, task, SplitSpec(test=0.5), None, 0)
    assert sorted([*split.pool, *split.test]) == [0, 1, 3, 4]
    assert split.record["without a label"] == 2


def test_numbers_are_split_by_tenths_and_elements_at_random() -> None:
    values = np.random.default_rng(0).normal(size=200)
    data = dataset(values)
    task = RegressSpec().build(data)
    split = make_split(data, task, SplitSpec(test=0.2), None, 0)
    tenths = task.strata(task.attach(data))
    assert np.bincount(tenths[split.test]).tolist() == [4] * 10
    tags = dataset(["HE", "EH", "HH", "EE"], values=[np.array([i, 0]) for i in range(4)])
    parts = make_split(tags, TagSpec().build(tags), SplitSpec(test=0.25), None, 0)
    assert (len(parts.pool), len(parts.test)) == (3, 1)


@pytest.mark.parametrize(
    ("columns", "spec", "message"),
    [
        ({"labels": list("aab")}, {}, r"file\.csv: label 'b' stands only among the 2 examples of the pool"),
        ({"labels": list("abab"), "split": ["train", "train", "train", "test"]}, {}, "label 'a' stands only among"),
        (
            {"labels": list("aaab"), "split": ["train", "train", "test", "test"]},
            {},
            "label 'b' is seen only in the test",
        ),
        (
            {"labels": list("abab"), "split": ["train", "train", "tset", "test"]},
            {},
            "row 3: 'split' says 'tset'; valid",
        ),
        ({"labels": list("abab"), "split": ["train"] * 4}, {}, "the test part is empty"),
        ({"labels": list("abab"), "split": ["test"] * 4}, {}, "the training pool is empty"),
        ({"labels": list("abab"), "group": ["g"] * 4}, {}, "all examples are of one group, 'g'"),
        ({"labels": list("abab"), "group": ["g", "g", "", "h"]}, {}, "row 3: 'group' is empty"),
        ({"labels": list("aabb"), "group": list("gghh")}, {}, "label 'a' (is seen|stands) only"),
        ({"labels": list("abab")}, {"by": "group"}, r"needs the column that says the group; set labelled\.group"),
        ({"labels": list("abab")}, {"by": "given"}, r"needs the column that says train or test; set labelled\.split"),
    ],
)
def test_splits_that_cannot_be_are_named(columns: dict, spec: dict, message: str) -> None:
    data = dataset(columns.pop("labels"), **columns)
    with pytest.raises(InputError, match=message):
        make_split(data, ClassifySpec().build(data), SplitSpec(**spec), None, 0)


def test_a_label_of_several_seen_only_in_test_is_named() -> None:
    data = dataset({"x": [1, 0, 1, 0], "y": [0, 0, 0, 1]}, split=["train", "train", "test", "test"])
    with pytest.raises(InputError, match="label 'y' is seen only in the test part"):
        make_split(data, ClassifySpec().build(data), SplitSpec(), None, 0)


def test_a_split_of_one_example_is_refused() -> None:
    tags = dataset(["HE"], values=[np.array([0, 1])])
    with pytest.raises(InputError, match="1 labelled examples; a split needs at least 2"):
        make_split(tags, TagSpec().build(tags), SplitSpec(), None, 0)


# --- budgets -------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(COUNTS, SEEDS, st.floats(0.05, 0.6))
def test_budgets_are_nested_complete_and_stratified(counts: list[int], seed: int, validation: float) -> None:
    data, task = classes(counts, seed)
    pool = np.random.default_rng(seed).permutation(len(data))
    truth, kinds = task.truth(data), len(counts)
    before: tuple[set[int], set[int]] = (set(), set())
    for budget in range(2 * kinds, len(data) + 1):
        train, valid = draw_budget(data, task, pool, budget, seed, validation)
        assert len(train) + len(valid) == budget == len({*train, *valid})
        assert set(truth[train]) == set(truth[valid]) == set(range(kinds))
        assert before[0] <= set(train) and before[1] <= set(valid)
        assert set(train) | set(valid) <= set(pool)
        before = set(train), set(valid)
    again = draw_budget(data, task, pool, len(data), seed, validation)
    assert (again[0].tolist(), again[1].tolist()) == (train.tolist(), valid.tolist())


def test_shares_of_a_budget_are_as_asked_where_there_is_room() -> None:
    data, task = classes([600, 300, 100])
    truth = task.truth(data)
    train, valid = draw_budget(data, task, np.arange(1000), 100, seed=3)
    assert (len(train), len(valid)) == (80, 20)
    shares = np.bincount(truth[train]) / 80
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.04)
    other, _ = draw_budget(data, task, np.arange(1000), 100, seed=4)
    assert len(set(train) & set(other)) < 40


def test_every_example_of_the_pool_is_as_likely_to_be_drawn() -> None:
    data, task = classes([30, 10])
    drawn = Counter(i for seed in range(400) for part in draw_budget(data, task, np.arange(40), 20, seed) for i in part)
    shares = np.array([drawn[i] for i in range(40)]) / 400
    assert shares.min() > 0.38
    assert shares.max() < 0.62


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_budgets_never_tear_a_group(seed: int) -> None:
    data, task = grouped(seed)
    groups, pool = data.column("group"), np.arange(len(data))
    for budget in (4, len(data) // 2, len(data)):
        train, valid = draw_budget(data, task, pool, budget, seed)
        assert len(train) + len(valid) == budget
        assert not set(groups[train]) & set(groups[valid])
        assert set(task.truth(data)[train]) == {0, 1}


@settings(deadline=None)
@given(st.integers(1, 5), st.floats(0.01, 0.99), st.integers(10, 60), st.integers(10, 60))
def test_both_parts_of_a_budget_only_grow(least: int, validation: float, train: int, valid: int) -> None:
    budgets = range(2 * least, train + valid + 1)
    wanted = [share_of(b, validation, least, (train, valid)) for b in budgets]
    assert all(b - a in (0, 1) for a, b in pairwise(wanted))
    assert all(least <= w <= valid and least <= b - w <= train for b, w in zip(budgets, wanted, strict=True))


def test_numbers_and_elements_have_budgets_too() -> None:
    data = dataset(np.arange(50.0))
    task = RegressSpec().build(data)
    data = task.attach(data)
    train, valid = draw_budget(data, task, np.arange(50), 20, 0)
    assert (len(train), len(valid)) == (16, 4)
    assert len({int(v) // 5 for v in train}) >= 8
    with pytest.raises(InputError, match="a budget of 3 labels is too small; valid: 4"):
        draw_budget(data, task, np.arange(50), 3, 0)


def test_budgets_that_cannot_be_are_named() -> None:
    data, task = classes([9, 9, 9])
    with pytest.raises(InputError, match="a budget of 28 labels, but the pool holds 27; choose at most 27"):
        draw_budget(data, task, np.arange(27), 28, 0)
    with pytest.raises(InputError, match=r"a budget of 5 labels is too small; valid: 6 \(2 for each of 3 classes\)"):
        draw_budget(data, task, np.arange(27), 5, 0)
    few, task = classes([5, 1])
    with pytest.raises(InputError, match="too few examples of class 'c1'"):
        draw_budget(few, task, np.arange(6), 4, 0)


@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(6, 40), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_balanced_budgets_hold_equally_many_of_each_class_and_are_nested(counts: list[int], seed: int) -> None:
    data, task = classes(counts)
    pool, kinds = np.arange(len(data)), len(counts)
    drawn = [draw_budget(data, task, pool, per * 2 * kinds, seed, validation=0.5, balanced=True) for per in (1, 2, 3)]
    for per, parts in zip((1, 2, 3), drawn, strict=True):
        for part in parts:
            assert np.bincount(task.strata(data)[part], minlength=kinds).tolist() == [per] * kinds
    for smaller, larger in pairwise(drawn):
        assert all(set(a) <= set(b) for a, b in zip(smaller, larger, strict=True))


def test_balanced_budgets_go_on_where_a_class_runs_out() -> None:
    data, task = classes([4, 40])
    train, _ = draw_budget(data, task, np.arange(44), 24, seed=0, validation=0.5, balanced=True)
    assert np.bincount(task.strata(data)[train]).tolist() == [2, 10]
