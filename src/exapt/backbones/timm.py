"""Models of timm over pictures: patch tokens, or the cells of a convolutional network's last grid, are the elements.

Shapes: B pictures, h × w cells, T tokens of a picture (prefix tokens first), D width.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone, not_taken
from exapt.backbones.colours import Colours, Prepare
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec


class TimmSpec(Spec):
    """A model of timm, which needs a torchvision that imports; neither comes with exapt."""

    kind: Literal["timm"] = "timm"
    model: str
    """Its name in timm, such as `resnet18` or `vit_small_patch16_224`."""
    pretrained: bool = False
    """Whether timm's weights are taken, from the user's cache or the hub. False: fresh ones."""
    channels: int | None = None
    """Channels that the model sees; None: 3 with timm's weights, otherwise the domain's."""
    colours: Colours | None = None
    """What the model's own pictures are normalised by; None: what timm says, or ImageNet's figures."""

    def build(self, inputs: Inputs, seed: int | None = None) -> TimmBackbone:
        """Raises `InputError` where timm does not import, for an unknown model, or for elements that are no pictures.

        torch's global generator is left as it was where a seed is given.
        """
        if inputs.kind != "pictures":
            raise not_taken("timm", "pictures", inputs.kind)
        timm = _library()
        channels = self.channels or (3 if self.pretrained else inputs.channels)
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            model = _asked(timm, self.model, pretrained=self.pretrained, num_classes=0, in_chans=channels)
        colours = self.colours or _colours(model)
        settled = self.model_copy(update={"pretrained": False, "channels": channels, "colours": colours})
        return TimmBackbone(settled, model, inputs, channels)

    def fresh(self, inputs: Inputs, seed: int | None = None) -> TimmBackbone:
        """The same architecture with random weights: what the pre-trained ones are compared with."""
        return self.model_copy(update={"pretrained": False}).build(inputs, seed)


class TimmBackbone(Backbone):
    """A wrapped model over whole pictures."""

    whole: ClassVar[bool] = True

    def __init__(self, spec: TimmSpec, model: Any, inputs: Inputs, channels: int) -> None:
        super().__init__()
        self.spec, self.inputs, self.causal = spec, inputs, False
        self.prepare = Prepare(inputs, spec.colours or Colours(), channels, _patch(model, spec.model), spec.model)
        self.model: Any = model
        self.width = int(model.num_features)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return _blocks(self.model)

    def forward(self, batch: Batch) -> Features:
        if not len(batch):
            return Features(torch.zeros(0, self.width, device=batch.inputs.device), batch.offsets)
        tokens = self._tokens(self.model.forward_features(self.prepare(batch)))
        cells = self.prepare.cells(batch)
        if tokens.shape[1:] != (cells, self.width):
            raise InputError(
                f"{self.spec.model}: gives {tokens.shape[1]} elements of {tokens.shape[2]} features for {cells} "
                f"patches and a width of {self.width}; valid: models that keep one vector a patch"
            )
        return Features(tokens.reshape(-1, self.width), batch.offsets)

    def _tokens(self, features: Tensor) -> Tensor:
        """(B, h · w, D) from tokens (B, T, D), or a grid with its channels first or, as some have them, last."""
        if features.ndim == 3:
            return features[:, int(getattr(self.model, "num_prefix_tokens", 0)) :]
        last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
        return (features if last else features.permute(0, 2, 3, 1)).flatten(1, 2)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """[what comes first, each part of each stage …, what comes last]: every parameter once, in timm's order."""
    parts: list[nn.Module] = []
    for child in model.children():
        parts += list(child) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    parts = [part for part in parts if any(True for _ in part.parameters())]
    if any(isinstance(part, nn.Linear | nn.Conv2d) for part in parts[-1].modules()):
        parts.append(nn.ModuleList())  # no final norm
    own = nn.ParameterList(model.parameters(recurse=False))
    return [nn.ModuleList([own, parts[0]]), *parts[1:]]


def _library() -> Any:
    """Timm; it imports torchvision, which can be there and fail in ways of its own."""
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        missing = error.name or "timm"
    except (RuntimeError, OSError, AttributeError) as error:
        missing = str(error).strip().splitlines()[0]
    raise InputError(
        f"backbone.kind=timm does not import here ({missing}): install timm and a torchvision built for this torch; "
        "valid without: convnet, transformer, hub"
    )


def _asked(timm: Any, name: str, **options: Any) -> Any:
    """A model by its name, for any size of picture where it would else be for one."""
    if name not in timm.list_models():
        near = ", ".join(get_close_matches(name, timm.list_models(), cutoff=0.3)) or "see timm.list_models()"
        raise InputError(f"backbone.model: timm knows no '{name}'; near it: {near}")
    try:
        return timm.create_model(name, dynamic_img_size=True, **options)
    except TypeError:
        return timm.create_model(name, **options)


def _colours(model: Any) -> Colours:
    """What timm says of a model's pictures."""
    said = getattr(model, "pretrained_cfg", None) or {}
    return Colours.parse({key: list(said[key]) for key in ("mean", "std") if said.get(key)})


def _patch(model: Any, name: str) -> int:
    """Pixels that one element stands for along a side."""
    if hasattr(model, "patch_embed") and getattr(model, "num_prefix_tokens", None) is not None:
        return int(model.patch_embed.patch_size[0])
    stages = getattr(model, "feature_info", None)
    if not stages:
        raise InputError(f"{name}: timm does not say how far it shrinks a picture; valid: ViTs and convolutional nets")
    return int(stages[-1]["reduction"])
