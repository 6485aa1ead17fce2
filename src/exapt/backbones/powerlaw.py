"""A power law with a small network beside it: y = C Π xⱼ^aⱼ · exp(residual(x)), with one C and a for every regime.

Shapes: B examples, k quantities, R regimes, H width of the residual network. Inputs are logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from exapt.backbones.base import Backbone, not_taken
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.spec import Spec


class PowerLawSpec(Spec):
    """A power law, and a residual network that starts as nothing."""

    kind: Literal["powerlaw"] = "powerlaw"
    width: PositiveInt = 32
    """Width H of the residual network's layers."""
    depth: PositiveInt = 2
    """How many layers it has before its last, which starts at zero."""

    def build(self, inputs: Inputs, seed: int | None = None) -> PowerLaw:
        """Exponents of zero, and a residual of zero; raises `InputError` where the elements are no quantities."""
        if inputs.kind != "quantities":
            raise not_taken("powerlaw", "quantities", inputs.kind)
        return PowerLaw(self, inputs, None if seed is None else torch.Generator().manual_seed(seed))

    fresh = build
    """What pre-trained weights are compared with."""


class PowerLaw(Backbone):
    """Features (B, 1 + H): the logarithm of what the law and the residual say, and the residual's hidden layer."""

    mean: Tensor
    spread: Tensor

    def __init__(self, spec: PowerLawSpec, inputs: Inputs, rng: torch.Generator | None) -> None:
        super().__init__()
        self.spec, self.inputs, self.width = spec, inputs, 1 + spec.width
        self.register_buffer("mean", torch.tensor(inputs.mean), persistent=False)
        self.register_buffer("spread", torch.tensor(inputs.spread), persistent=False)
        self.law = Law(inputs.features, inputs.regimes)
        self.residual = Residual(inputs.features + inputs.regimes, spec.width, spec.depth, rng)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.law, self.residual]

    def forward(self, batch: Batch) -> Features:
        """Not in bfloat16: a law is exact to far more digits than that."""
        with torch.autocast(batch.inputs.device.type, enabled=False):
            regimes, logs = self.split(batch)
            law = self.law(regimes, logs)
            correction, hidden = self.residual(self.seen(regimes, logs))
            return Features(torch.cat([(law + correction)[:, None], hidden], 1), batch.offsets)

    def split(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B,) int64 regimes and (B, k) logarithms."""
        return batch.inputs[:, 0].long(), batch.inputs[:, 1:].to(self.law.exponents.dtype)

    def seen(self, regimes: Tensor, logs: Tensor) -> Tensor:
        """(B, k + R) what the residual is given: standardised logarithms, and the regime one-hot."""
        one_hot = nn.functional.one_hot(regimes, self.inputs.regimes).to(logs.dtype)
        return torch.cat([(logs - self.mean) / self.spread, one_hot], 1)


class Law(nn.Module):
    """log y = c + Σ aⱼ log xⱼ in each regime, and the information that its data held of c and a.

    With prior precision Λ the law's posterior has precision `information` + Λ and mean
    (`information` + Λ)⁻¹ `moment`: a quantity that never varied carries no information, and keeps its prior.
    """

    information: Tensor
    moment: Tensor

    def __init__(self, quantities: int, regimes: int) -> None:
        super().__init__()
        self.constants = nn.Parameter(torch.zeros(regimes))
        self.exponents = nn.Parameter(torch.zeros(regimes, quantities))
        size = 1 + quantities
        self.register_buffer("information", torch.zeros(regimes, size, size, dtype=torch.float64))
        self.register_buffer("moment", torch.zeros(regimes, size, dtype=torch.float64))

    def forward(self, regimes: Tensor, logs: Tensor) -> Tensor:
        """(B,) logarithms of y."""
        return self.constants[regimes] + (self.exponents[regimes] * logs).sum(1)


class Residual(nn.Module):
    """Tanh layers, bounded far from the data, and a last layer that starts at zero."""

    def __init__(self, inputs: int, width: int, depth: int, rng: torch.Generator | None) -> None:
        super().__init__()
        sizes = [inputs] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, 1)
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=rng)
            nn.init.uniform_(layer.bias, -1, 1, generator=rng)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) the correction of log y, and (B, H) the last hidden layer."""
        for layer in self.layers:
            seen = torch.tanh(layer(seen))
        return self.out(seen).squeeze(1), seen
