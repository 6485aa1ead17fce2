"""Models of timm, which cannot be a dependency of the tests: a stand-in has its face, and absence has its message."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exapt.backbones import TimmSpec
from exapt.backbones.colours import Colours
from exapt.batch import Batch, offsets_of
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.objectives import MaskedSpec


class Tokens(nn.Module):
    """As timm's VisionTransformer: prefix tokens first, a norm last."""

    num_features, num_prefix_tokens = 12, 2
    pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prefix = nn.Parameter(torch.randn(1, 2, 12))
        self.patch_embed = nn.Conv2d(channels, 12, 8, 8)
        self.patch_embed.patch_size = (8, 8)  # type: ignore[assignment]
        self.blocks = nn.Sequential(*[nn.Linear(12, 12) for _ in range(3)])
        self.norm = nn.LayerNorm(12)
        self.head = nn.Identity()

    def forward_features(self, pictures: Tensor) -> Tensor:
        patches = self.patch_embed(pictures).flatten(2).mT
        return self.norm(self.blocks(torch.cat([self.prefix.expand(len(patches), -1, -1), patches], 1)))


class Grid(nn.Module):
    """As timm's ResNet: stages, a grid with its channels first, no final norm; or last, as Swin has them."""

    num_features, feature_info = 6, ({"reduction": 2}, {"reduction": 4})

    def __init__(self, channels: int, last: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 2, 2)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 6, 2, 2))
        self.output_fmt = "NHWC" if last else "NCHW"

    def forward_features(self, pictures: Tensor) -> Tensor:
        grid = self.layer1(self.stem(pictures))
        return grid.permute(0, 2, 3, 1) if self.output_fmt == "NHWC" else grid


def create(name: str, pretrained: bool, num_classes: int, in_chans: int, **options: Any) -> nn.Module:
    assert num_classes == 0
    if name != "vit" and options:
        raise TypeError("unexpected keyword argument 'dynamic_img_size'")
    model = {"vit": Tokens, "resnet": Grid, "swin": lambda c: Grid(c, last=True)}[name](in_chans)
    if pretrained:
        for p in model.parameters():
            nn.init.constant_(p, 0.5)
    return model


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(create_model=create, list_models=lambda: ["vit", "resnet", "swin"])
    monkeypatch.setitem(sys.modules, "timm", fake)


def inputs(patch: int, channels: int = 3) -> Inputs:
    return Inputs("pictures", channels=channels, patch=patch, length=8)


def pictures(patch: int, channels: int = 3) -> Batch:
    values = torch.randn(2, channels, 2 * patch, 4 * patch, generator=torch.Generator().manual_seed(1))
    return Batch(values, offsets_of(torch.tensor([8, 8])))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(("name", "patch", "blocks"), [("vit", 8, 5), ("resnet", 4, 4), ("swin", 4, 4)])
def test_elements_and_blocks(name: str, patch: int, blocks: int) -> None:
    backbone = TimmSpec(model=name).build(inputs(patch), seed=0)
    batch = pictures(patch)
    elements = backbone(batch).elements
    given = backbone.model.forward_features(batch.inputs)
    wanted = {"vit": given[:, 2:], "swin": given.flatten(1, 2), "resnet": given.flatten(2).mT}[name]
    assert torch.equal(elements, wanted.reshape(16, -1))
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert {id(p) for p in held} == {id(p) for p in backbone.parameters()}
    assert len(held) == len(list(backbone.parameters()))
    assert len(backbone.blocks) == blocks
    assert backbone(Batch(torch.zeros(0, 3, 8, 8), offsets_of(torch.zeros(0, dtype=torch.long)))).elements.shape[0] == 0


@pytest.mark.usefixtures("timm")
def test_weights_follow_the_seed_or_are_timms() -> None:
    spec = TimmSpec(model="vit", pretrained=True)
    state = torch.get_rng_state()
    one, same, other = (spec.fresh(inputs(8), seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.model.prefix, same.model.prefix)
    assert not torch.equal(one.model.prefix, other.model.prefix)
    grey = spec.build(inputs(8, 1), seed=0)
    assert grey.model.prefix.min().item() == 0.5
    assert grey(pictures(8, 1)).elements.shape == (16, 12), "grey pictures stand for three channels"
    assert not grey.spec.pretrained, "an artifact holds its own weights"
    grey.spec.build(inputs(8, 1), seed=0).load_state_dict(grey.state_dict())
    assert grey.spec.colours == Colours(mean=[0.5] * 3, std=[0.25] * 3)


@pytest.mark.usefixtures("timm")
def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"knows no 'resnt'; near it: resnet"):
        TimmSpec(model="resnt").build(inputs(4))
    with pytest.raises(InputError, match="takes pictures, not tokens"):
        TimmSpec(model="vit").build(Inputs("tokens", vocabulary=4))
    domain = ImageSpec(patch=8).build(from_arrays([[[[0, 0, 0]] * 16] * 16] * 3))
    with pytest.raises(InputError, match="TimmBackbone sees them whole"):
        MaskedSpec().build(domain, TimmSpec(model="vit").build(domain.inputs))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'torchvision'", name="torchvision"), r"\(torchvision\)"),
        (RuntimeError("operator torchvision::nms does not exist"), r"\(operator torchvision::nms does not exist\)"),
    ],
)
def test_what_is_missing_is_named(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise error

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(InputError, match=said + r": install timm .* valid without: convnet, transformer, hub"):
        TimmSpec(model="vit").build(inputs(8))
