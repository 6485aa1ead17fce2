"""Heads: pooling against loops, a start that favours nothing, and gradients everywhere."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.batch import Features, offsets_of
from exapt.errors import InputError
from exapt.tasks import ClassifySpec, HeadSpec
from exapt.tasks.heads import Head


def features(lengths: list[int], seed: int = 0, width: int = 6) -> Features:
    rng = torch.Generator().manual_seed(seed)
    return Features(torch.randn(sum(lengths), width, generator=rng), offsets_of(torch.tensor(lengths)))


def awake(head: Head, seed: int = 1) -> Head:
    """The head with no weight at zero, in evaluation."""
    rng = torch.Generator().manual_seed(seed)
    for p in head.parameters():
        torch.nn.init.normal_(p, generator=rng)
    return head.eval()


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5), st.sampled_from(["mean", "max", "sum", "first", "attention"])
)
def test_a_head_equals_a_loop_over_examples(lengths: list[int], pooling: str) -> None:
    head = awake(HeadSpec(pooling=pooling, hidden=4).build(6, 3, per_element=False))
    packed = features(lengths)
    for row, out in zip(packed.elements.split(lengths), head(packed), strict=True):
        pooled = {
            "mean": row.mean(0),
            "max": row.max(0).values,
            "sum": row.sum(0),
            "first": row[0],
            "attention": (row @ head.query.weight[0]).softmax(0) @ row if head.query else row[0],
        }[pooling]
        expected = head.out(torch.nn.functional.gelu(head.hidden(pooled)))
        torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_attention_pooling_starts_as_the_mean() -> None:
    packed = features([3, 0, 5])
    head = HeadSpec(pooling="attention").build(6, 2, per_element=False)
    torch.testing.assert_close(head.pool(packed), packed.pooled("mean"))


def test_every_output_starts_equally_likely_and_learns() -> None:
    packed = features([2, 3])
    for spec in (HeadSpec(), HeadSpec(hidden=5), HeadSpec(pooling="bins")):
        head = spec.build(6, 3, per_element=False, seed=0)
        out = head(packed)
        assert out.shape == (2, 3)
        assert not out.any()
        out[:, 0].sum().backward()
        assert head.out.bias.grad is not None and head.out.bias.grad.any()


def test_heads_of_elements_do_not_pool() -> None:
    head = awake(HeadSpec(pooling="max").build(6, 3, per_element=True))
    packed = features([2, 0, 3])
    torch.testing.assert_close(head(packed), head.out(packed.elements))


def test_a_seed_decides_the_hidden_layer_without_touching_the_global_one() -> None:
    torch.manual_seed(0)
    one, two, other = (HeadSpec(hidden=8).build(6, 2, False, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.hidden.weight, two.hidden.weight)
    assert not torch.equal(one.hidden.weight, other.hidden.weight)


def test_dropout_acts_in_training_only() -> None:
    packed = features([50], width=200)
    head = awake(HeadSpec(dropout=0.5).build(200, 4, per_element=False))
    assert torch.equal(head(packed), head(packed))
    head.train()
    assert not torch.equal(head(packed), head(packed))


def test_tasks_pass_their_head_on_and_bad_ones_are_named() -> None:
    spec = ClassifySpec.parse({"head": {"pooling": "max", "hidden": 7}}, "task")
    assert spec.head == HeadSpec(pooling="max", hidden=7)
    with pytest.raises(InputError, match=r"task: unknown key 'head\.poling'; did you mean 'pooling'\?"):
        ClassifySpec.parse({"head": {"poling": "max"}}, "task")
