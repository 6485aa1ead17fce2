"""Masked atoms: hide which element some atoms are, and tell it from their surroundings (Hu et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.base import Loss, Objective
from exapt.objectives.cross_entropy import plain_cross_entropy
from exapt.objectives.guess import Guess


class MaskedAtoms(Objective):
    """Scalars of hidden atoms -> SiLU layer -> one of the elements; the mask's 0 is no answer that ever stands."""

    def __init__(self, domain: Domain, backbone: Backbone, ratio: float, seed: int | None = None) -> None:
        super().__init__()
        self.domain, self.ratio = domain, ratio
        self.hidden = nn.Linear(backbone.width, backbone.width)
        self.out = nn.Linear(backbone.width, domain.inputs.vocabulary)
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        for layer in (self.hidden, self.out):
            nn.init.normal_(layer.weight, std=backbone.width**-0.5, generator=rng)
            nn.init.zeros_(layer.bias)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        """Mean cross entropy of the hidden atoms, in nats."""
        guess = self.guess(backbone, batch, rng)
        loss, correct = plain_cross_entropy(guess.output, guess.target)
        return Loss(loss, len(guess.target), {"accuracy": correct})

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """What it says of every hidden atom."""
        masked = self.domain.mask(batch, self.ratio, rng)
        elements: Tensor = backbone(masked.batch).elements.index_select(0, masked.where)
        output = self.out(F.silu(self.hidden(elements)))
        return Guess("classes", output, masked.target, batch.segments.to(masked.where.device)[masked.where])
