"""Masked pictures: the loss against a loop, what the encoder sees, and that a planted structure is learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exapt.backbones.transformer import Transformer, TransformerSpec
from exapt.batch import Batch, Features, offsets_of
from exapt.domains import ImageDomain, ImageSpec, from_arrays
from exapt.domains.patches import patchify
from exapt.errors import InputError
from exapt.objectives.masked import MaskedSpec
from exapt.objectives.masked_patches import MaskedPatches, beside, default_width


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, size, size, 1), dtype=np.uint8)


def built(values: np.ndarray, **options: object) -> tuple[ImageDomain, Transformer, MaskedPatches, Batch]:
    source = from_arrays(values)
    domain = ImageSpec(patch=2).build(source)
    backbone = TransformerSpec(size="nano", depth=2).build(domain.inputs, seed=0)
    objective = MaskedSpec.parse(options).build(domain, backbone, seed=1)
    assert isinstance(objective, MaskedPatches)
    dataset = domain.read(source)
    return domain, backbone, objective, domain.collate([dataset[i] for i in range(len(dataset))])


def test_the_loss_is_the_mean_squared_error_of_hidden_normalised_patches() -> None:
    domain, backbone, objective, batch = built(pictures(3), ratio=0.5)
    loss = objective(backbone, batch, rng(4))
    masked = domain.mask(batch, 0.5, rng(4))
    assert masked.queries is not None
    guess = objective.decoder(backbone(masked.batch), masked.batch.positions, masked.queries)
    patches = patchify(batch.inputs, 2)
    total = spread = 0.0
    for row, place in enumerate(masked.where.tolist()):
        pixels = patches[place]
        pixels = (pixels - pixels.mean()) / (pixels.var(unbiased=False) + 1e-6).sqrt()
        total += sum(float((guess[row, i] - pixels[i]).detach()) ** 2 for i in range(4))
        spread += float(pixels.square().sum())
    assert loss.count == 3 * 8
    assert float(loss.value.detach()) == pytest.approx(total / (loss.count * 4), rel=1e-5)
    assert float(loss.terms["explained"]) == pytest.approx(1 - total / spread, rel=1e-4)


def test_three_quarters_are_hidden_by_default_and_never_seen() -> None:
    _, backbone, objective, batch = built(pictures(2))
    loss = objective(backbone, batch, rng(1))
    assert loss.count == 2 * 12
    masked = objective.domain.mask(batch, 0.75, rng(1))
    changed = patchify(batch.inputs, 2)
    changed[masked.where] = 99.0
    blind = batch.inputs.clone()
    rows = changed.reshape(2, 4, 4, 2, 2).permute(0, 1, 3, 2, 4).reshape(2, 1, 8, 8)
    blind.copy_(rows)
    seen = objective.domain.mask(replace(batch, inputs=blind), 0.75, rng(1))
    assert torch.equal(seen.batch.inputs, masked.batch.inputs)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5))
def test_beside_puts_each_second_run_after_its_first(lengths: list[tuple[int, int]]) -> None:
    first = offsets_of(torch.tensor([a for a, _ in lengths]))
    second = offsets_of(torch.tensor([b for _, b in lengths]))
    one, two = beside(first, second)
    expected = [(b, k) for b, (n, m) in enumerate(lengths) for k in [0] * n + [1] * m]
    found = sorted([(int(p), 0) for p in one] + [(int(p), 1) for p in two])
    assert [p for p, _ in found] == list(range(len(expected)))
    assert [k for _, k in found] == [k for _, k in expected]


def test_a_batch_equals_its_pictures_one_by_one() -> None:
    domain, backbone, objective, batch = built(pictures(4))
    masked = domain.mask(batch, 0.75, rng(2))
    assert masked.queries is not None
    together = objective.decoder(backbone(masked.batch), masked.batch.positions, masked.queries)
    for b in range(4):
        seen, asked = masked.batch.select([b]), masked.queries.select([b])
        alone = objective.decoder(backbone(seen), seen.positions, asked)
        torch.testing.assert_close(alone, together[b * 12 : (b + 1) * 12], rtol=1e-4, atol=1e-5)


def test_the_decoder_knows_where_it_is_asked() -> None:
    domain, backbone, objective, batch = built(pictures(1))
    masked = domain.mask(batch, 0.75, rng(2))
    assert masked.queries is not None and masked.queries.positions is not None
    features = backbone(masked.batch)
    here = objective.decoder(features, masked.batch.positions, masked.queries)
    mirrored = replace(masked.queries, positions=masked.queries.positions.flip(0))
    there = objective.decoder(features, masked.batch.positions, mirrored)
    torch.testing.assert_close(there, here.flip(0), rtol=1e-4, atol=1e-5)
    assert (here[0] - here[1]).abs().max() > 1e-4


def test_gradients_reach_every_parameter_and_are_right() -> None:
    _, backbone, objective, batch = built(pictures(2), decoder_depth=1)
    objective(backbone, batch, rng()).value.backward()
    for name, p in [*objective.named_parameters(), *backbone.named_parameters()]:
        assert p.grad is not None and p.grad.abs().sum() > 0, name
    decoder = objective.decoder.double()
    masked = objective.domain.mask(batch, 0.75, rng())
    assert masked.queries is not None
    elements = torch.randn(len(masked.batch.inputs), 64, dtype=torch.float64, generator=rng(), requires_grad=True)

    def decode(values: torch.Tensor) -> torch.Tensor:
        return decoder(Features(values, masked.batch.offsets), masked.batch.positions, masked.queries)

    assert torch.autograd.gradcheck(decode, (elements,), fast_mode=True)


def test_it_learns_what_neighbours_tell() -> None:
    """Each picture is one ramp, rising or falling: any visible patch says how every hidden one runs."""
    ramp = np.linspace(0, 255, 8).astype(np.uint8)
    rows = np.stack([ramp if i % 2 else ramp[::-1] for i in range(64)])
    values = np.broadcast_to(rows[:, None, :, None], (64, 8, 8, 1)).copy()
    _, backbone, objective, batch = built(values, decoder_depth=1)
    optimiser = torch.optim.AdamW([*backbone.parameters(), *objective.parameters()], lr=3e-3)
    draw = rng(0)
    for _ in range(60):
        optimiser.zero_grad()
        loss = objective(backbone, batch, draw)
        loss.value.backward()
        optimiser.step()
    assert float(loss.terms["explained"]) > 0.9


def test_the_same_seed_builds_the_same_decoder_without_touching_the_global_one() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    _, _, one, _ = built(pictures(1))
    _, _, two, _ = built(pictures(1))
    assert torch.equal(before, torch.random.get_rng_state())
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_widths() -> None:
    assert [default_width(d) for d in (8, 64, 128, 192, 384)] == [4, 32, 64, 96, 192]
    with pytest.raises(InputError, match=r"decoder_width: 30 is not a multiple of 4"):
        built(pictures(1), decoder_width=30)
