"""What a network says of single items, as a distribution: for Fisher information, and for keeping old outputs.

Shapes: M items (hidden tokens, patches, labelled examples), K classes, labels or values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Guess:
    """Predictions of M items, which belong to the examples of a batch."""

    kind: Literal["classes", "labels", "values"]
    """One class out of K, K labels with a probability each, or K numbers with Gaussian errors of variance K / 2."""
    output: Tensor
    """(M, K) logits, or means."""
    target: Tensor
    """(M,) classes, or (M, K) labels or values with NaN where they are missing."""
    owner: Tensor
    """(M,) the example of each item, ascending."""

    def surprise(self, target: Tensor | None = None) -> Tensor:
        """(M,) −log p of the targets, up to a constant; for values the mean squared error over K."""
        wanted = self.target if target is None else target
        output = self.output.to(torch.promote_types(self.output.dtype, torch.float32))
        if self.kind == "classes":
            return F.cross_entropy(output, wanted, reduction="none")
        seen = wanted.isfinite()
        wanted = torch.where(seen, wanted, 0.0).to(output)
        if self.kind == "labels":
            return (F.binary_cross_entropy_with_logits(output, wanted, reduction="none") * seen).sum(1)
        return ((output - wanted).square() * seen).mean(1)

    def draw(self, rng: torch.Generator) -> Tensor:
        """Targets drawn from the predictions themselves, with a generator on the processor."""
        output = self.output.detach().float().cpu()
        if self.kind == "classes":
            drawn = torch.multinomial(output.softmax(1), 1, generator=rng)[:, 0] if len(output) else self.target.cpu()
        elif self.kind == "labels":
            drawn = torch.bernoulli(output.sigmoid(), generator=rng)
        else:
            noise = torch.randn(output.shape, generator=rng)
            drawn = output + noise * (output.shape[1] / 2) ** 0.5
        return drawn.to(self.output.device)

    def directions(self) -> list[Tensor]:
        """K scalars whose per-example gradients, squared and summed, are the exact Fisher information of one item each.

        For classes √p_c · −log p_c, p_c held fixed; for labels √(p (1 − p)) · logit; for values √(2 / K) · mean.
        """
        output = self.output
        if self.kind == "classes":
            surprise = -output.log_softmax(1)
            return list(((-surprise.detach()).exp().sqrt() * surprise).sum(0))
        if self.kind == "labels":
            chance = output.detach().sigmoid()
            return list(((chance * (1 - chance)).sqrt() * output).sum(0))
        return list((output * (2 / output.shape[1]) ** 0.5).sum(0))
