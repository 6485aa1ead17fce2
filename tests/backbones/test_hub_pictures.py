"""Hugging Face models over pictures: patch tokens in the domain's order, in the colours that the model knows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from exapt.backbones import HubSpec
from exapt.backbones.colours import Colours
from exapt.batch import Batch, offsets_of
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.objectives import MaskedSpec

transformers = pytest.importorskip("transformers")

INPUTS = Inputs("pictures", channels=3, patch=8, length=16)
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
SMALL |= {"image_size": 32, "patch_size": 8}
MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "ViT": ({}, 1),
    "DeiT": ({}, 2),
    "Beit": ({}, 1),
    "Dinov2": ({}, 1),
    "Dinov2WithRegisters": ({"num_register_tokens": 3}, 4),
    "DINOv3ViT": ({"num_register_tokens": 2}, 3),
    "ViTMSN": ({}, 1),
    "IJepa": ({}, 0),
    "SiglipVision": ({}, 0),
}
"""Changes of the configuration, and how many tokens stand before the patches."""


def save(kind: str, folder: Path, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**(SMALL | MODELS.get(kind, ({}, 0))[0] | changes))
    model = getattr(transformers, f"{kind}Model")(config).eval()
    model.save_pretrained(folder)
    return model


def pictures(count: int = 3, height: int = 32, width: int = 32, channels: int = 3, patch: int = 8) -> Batch:
    values = torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))
    return Batch(values, offsets_of(torch.full((count,), height * width // patch**2)))


@pytest.mark.parametrize("kind", MODELS)
def test_elements_are_the_models_patch_tokens(kind: str, tmp_path: Path) -> None:
    model = save(kind, tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS).eval()
    batch = pictures()
    elements = backbone(batch).elements
    tokens = model(pixel_values=batch.inputs).last_hidden_state
    extra = MODELS[kind][1]
    assert tokens.shape[1] == 16 + extra
    torch.testing.assert_close(elements, tokens[:, extra:].reshape(48, 32))
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert {id(p) for p in held} == {id(p) for p in backbone.parameters()}
    assert len(held) == len(list(backbone.parameters()))
    assert len(backbone.blocks) == 2 + 2


def test_a_masked_autoencoder_sees_every_patch_in_order(tmp_path: Path) -> None:
    """ViTMAE's encoder shuffles patches and leaves most out; with the same weights ViT does not."""
    sizes = {"decoder_hidden_size": 32, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1}
    model = save("ViTMAE", tmp_path / "mae", **sizes, decoder_intermediate_size=32)
    save("ViT", tmp_path / "vit")
    one, other = (HubSpec(path=str(tmp_path / name)).build(INPUTS).eval() for name in ("mae", "vit"))
    report = other.model.load_state_dict(model.state_dict(), strict=False)
    assert not report.missing_keys or set(report.missing_keys) <= {"embeddings.mask_token"}
    torch.testing.assert_close(one(pictures()).elements, other(pictures()).elements)


@pytest.mark.parametrize("kind", ["ViT", "Dinov2", "DINOv3ViT"])
def test_other_sizes_than_it_was_trained_on(kind: str, tmp_path: Path) -> None:
    model = save(kind, tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS).eval()
    batch = pictures(2, 48, 40)
    how = {"interpolate_pos_encoding": True} if kind == "ViT" else {}
    tokens = model(pixel_values=batch.inputs, **how).last_hidden_state
    torch.testing.assert_close(backbone(batch).elements, tokens[:, -30:].reshape(60, 32))


def test_other_patches_than_the_models(tmp_path: Path) -> None:
    """Pictures of 16 × 16 in patches of 4 are enlarged twofold for a model of patches of 8."""
    model = save("ViT", tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(replace(INPUTS, patch=4)).eval()
    batch = pictures(2, 16, 16, patch=4)
    larger = F.interpolate(batch.inputs, (32, 32), mode="bicubic", antialias=True)
    tokens = model(pixel_values=larger).last_hidden_state
    torch.testing.assert_close(backbone(batch).elements, tokens[:, 1:].reshape(32, 32))


def test_colours_are_the_checkpoints(tmp_path: Path) -> None:
    """Bytes through the domain's standardisation and back equal bytes through the checkpoint's own."""
    save("ViT", tmp_path)
    said = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    raw = np.random.default_rng(0).integers(0, 256, size=(4, 32, 32, 3)).astype(np.uint8)
    domain = ImageSpec(patch=8).build(from_arrays(raw))
    batch = domain.collate([domain.read(from_arrays(raw))[i] for i in range(4)])
    mean, std = (np.array(said[key]) for key in ("image_mean", "image_std"))
    wanted = torch.from_numpy(((raw / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
    backbone = HubSpec(path=str(tmp_path)).build(domain.inputs)
    torch.testing.assert_close(backbone.prepare(batch), wanted, atol=1e-5, rtol=1e-5)
    assert backbone.spec.colours == Colours(mean=said["image_mean"], std=said["image_std"])
    halves = HubSpec(path=str(tmp_path), colours=Colours(mean=[0.5], std=[0.5])).build(domain.inputs)
    torch.testing.assert_close(
        halves.prepare(batch), wanted * 0 + torch.from_numpy(raw / 127.5 - 1).movedim(3, 1).float()
    )
    said["do_normalize"] = False
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    plain = HubSpec(path=str(tmp_path)).build(domain.inputs)
    torch.testing.assert_close(plain.prepare(batch), torch.from_numpy(raw / 255).movedim(3, 1).float())


def test_grey_pictures(tmp_path: Path) -> None:
    save("ViT", tmp_path)
    raw = np.random.default_rng(0).integers(0, 256, size=(2, 16, 16)).astype(np.uint8)
    domain = ImageSpec(patch=8).build(from_arrays(raw))
    batch = domain.collate([domain.read(from_arrays(raw))[i] for i in range(2)])
    backbone = HubSpec(path=str(tmp_path)).build(domain.inputs)
    backbone.spec.build(domain.inputs, seed=0).load_state_dict(backbone.state_dict())
    colours = Colours()
    for channel, values in enumerate(backbone.prepare(batch).unbind(1)):
        wanted = (raw / 255 - colours.mean[channel]) / colours.std[channel]
        torch.testing.assert_close(values, torch.from_numpy(wanted).float(), atol=1e-5, rtol=1e-5)


def test_the_class_token_may_be_joined(tmp_path: Path) -> None:
    model = save("Dinov2WithRegisters", tmp_path)
    backbone = HubSpec(path=str(tmp_path), class_token="join").build(INPUTS).eval()
    batch = pictures()
    tokens = model(pixel_values=batch.inputs).last_hidden_state
    assert backbone.width == 64
    wanted = torch.cat([tokens[:, 4:].mean(1), tokens[:, 0]], 1)
    torch.testing.assert_close(backbone(batch).pooled("mean"), wanted)
    save("IJepa", tmp_path / "none")
    with pytest.raises(InputError, match="no class token"):
        HubSpec(path=str(tmp_path / "none"), class_token="join").build(INPUTS)(batch)


def test_fresh_weights_and_an_artifact_without_the_folder(tmp_path: Path) -> None:
    save("ViT", tmp_path / "model")
    (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1] * 3}))
    backbone = HubSpec(path=str(tmp_path / "model")).build(INPUTS)
    spec = HubSpec.parse(json.loads(json.dumps(backbone.spec.plain())))
    (tmp_path / "model").rename(tmp_path / "moved")
    one, same, other = (spec.build(INPUTS, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    one.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(one.eval()(pictures()).elements, backbone.eval()(pictures()).elements)
    assert one.spec.colours is not None
    assert one.spec.colours.mean == [0.1] * 3
    assert spec.build(replace(INPUTS, channels=1), 0)(pictures(channels=1)).elements.shape == (48, 32)


def test_nothing_in_nothing_out(tmp_path: Path) -> None:
    save("ViT", tmp_path)
    assert HubSpec(path=str(tmp_path)).build(INPUTS)(pictures(0)).elements.shape == (0, 32)


def test_what_does_not_fit(tmp_path: Path) -> None:
    save("ViT", tmp_path)
    with pytest.raises(InputError, match=r"3 channels, the domain's have 4; valid here: domain\.channels=3"):
        HubSpec(path=str(tmp_path)).build(replace(INPUTS, channels=4))
    with pytest.raises(InputError, match=r"colours has 2 channels, the model 3"):
        HubSpec(path=str(tmp_path), colours=Colours(mean=[0.1, 0.2])).build(INPUTS)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS)
    with pytest.raises(InputError, match="sees whole pictures"):
        backbone(Batch(torch.zeros(4, 192), offsets_of(torch.tensor([4]))))
    domain = ImageSpec(patch=8).build(from_arrays(np.zeros((3, 32, 32, 3), np.uint8)))
    with pytest.raises(InputError, match="HubPictures sees them whole"):
        MaskedSpec().build(domain, backbone)


def test_models_without_patches_are_refused(tmp_path: Path) -> None:
    sizes = {"num_channels": 3, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    transformers.ResNetModel(transformers.ResNetConfig(**sizes)).save_pretrained(tmp_path / "resnet")
    with pytest.raises(InputError, match="a resnet model has no patches"):
        HubSpec(path=str(tmp_path / "resnet")).build(INPUTS)
    swin = transformers.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=2
    )
    transformers.SwinModel(swin).save_pretrained(tmp_path / "swin")
    with pytest.raises(InputError, match=r"for 64 patches; valid: models that keep one vector a patch"):
        HubSpec(path=str(tmp_path / "swin")).build(replace(INPUTS, patch=4))(pictures(patch=4))
