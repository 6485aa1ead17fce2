"""An anchor-free detection head on the grid of a backbone's elements (FCOS: Tian et al. 2019, arXiv 1904.01355)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.batch import Features
from exapt.errors import InputError
from exapt.spec import Spec

RARE = 0.01
"""Score of every class before training: most cells hold nothing (Lin et al. 2017, §4.1)."""
GROUPS = 8


class DetectHeadSpec(Spec):
    """Two towers of 3 × 3 convolutions: one tells classes, the other boxes and centre-ness."""

    width: PositiveInt = 64
    """Channels of the towers, a multiple of 8."""
    depth: int = Field(default=2, ge=1, le=4)
    """Convolutions of each tower."""
    upsample: Literal[1, 2, 4] = 2
    """Cells down and across for each element: small objects need cells of their size or less."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the features dropped in training."""


class DetectHead(nn.Module):
    """Features to (B, G, C + 5): class logits, log-distances left, top, right, bottom, and centre-ness.

    Distances are in typical sides and every output starts at the same value: no class, a box of the typical size.
    """

    def __init__(
        self, spec: DetectHeadSpec, width: int, classes: int, shape: tuple[int, int], seed: int | None = None
    ) -> None:
        super().__init__()
        if spec.width % GROUPS:
            raise InputError(f"task.head.width {spec.width}; expected a multiple of {GROUPS}")
        self.shape, self.times = shape, spec.upsample
        self.dropout = nn.Dropout(spec.dropout)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, spec.width * spec.upsample**2)
        self.naming = _tower(spec)
        self.placing = _tower(spec)
        self.named = nn.Conv2d(spec.width, classes, 3, padding=1)
        self.placed = nn.Conv2d(spec.width, 5, 3, padding=1)
        self._start(seed)

    def forward(self, features: Features) -> Tensor:
        """(B, G, C + 5), the cells row by row."""
        count, (rows, columns) = len(features), self.shape
        if len(features.elements) != count * rows * columns:
            raise InputError(
                f"task.kind=detect: the backbone gives {len(features.elements)} elements for {count} pictures, "
                f"not {rows} × {columns} each"
            )
        values = self.widen(self.dropout(self.norm(features.elements)))
        grid = values.reshape(count, rows, columns, -1).permute(0, 3, 1, 2)
        grid = nn.functional.pixel_shuffle(grid, self.times).contiguous()
        out = torch.cat([self.named(self.naming(grid)), self.placed(self.placing(grid))], 1)
        return out.flatten(2).transpose(1, 2)

    def _start(self, seed: int | None) -> None:
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                fan = part.weight[0].numel()
                nn.init.normal_(part.weight, std=math.sqrt(2 / fan), generator=rng)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        for last in (self.named, self.placed):
            nn.init.zeros_(last.weight)
        assert self.named.bias is not None
        nn.init.constant_(self.named.bias, -math.log((1 - RARE) / RARE))


def _tower(spec: DetectHeadSpec) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(spec.depth):
        layers += [nn.Conv2d(spec.width, spec.width, 3, padding=1), nn.GroupNorm(GROUPS, spec.width), nn.ReLU()]
    return nn.Sequential(*layers)
