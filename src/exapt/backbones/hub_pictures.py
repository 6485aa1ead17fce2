"""Hugging Face models over pictures (ViT, DINOv2, DINOv3 and their kind): patch tokens are the elements.

Shapes: B pictures, h × w patches, T tokens of a picture (class and register tokens first), D width.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.backbones.colours import Colours, Prepare
from exapt.backbones.wrapped import blocks_of
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.files import read_json

if TYPE_CHECKING:
    from exapt.backbones.hub import HubSpec

FOLDER = "preprocessor_config.json"
"""Where a checkpoint says how its pictures are normalised."""


class HubPictures(Backbone):
    """A wrapped model over whole pictures; what it was trained to see is made of what the domain gives."""

    whole: ClassVar[bool] = True

    def __init__(self, spec: HubSpec, model: Any, inputs: Inputs, patch: int) -> None:
        super().__init__()
        self.spec, self.inputs, self.causal = spec, inputs, False
        channels = int(getattr(model.config, "num_channels", 3))
        self.prepare = Prepare(inputs, spec.colours or Colours(), channels, patch, spec.path)
        self.model: Any = model
        self.hidden = int(model.config.hidden_size)
        self.width = self.hidden * (2 if spec.class_token == "join" else 1)
        asked = inspect.signature(model.forward).parameters
        self.interpolates, self.shuffles = "interpolate_pos_encoding" in asked, "noise" in asked
        if self.shuffles:  # a masked autoencoder
            model.config.mask_ratio = 0.0

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return blocks_of(self.model)

    def forward(self, batch: Batch) -> Features:
        if not len(batch):
            return Features(torch.zeros(0, self.width, device=batch.inputs.device), batch.offsets)
        tokens = self._tokens(self.prepare(batch), self.prepare.cells(batch))
        extra = tokens.shape[1] - self.prepare.cells(batch)
        elements = tokens[:, extra:]
        if self.spec.class_token == "join":
            if not extra:
                raise InputError(f"{self.spec.path}: has no class token; valid: backbone.class_token=drop")
            elements = torch.cat([elements, tokens[:, :1].expand_as(elements)], -1)
        return Features(elements.reshape(-1, self.width), batch.offsets)

    def _tokens(self, pictures: Tensor, cells: int) -> Tensor:
        """(B, T, D) the last layer's; raises `InputError` where they are no patches of the picture."""
        how: dict[str, Any] = {"interpolate_pos_encoding": True} if self.interpolates else {}
        if self.shuffles:  # it takes patches in a random order, unless told in which
            how["noise"] = torch.arange(cells, device=pictures.device).expand(len(pictures), -1)
        try:
            hidden = self.model(pixel_values=pictures, **how).last_hidden_state
        except ValueError as error:
            raise InputError(f"{self.spec.path}: {str(error).splitlines()[0]}; set domain.size") from None
        if hidden.ndim != 3 or not 0 <= hidden.shape[1] - cells <= 16:
            raise InputError(
                f"{self.spec.path}: gives features of shape {tuple(hidden.shape[1:])} for {cells} patches; valid: "
                "models that keep one vector a patch, such as vit, dinov2 and dinov3_vit"
            )
        return torch.as_tensor(hidden)


def patch_of(config: Mapping[str, Any], path: str) -> int:
    """The side of a patch of a described model; raises `InputError` for what is no model over patches."""
    patch, width = config.get("patch_size"), config.get("hidden_size")
    if isinstance(patch, list | tuple) and len(set(patch)) == 1:
        patch = patch[0]
    if not isinstance(patch, int) or not isinstance(width, int):
        raise InputError(
            f"{path}: a {config.get('model_type')} model has no patches that are elements; valid for pictures: "
            "vit, deit, beit, dinov2, dinov3_vit and their kind"
        )
    return patch


def colours_of(path: str) -> Colours:
    """What a local folder says of its pictures, or ImageNet's figures."""
    file = Path(path).expanduser() / FOLDER
    if not file.is_file():
        return Colours()
    found = read_json(file)
    if not found.get("do_normalize", True):
        return Colours(mean=[0.0], std=[1.0])
    named = {"mean": found.get("image_mean"), "std": found.get("image_std")}
    return Colours.parse({key: value for key, value in named.items() if value})
