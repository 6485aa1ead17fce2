"""Small heads: features to outputs, an example or an element at a time."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.batch import BINS, Features, segment_softmax, segment_sum
from exapt.spec import Spec


class HeadSpec(Spec):
    """What stands between the features and the outputs of a task."""

    pooling: Literal["mean", "max", "sum", "first", "last", "bins", "attention"] = "mean"
    """How an example's elements become one vector; not used where labels belong to elements. `bins` keeps where things
    are: the means of 16 equal runs, end to end."""
    hidden: PositiveInt | None = None
    """Width of one hidden layer; None: the outputs are linear in the features."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the features dropped in training."""

    def build(self, width: int, outputs: int, per_element: bool, seed: int | None = None) -> Head:
        """A fresh head from features of a width to (B, outputs), or (N, outputs) per element."""
        return Head(self, width, outputs, per_element, seed)


class Head(nn.Module):
    """Pool -> dropout -> (hidden layer, GELU ->) linear. The last layer starts at zero: every output equally likely."""

    def __init__(self, spec: HeadSpec, width: int, outputs: int, per_element: bool, seed: int | None = None) -> None:
        super().__init__()
        self.pooling = None if per_element else spec.pooling
        self.dropout = nn.Dropout(spec.dropout)
        self.query = nn.Linear(width, 1, bias=False) if self.pooling == "attention" else None
        width = width * BINS if self.pooling == "bins" else width
        self.hidden = nn.Linear(width, spec.hidden) if spec.hidden else None
        self.out = nn.Linear(spec.hidden or width, outputs)
        self._start(seed)

    def _start(self, seed: int | None) -> None:
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        for layer in (self.query, self.out):
            if layer is not None:
                nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.out.bias)
        if self.hidden is not None:
            nn.init.normal_(self.hidden.weight, std=self.hidden.in_features**-0.5, generator=rng)
            nn.init.zeros_(self.hidden.bias)

    def forward(self, features: Features) -> Tensor:
        x = self.dropout(self.pool(features))
        if self.hidden is not None:
            x = nn.functional.gelu(self.hidden(x))
        return self.out(x)

    def pool(self, features: Features) -> Tensor:
        """(B, D), or the elements themselves (N, D); attention pooling starts as the mean."""
        if self.pooling is None:
            return features.elements
        if self.query is None:
            return features.pooled(self.pooling)
        weights = segment_softmax(self.query(features.elements).float(), features.offsets)
        return segment_sum(weights.to(features.elements) * features.elements, features.offsets)
