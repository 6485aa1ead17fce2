"""Coordinate denoising: shake the atoms and predict by how much (Zaidi et al. 2022, arXiv 2206.00133).

For structures near a minimum this is learning a force field: the noise is, but for its sign and size, the force of a
harmonic well around them. Shapes: N atoms, D width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch, segment_mean
from exapt.domains.atom_batch import with_neighbours
from exapt.domains.atoms import AtomsDomain
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.guess import Guess


class DenoiseSpec(PretextSpec):
    """Predict the noise on every atom's place from its vectors. Needs no labels."""

    kind: Literal["denoise"] = "denoise"
    noise: float = Field(default=0.05, gt=0)
    """Å, the standard deviation of every coordinate's noise; 0.04 to 0.1 are usual."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """Raises `InputError` for another field than atoms."""
        if not isinstance(domain, AtomsDomain):
            raise InputError(f"objective.kind=denoise: takes atoms, found {domain.inputs.kind}; set domain.kind=atoms")
        return Denoise(domain.spec.cutoff, self.noise, backbone.width, seed)


class Denoise(Objective):
    """Gated vectors -> one vector an atom, in units of the noise. Both noise and answers are centred: where the whole
    structure stands cannot be told."""

    squared: ClassVar[bool] = True

    def __init__(self, cutoff: float, noise: float, width: int, seed: int | None = None) -> None:
        super().__init__()
        self.cutoff, self.noise = cutoff, noise
        self.gate = nn.Linear(width, width)
        self.out = nn.Linear(width, 1, bias=False)
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        for layer in (self.gate, self.out):
            nn.init.normal_(layer.weight, std=width**-0.5, generator=rng)
        nn.init.zeros_(self.gate.bias)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        """The mean squared error of a component, 1 for a network that knows nothing."""
        guess = self.guess(backbone, batch, rng)
        return Loss(guess.surprise().sum() / max(len(guess.owner), 1), len(guess.owner))

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        """Three values an atom."""
        assert batch.positions is not None
        drawn = torch.randn(batch.positions.shape, generator=rng, device=rng.device).to(batch.positions)
        noise = self._centred(drawn, batch)
        shaken = with_neighbours(replace(batch, positions=batch.positions + self.noise * noise), self.cutoff)
        features = backbone(shaken)
        if features.vectors is None:
            raise InputError("objective.kind=denoise: this backbone has no vectors; valid: backbone.kind=equivariant")
        gated = features.vectors * torch.nn.functional.silu(self.gate(features.elements))[:, None]
        said = self._centred(self.out(gated).squeeze(2), batch)
        return Guess("values", said, noise, batch.segments.to(said.device))

    def _centred(self, vectors: Tensor, batch: Batch) -> Tensor:
        return vectors - segment_mean(vectors, batch.offsets)[batch.segments.to(vectors.device)]
