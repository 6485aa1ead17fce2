"""Gated dilated convolutions: packed equals one by one and the plain formula; what is seen; the work grows linearly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from token_promises import has_finite_gradients_everywhere, takes_next_to_nothing, tokens
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from exapt.backbones import Dilated, DilatedSpec
from exapt.batch import Batch
from exapt.domains.base import Inputs
from exapt.errors import InputError

TOKENS = Inputs(kind="tokens", vocabulary=23, length=64)
KINDS = [{}, {"causal": True}, {"kernel": 3, "cycle": 2, "depth": 5}]


def build(seed: int = 0, **options: object) -> Dilated:
    return DilatedSpec.parse({"width": 16, "depth": 3, "kernel": 5, **options}).build(TOKENS, seed).eval()


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("lengths", [[5, 9, 1, 17], [8, 8, 8], [0, 3, 0, 12], [1], [7]])
def test_packed_equals_one_by_one(options: dict[str, object], lengths: list[int]) -> None:
    backbone, batch = build(**options), tokens(lengths)
    together = backbone(batch).elements
    alone = torch.cat([backbone(batch.select([b])).elements for b in range(len(batch))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_the_network_by_hand(causal: bool) -> None:
    """Every place written out as a sum over taps, in float64."""
    backbone, batch = build(causal=causal).double(), tokens([11])

    def normal(x: Tensor, weight: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * weight

    x = normal(backbone.embed.tokens.weight[batch.inputs], backbone.embed.norm.weight)
    for layer, dilation in zip(backbone.layers, backbone.spec.dilations, strict=True):
        ready, both = normal(x, layer.norm.weight), torch.zeros(11, 32, dtype=torch.float64)
        for place in range(11):
            for tap in range(5):
                seen = place + (tap - (4 if causal else 2)) * dilation
                if 0 <= seen < 11:
                    both[place] += layer.conv.weight[:, :, 0, tap] @ ready[seen]
        x = x + (both[:, :16] * torch.sigmoid(both[:, 16:])) @ layer.Wo.weight.T
    torch.testing.assert_close(backbone(batch).elements, normal(x, backbone.final_norm.weight))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 1000))
def test_permuting_examples_permutes_features(lengths: list[int], seed: int) -> None:
    backbone, batch = build(), tokens(lengths, seed)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    features = backbone(batch)
    expected = Batch(features.elements, features.offsets).select(order).inputs
    torch.testing.assert_close(backbone(batch.select(order)).elements, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", KINDS)
def test_what_is_seen_ends_at_the_reach_and_at_the_example(options: dict[str, object]) -> None:
    backbone, batch = build(**options), tokens([40, 50])
    changed = batch.inputs.clone()
    changed[60] = (changed[60] + 1) % 23
    moved = (backbone(batch).elements - backbone(replace(batch, inputs=changed)).elements).abs().amax(1)
    reach, causal = backbone.spec.reach, backbone.causal
    first, last = (60, 60 + 2 * reach) if causal else (60 - reach, 60 + reach)
    touched = moved.nonzero().squeeze(1).tolist()
    assert touched[0] == max(40, first)
    assert touched[-1] == min(89, last)
    assert moved[:40].max() == 0


def test_the_default_sees_as_far_as_it_says() -> None:
    assert DilatedSpec().reach == 252
    assert DilatedSpec(size="tiny").dilations == [1, 2, 4, 8, 16, 32, 1, 2]


def test_work_grows_with_the_length_alone() -> None:
    backbone = build()
    work = []
    for length in (256, 512):
        with FlopCounterMode(display=False) as counter:
            backbone(tokens([length]))
        work.append(counter.get_total_flops())
    assert work[1] == 2 * work[0] > 0


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [1], [0, 1]])
def test_next_to_nothing(lengths: list[int]) -> None:
    takes_next_to_nothing(build(), lengths, 16)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("options", KINDS)
def test_gradients_are_finite_and_reach_everything(options: dict[str, object], half: bool) -> None:
    has_finite_gradients_everywhere(build(**options), half)


def test_half_precision_is_near() -> None:
    backbone, batch = build(), tokens([20, 31])
    exact = backbone(batch).elements
    with torch.autocast("cpu", torch.bfloat16):
        near = backbone(batch).elements
    assert F.cosine_similarity(exact, near.float()).min() > 0.999


def test_gradients_equal_finite_differences() -> None:
    backbone, batch = build(depth=2, width=4, kernel=3).double(), tokens([5, 3])
    weight = backbone.embed.tokens.weight

    def elements(rows: Tensor) -> Tensor:
        out = torch.func.functional_call(backbone, {"embed.tokens.weight": rows}, (batch,))
        return out.elements

    assert torch.autograd.gradcheck(elements, weight.detach().requires_grad_())


def test_blocks_hold_every_parameter_once() -> None:
    backbone = build()
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(backbone.parameters()))
    assert len(backbone.blocks) == 2 + 3


def test_seeds_fix_the_weights() -> None:
    state = torch.get_rng_state()
    one, same, other = build(3), build(3), build(4)
    assert torch.equal(state, torch.get_rng_state()), "a seeded start leaves the global generator alone"
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embed.tokens.weight, other.embed.tokens.weight)
    assert torch.equal(one.spec.fresh(TOKENS, 4).embed.tokens.weight, other.embed.tokens.weight)


def test_dropout_only_in_training() -> None:
    backbone, batch = build(dropout=0.5), tokens([6, 6])
    assert torch.equal(backbone(batch).elements, backbone(batch).elements)
    backbone.train()
    assert not torch.equal(backbone(batch).elements, backbone(batch).elements)


def test_size_of_nano() -> None:
    spec = DilatedSpec(size="nano")
    assert spec.shape == (64, 6)
    assert spec.build(TOKENS, 0).size() == 23 * 64 + 64 + 6 * (64 + 9 * 64 * 128 + 64 * 64) + 64


@pytest.mark.parametrize(
    ("options", "word"), [({"kernel": 4}, "kernel 4 has no middle"), ({"size": "big"}, "size"), ({"cycle": 0}, "cycle")]
)
def test_bad_specs_say_what_is_wrong(options: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        DilatedSpec.parse(options, "backbone")


def test_what_is_no_token_is_refused() -> None:
    with pytest.raises(InputError, match="vocabulary"):
        DilatedSpec().build(Inputs(kind="tokens"))
    with pytest.raises(InputError, match=r"kind=dilated takes tokens, not pictures; valid here: transformer, convnet"):
        DilatedSpec().build(Inputs("pictures", channels=3, patch=4))
