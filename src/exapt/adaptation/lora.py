"""LoRA: frozen matrices plus trained ones of low rank (Hu et al. 2021, arXiv 2106.09685), by the library peft.

W = W0 + (alpha / rank) · B A with B = 0 at the start, so that the first step begins at the pre-trained network. The sum
is folded into W when the fit is done: what is saved is a plain backbone.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from exapt.backbones.base import Backbone
from exapt.errors import InputError
from exapt.spec import Spec
from exapt.training.seeds import derive

TIMES = 10.0
"""LoRA's default rates are so many times those of whole matrices."""


class LoraSpec(Spec):
    """Train a low-rank addition to the layers' matrices, and the head; everything else stays. Needs `exapt[adapt]`."""

    rank: PositiveInt = 8
    """Rank of the addition."""
    alpha: PositiveFloat = 16.0
    """The addition counts alpha / rank times."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of what the addition is given dropped in training."""
    targets: list[str] | None = Field(default=None, min_length=1)
    """The endings of the names of the matrices to add to, such as Wqkv; None: all within the layers."""

    def insert(self, backbone: Backbone, seed: int) -> None:
        """Add to a backbone in place; nothing else in it is trained any more. The same seed gives the same start.

        Raises `InputError` where peft is missing, or no matrix has one of the names.
        """
        peft: Any = _library()
        names = self.names(backbone)
        turned = any(type(backbone.get_submodule(name)).__name__ == "Conv1D" for name in names)
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=names,
            fan_in_fan_out=turned,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "lora"))
            peft.LoraModel(backbone, config, "default")

    def names(self, backbone: Backbone) -> list[str]:
        """The names of the matrices that are added to."""
        inner = {id(part) for block in list(backbone.blocks)[1:-1] or backbone.blocks for part in block.modules()}
        every = [n for n, part in backbone.named_modules() if id(part) in inner and _is_matrix(part)]
        found = [n for n in every if self.targets is None or any(n.endswith(end) for end in self.targets)]
        if not found:
            there = sorted({name.rsplit(".", 1)[-1] for name in every})
            raise InputError(f"adapt.lora.targets: {self.targets} name no matrix here; there are: {', '.join(there)}")
        return found


def merge(backbone: Backbone) -> Backbone:
    """Fold every addition into its matrix, in place; a backbone without any is left alone."""
    for name, part in list(backbone.named_modules()):
        if hasattr(part, "lora_A") and hasattr(part, "get_base_layer"):
            layer: Any = part
            layer.merge(safe_merge=True)
            parent, _, own = name.rpartition(".")
            setattr(backbone.get_submodule(parent), own, layer.get_base_layer())
    return backbone.requires_grad_(True)


def _is_matrix(part: nn.Module) -> bool:
    """Whether it is a linear layer or a convolution; GPT-2 writes its linear layers as Conv1D.

    A dilated convolution is left as it is: peft's additions to convolutions know no dilation.
    """
    if isinstance(part, nn.Conv2d):
        return tuple(part.dilation) == (1, 1)
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"


def _library() -> Any:
    try:
        import peft
    except ImportError:
        raise InputError("adapt.lora needs `pip install 'exapt[adapt]'`") from None
    return peft
