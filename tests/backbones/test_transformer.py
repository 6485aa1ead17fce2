"""The transformer: packed equals one by one, whatever the order; what it may see; where its parameters are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from token_promises import has_finite_gradients_everywhere, takes_next_to_nothing, tokens

from exapt.backbones import SIZES, Transformer, TransformerSpec
from exapt.backbones.attention import way_for
from exapt.backbones.layout import Way
from exapt.batch import Batch
from exapt.domains.base import Inputs
from exapt.domains.patches import patch_positions, patchify
from exapt.errors import InputError

TOKENS = Inputs(kind="tokens", vocabulary=23, length=64)
PICTURES = Inputs(kind="pictures", channels=3, patch=4, length=64)
KINDS = [{}, {"causal": True}, {"local": 6}, {"local": 6, "causal": True}]


def build(seed: int = 0, inputs: Inputs = TOKENS, **options: object) -> Transformer:
    spec = TransformerSpec.parse({"size": "nano", "width": 32, "heads": 2, **options})
    return spec.build(inputs, seed).eval()


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("lengths", [[5, 9, 1, 17], [8, 8, 8], [0, 3, 0, 12], [1], [7]])
@pytest.mark.parametrize("way", ["plain", "fused"])
def test_packed_equals_one_by_one(options: dict[str, object], lengths: list[int], way: Way) -> None:
    backbone, batch = build(**options), tokens(lengths)
    backbone.stack.way = way
    together = backbone(batch).elements
    alone = torch.cat([backbone(batch.select([b])).elements for b in range(len(batch))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 1000))
def test_permuting_examples_permutes_features(lengths: list[int], seed: int) -> None:
    backbone, batch = build(local=4), tokens(lengths, seed)
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    features = backbone(batch)
    expected = Batch(features.elements, features.offsets).select(order).inputs
    torch.testing.assert_close(backbone(batch.select(order)).elements, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", KINDS)
def test_plain_and_fused_agree_with_gradients(options: dict[str, object]) -> None:
    batch = tokens([5, 19, 1, 17])
    results = []
    for way in ("plain", "fused"):
        backbone = build(**options)
        backbone.stack.way = way
        elements = backbone(batch).elements
        (elements * torch.linspace(-1, 1, elements.numel()).view_as(elements)).sum().backward()
        results.append((elements, [p.grad for p in backbone.parameters()]))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{"causal": True}, {"causal": True, "local": 6}])
def test_causal_does_not_look_ahead(options: dict[str, object]) -> None:
    backbone, batch = build(**options), tokens([12, 20])
    changed = batch.inputs.clone()
    changed[6:12] = (changed[6:12] + 1) % 23
    before, after = backbone(batch).elements, backbone(replace(batch, inputs=changed)).elements
    torch.testing.assert_close(before[:6], after[:6], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(before[12:], after[12:], atol=1e-6, rtol=1e-6)
    assert (before[6:12] - after[6:12]).abs().amax(-1).min() > 1e-3


def test_a_bidirectional_element_looks_ahead() -> None:
    backbone, batch = build(), tokens([12])
    changed = batch.inputs.clone()
    changed[11] = (changed[11] + 1) % 23
    assert (backbone(batch).elements - backbone(replace(batch, inputs=changed)).elements)[0].abs().max() > 1e-4


def test_a_local_window_bounds_what_is_seen() -> None:
    """Four layers, of which three are local with a reach of 2: nothing travels further than 4 layers let it."""
    backbone = build(local=4, global_every=100, depth=3)
    batch = tokens([40])
    changed = batch.inputs.clone()
    changed[39] = (changed[39] + 1) % 23
    moved = (backbone(batch).elements - backbone(replace(batch, inputs=changed)).elements).abs().amax(-1)
    assert moved[0] > 1e-6, "the first layer sees all"
    near = build(local=4, global_every=100, depth=3)
    near.stack.rules = (near.stack.rules[1],) * 3
    moved = (near(batch).elements - near(replace(batch, inputs=changed)).elements).abs().amax(-1)
    assert moved[: 39 - 6].max() == 0
    assert moved[39 - 6 :].min() > 0


def test_pictures_equal_their_patches() -> None:
    backbone = build(inputs=PICTURES)
    pictures = torch.randn(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    whole = Batch(pictures, torch.tensor([0, 6, 12]))
    patches = replace(whole, inputs=patchify(pictures, 4), positions=patch_positions(2, 3, 2))
    features = backbone(whole)
    assert features.elements.shape == (12, 32)
    torch.testing.assert_close(backbone(patches).elements, features.elements)
    assert backbone.embedding is None


@pytest.mark.parametrize("local", [0, 3])
def test_the_order_of_visible_patches_does_not_matter(local: int) -> None:
    backbone = build(inputs=PICTURES, local=local)
    rng = torch.Generator().manual_seed(0)
    values, places = torch.randn(9, 48, generator=rng), torch.randint(0, 5, (9, 2), generator=rng)
    batch = Batch(values, torch.tensor([0, 4, 9]), positions=places)
    order = torch.tensor([3, 1, 0, 2, 8, 4, 6, 7, 5])
    moved = replace(batch, inputs=values[order], positions=places[order])
    torch.testing.assert_close(backbone(moved).elements, backbone(batch).elements[order], atol=1e-5, rtol=1e-5)


def test_only_distances_matter() -> None:
    """Shifting every position, along a line or on a picture, changes nothing."""
    batch = tokens([9, 5])
    backbone = build(local=4)
    shifted = replace(batch, positions=batch.places() + 7)
    torch.testing.assert_close(backbone(shifted).elements, backbone(batch).elements, atol=1e-4, rtol=1e-4)
    backbone, places = build(inputs=PICTURES), patch_positions(1, 3, 3)
    patches = Batch(
        torch.randn(9, 48, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 9]), positions=places
    )
    moved = replace(patches, positions=places + torch.tensor([4, 11]))
    torch.testing.assert_close(backbone(moved).elements, backbone(patches).elements, atol=1e-4, rtol=1e-4)
    swapped = replace(patches, positions=places.flip(1))
    assert (backbone(swapped).elements - backbone(patches).elements).abs().max() > 1e-3


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [1], [0, 1]])
@pytest.mark.parametrize("way", ["plain", "fused"])
def test_next_to_nothing(lengths: list[int], way: Way) -> None:
    backbone = build(local=4)
    backbone.stack.way = way
    takes_next_to_nothing(backbone, lengths, 32)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("options", KINDS)
def test_gradients_are_finite_and_reach_everything(options: dict[str, object], half: bool) -> None:
    has_finite_gradients_everywhere(build(**options), half)


@pytest.mark.parametrize("way", ["plain", "fused"])
def test_half_precision_is_near(way: Way) -> None:
    backbone, batch = build(), tokens([20, 31])
    exact = backbone(batch).elements
    backbone.stack.way = way
    with torch.autocast("cpu", torch.bfloat16):
        near = backbone(batch).elements
    assert torch.nn.functional.cosine_similarity(exact, near.float()).min() > 0.999


def test_the_way_is_chosen_by_type() -> None:
    assert way_for(torch.zeros(1), False) == "plain"
    assert way_for(torch.zeros(1, dtype=torch.bfloat16), False) == "fused"


@pytest.mark.parametrize("inputs", [TOKENS, PICTURES])
def test_blocks_hold_every_parameter_once(inputs: Inputs) -> None:
    backbone = build(inputs=inputs)
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(backbone.parameters()))
    assert len(backbone.blocks) == 2 + 4
    assert backbone.size() == sum(p.numel() for p in held)


def test_seeds_fix_the_weights() -> None:
    state = torch.get_rng_state()
    one, same, other = build(3), build(3), build(4)
    assert torch.equal(state, torch.get_rng_state()), "a seeded start leaves the global generator alone"
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embed.tokens.weight, other.embed.tokens.weight)
    assert torch.equal(one.spec.fresh(TOKENS, 4).embed.tokens.weight, other.embed.tokens.weight)
    torch.manual_seed(5)
    free = build(None)
    torch.manual_seed(5)
    assert torch.equal(free.embed.tokens.weight, build(None).embed.tokens.weight)


def test_dropout_only_in_training() -> None:
    backbone, batch = build(dropout=0.5), tokens([6, 6])
    assert torch.equal(backbone(batch).elements, backbone(batch).elements)
    backbone.train()
    assert not torch.equal(backbone(batch).elements, backbone(batch).elements)


def test_sizes() -> None:
    assert list(SIZES) == ["nano", "micro", "tiny", "mini", "small", "base"]
    assert TransformerSpec(size="base").shape == (768, 22, 12, 1152)
    assert TransformerSpec(width=256).shape == (256, 4, 4, 384)
    micro = TransformerSpec(size="micro").build(Inputs(kind="tokens", vocabulary=4096, length=8), 0)
    assert micro.size() == 4096 * 128 + 4 * (4 * 128**2 + 3 * 128 * 192) + 9 * 128


@pytest.mark.parametrize(
    ("options", "word"),
    [({"size": "big"}, "size"), ({"width": 60, "heads": 8}, "multiple"), ({"causal": True, "local": 1}, "window")],
)
def test_bad_specs_say_what_is_wrong(options: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        TransformerSpec.parse(options, "backbone")


def test_no_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match="vocabulary"):
        TransformerSpec().build(Inputs(kind="tokens"))


def test_nodes_of_graphs_are_refused_with_the_backbone_that_takes_them() -> None:
    with pytest.raises(
        InputError, match=r"^backbone.kind=transformer takes tokens or pictures, not nodes; valid here: g"
    ):
        TransformerSpec().build(Inputs(kind="nodes", features=3))
