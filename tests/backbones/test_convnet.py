"""The residual convnet: its elements are the cells of its last grid, and its weights follow a seed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from exapt.backbones import ConvNet, ConvNetSpec
from exapt.backbones.convnet import CONV_SIZES, ConvLayer
from exapt.batch import Batch, offsets_of
from exapt.domains.base import Inputs
from exapt.errors import InputError


def inputs(patch: int = 4, channels: int = 3) -> Inputs:
    return Inputs("pictures", channels=channels, patch=patch, length=64)


def pictures(count: int = 3, patch: int = 4, height: int = 16, width: int = 32, channels: int = 3) -> Batch:
    values = torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))
    return Batch(values, offsets_of(torch.full((count,), (height // patch) * (width // patch))))


def network(seed: int = 0, patch: int = 4, channels: int = 3, **keys: object) -> ConvNet:
    """With every weight drawn, also those that start at zero."""
    built = ConvNetSpec(**{"size": "nano", "width": 8} | keys).build(inputs(patch, channels), seed)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in built.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=rng))
    return built


@pytest.mark.parametrize("patch", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("stages", [1, 3, 4])
def test_as_many_elements_as_the_domain_says(patch: int, stages: int) -> None:
    batch = pictures(patch=patch)
    features = network(patch=patch, stages=stages)(batch)
    assert features.elements.shape == (int(batch.offsets[-1]), 8 * 2 ** (stages - 1))
    assert features.offsets is batch.offsets


def test_elements_are_cells_in_row_order() -> None:
    """A change of one corner changes the elements near that corner, by their rows and columns."""
    backbone = network(stages=2, norm="batch").eval()
    batch = pictures(count=1, height=32, width=64)
    changed = batch.inputs.clone()
    changed[:, :, :4, -4:] += 1
    one, other = (backbone(Batch(values, batch.offsets)).elements for values in (batch.inputs, changed))
    grid = (one - other).abs().sum(1).reshape(8, 16)
    assert grid[0, -1] > 0
    assert grid[:, :8].max() == 0
    assert grid[6:].max() == 0


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_the_network_by_hand(norm: str) -> None:
    """The forward pass written out with plain functions, in float64."""
    backbone = network(norm=norm, depth=2).double()
    batch = pictures()
    values = batch.inputs.double()

    def normal(x: Tensor, part: torch.nn.Module) -> Tensor:
        flat = x.reshape(len(x), part.num_groups, -1) if norm == "group" else x
        over = 2 if norm == "group" else (0, 2, 3)
        mean, var = flat.mean(over, keepdim=True), flat.var(over, correction=0, keepdim=True)
        x = ((flat - mean) / (var + 1e-5).sqrt()).view_as(x)
        return x * part.weight[:, None, None] + part.bias[:, None, None]

    wanted = F.conv2d(values, backbone.stem.weight, padding=1)
    for layer in backbone.layers:
        ready = normal(wanted, layer.norm1).clamp(min=0)
        inner = normal(F.conv2d(ready, layer.conv1.weight, stride=layer.stride, padding=1), layer.norm2).clamp(min=0)
        short = wanted
        if layer.past is not None:
            s = layer.stride
            means = ready.unfold(2, s, s).unfold(3, s, s).mean((4, 5))
            short = torch.einsum("bchw,oc->bohw", means, layer.past.weight[:, :, 0, 0])
        wanted = short + F.conv2d(inner, layer.conv2.weight, padding=1)
    wanted = normal(wanted, backbone.final_norm).clamp(min=0)
    found = backbone(Batch(values, batch.offsets)).elements
    torch.testing.assert_close(found, torch.stack([w.flatten(1).T for w in wanted]).flatten(0, 1))


def test_group_norm_keeps_pictures_apart() -> None:
    backbone, batch = network(), pictures(4)
    alone = torch.cat([backbone(batch.select([b])).elements for b in range(4)])
    torch.testing.assert_close(backbone(batch).elements, alone, atol=1e-5, rtol=1e-5)
    assert not list(backbone.buffers()), "no statistics of batches"


def test_gradients() -> None:
    backbone = network(channels=1, stages=2, width=4, norm="group").double()
    batch = pictures(1, height=8, width=8, channels=1)

    def elements(values: Tensor) -> Tensor:
        return backbone(Batch(values, batch.offsets)).elements

    values = batch.inputs.double().requires_grad_()
    assert torch.autograd.gradcheck(elements, values)
    elements(values).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_weights_follow_the_seed(norm: str) -> None:
    spec = ConvNetSpec(size="nano", norm=norm)  # type: ignore[arg-type]
    state = torch.get_rng_state()
    one, same, other = (spec.build(inputs(), seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    pairs = zip(one.state_dict().items(), same.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) and a.isfinite().all() for (_, a), b in pairs)
    assert not torch.equal(one.stem.weight, other.stem.weight)


def test_layers_start_as_the_short_way() -> None:
    backbone = ConvNetSpec(size="mini", width=8).build(inputs(), 0)
    values = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = [layer for layer in backbone.layers if isinstance(layer, ConvLayer) and layer.past is None]
    assert plain
    assert torch.equal(plain[0](values), values)


@pytest.mark.parametrize(("size", "parameters"), [("nano", 77_200), ("micro", 306_976), ("small", 11_167_040)])
def test_sizes(size: str, parameters: int) -> None:
    backbone = ConvNetSpec(size=size).build(inputs(), 0)  # type: ignore[arg-type]
    assert backbone.size() == parameters
    assert backbone.width == CONV_SIZES[size].width * 2 ** (CONV_SIZES[size].stages - 1)


def test_keys_beside_a_size() -> None:
    assert ConvNetSpec(size="nano", width=12, depth=2, stages=4).shape == (12, 2, 4)
    assert network(width=12).width == 48, "groups of 4 where 8 does not divide the channels"


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_blocks_hold_every_parameter_once(norm: str) -> None:
    backbone = network(norm=norm, depth=2)
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert {id(p) for p in held} == {id(p) for p in backbone.parameters()}
    assert len(held) == len(list(backbone.parameters()))
    assert len(backbone.blocks) == 6 + 2


def test_no_pictures() -> None:
    for norm in ("group", "batch"):
        assert network(norm=norm)(pictures(0)).elements.shape == (0, 32)


def test_one_channel_and_a_copy() -> None:
    backbone = network(channels=1)
    batch = pictures(channels=1)
    assert backbone.grid(batch).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(copy.deepcopy(backbone)(batch).elements, backbone(batch).elements)


def test_bfloat16_is_close() -> None:
    backbone, batch = network(), pictures()
    with torch.autocast("cpu", torch.bfloat16):
        rough = backbone(batch).elements.float()
    exact = backbone(batch).elements
    assert (rough - exact).norm().item() < 0.03 * exact.norm().item()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (Inputs("tokens", vocabulary=9, length=8), "takes pictures, not tokens"),
        (inputs(patch=6), "domain.patch: 6; .* power of two; valid: 1, 2, 4"),
    ],
)
def test_a_domain_that_does_not_fit(given: Inputs, word: str) -> None:
    with pytest.raises(InputError, match=word):
        ConvNetSpec().build(given)


def test_single_patches_are_refused() -> None:
    patches = Batch(torch.zeros(5, 48), offsets_of(torch.tensor([2, 3])), positions=torch.zeros(5, 2))
    with pytest.raises(InputError, match="sees whole pictures"):
        network()(patches)


def test_norms_train_over_frozen_layers() -> None:
    """Torch's own backward pass crashes the process here (channels last, an input without gradient)."""
    backbone, batch = network(), pictures()
    wanted = torch.autograd.grad(backbone(batch).elements.square().sum(), list(backbone.final_norm.parameters()))
    for block in list(backbone.blocks)[:-1]:
        block.requires_grad_(False)
    backbone(batch).elements.square().sum().backward()
    for p, slope in zip(backbone.final_norm.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, slope)


def test_nodes_of_graphs_are_refused_with_the_backbone_that_takes_them() -> None:
    with pytest.raises(InputError, match=r"^backbone.kind=convnet takes pictures, not nodes; valid here: graphnet$"):
        ConvNetSpec().build(Inputs("nodes", features=3))
