"""What every backbone is: Batch in, Features out, with an order of blocks for partial fine-tuning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from exapt.batch import Batch, Features
from exapt.errors import InputError

TAKING = {
    "tokens": "transformer, dilated, strands, hub",
    "pictures": "transformer, convnet, hub, timm",
    "nodes": "graphnet",
    "quantities": "powerlaw",
}
"""The kinds of backbone that take each kind of element."""


class Backbone(nn.Module, ABC):
    """A network that turns a batch into one vector an element."""

    width: int
    """D, the width of the features."""
    whole: ClassVar[bool] = False
    """Whether it takes pictures whole only, so that none of their patches can be left out."""
    vectors: ClassVar[bool] = False
    """Whether its features have vectors, for heads that answer in space."""

    @property
    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """Ordered from input to output: the embedding first, then each layer, the final norm last.

        Together they hold every parameter exactly once: layer-wise rates and freezing go by this order.
        """

    @abstractmethod
    def forward(self, batch: Batch) -> Features:
        """Encode a batch."""

    def for_tokens(self, batch: Batch) -> Tensor:
        """(N, k · `token_width`) what a head over tokens predicts from: by default the features."""
        return self(batch).elements

    @property
    def token_width(self) -> int:
        """Width of the features that a head over tokens takes at once."""
        return self.width

    def size(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.parameters())


def not_taken(kind: str, takes: str, found: str) -> InputError:
    """What to say where a backbone of `kind` was given elements (`Inputs.kind`) that it does not take."""
    return InputError(f"backbone.kind={kind} takes {takes}, not {found}; valid here: {TAKING[found]}")
