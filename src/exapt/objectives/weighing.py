"""Losses weighed by how uncertain they are (Kendall, Gal & Cipolla 2018, arXiv 1705.07115, equations 7 and 10).

A loss L_i with a log-variance s_i counts as exp(−s_i) · f · L_i + s_i / 2, where f is ½ for a mean squared error (the
likelihood of a Gaussian) and 1 for a cross entropy (a softmax of temperature). At its best s_i = log(2 f L_i), so that
a loss counts by one over its size: what cannot be learnt is not pursued.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PACE = 10.0
"""Log-variances per unit of their parameter. AdamW moves a parameter by about its rate in a step, so that −3 would
take three thousand steps at a rate of 0.001; so it takes three hundred."""


class Uncertainty(nn.Module):
    """The log-variances of H losses, which begin at 0."""

    factors: Tensor

    def __init__(self, squared: Sequence[bool]) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(len(squared)))
        factors = torch.tensor([0.5 if one else 1.0 for one in squared])
        self.register_buffer("factors", factors, persistent=False)

    @property
    def log_variances(self) -> Tensor:
        """(H,)."""
        return PACE * self.parameter

    def forward(self, losses: Tensor, seen: Tensor) -> Tensor:
        """(H,) what each of the losses (H,) counts; 0, and no pull at its log-variance, where it has no labels."""
        counted = weighed(losses, self.log_variances, self.factors)
        return torch.where(seen, counted, torch.zeros_like(counted))

    def of(self, place: int, loss: Tensor, seen: bool) -> Tensor:
        """() the same of a single loss, in a graph of its own: the gradients of parts are measured one by one."""
        return weighed(loss, self.log_variances[place], self.factors[place]) * float(seen)


def weighed(losses: Tensor, log_variances: Tensor, factors: Tensor) -> Tensor:
    """exp(−s) · f · L + s / 2."""
    spread = log_variances.to(losses.dtype)
    return (-spread).exp() * factors.to(losses.dtype) * losses + spread / 2
