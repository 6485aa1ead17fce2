"""Masked modelling: hide some elements, predict them from both sides (BERT, Devlin 2019; MAE, He 2022)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.guess import Guess
from exapt.objectives.masked_atoms import MaskedAtoms
from exapt.objectives.masked_patches import MaskedPatches
from exapt.objectives.tokens import TokenObjective, check_described, check_direction
from exapt.spec import Spec

RATIOS = {"tokens": 0.3, "pictures": 0.75, "atoms": 0.15}
"""The share hidden by default: ModernBERT's for tokens, MAE's for patches, Hu et al.'s for atoms."""

WHOLE = "simclr, vicreg, byol, simsiam, sigreg or supervised"
"""Objectives that need whole pictures only."""


class MaskedSpec(PretextSpec):
    """Hide a share of each example and predict it: token ids, the pixels of patches, or which elements atoms are."""

    kind: Literal["masked"] = "masked"
    ratio: float | None = Field(default=None, gt=0, lt=1)
    """The share of elements to hide; None: 0.3 of tokens, 0.75 of a picture's patches, 0.15 of atoms."""
    decoder_width: PositiveInt | None = None
    """Pictures only: width of the light decoder; None: half the backbone's."""
    decoder_depth: PositiveInt = 2
    """Pictures only: blocks of the light decoder."""

    def check_network(self, network: Spec) -> None:
        check_described(network, causal=False)

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Objective:
        """The objective for a domain's kind of element.

        Raises `InputError` for a causal backbone, or for nodes of graphs.
        """
        check_direction(backbone, causal=False)
        if domain.inputs.kind not in RATIOS:
            raise InputError(
                f"objective.kind=masked hides tokens or patches, not {domain.inputs.kind}; "
                "valid here: rebuild, infomax, communities, simclr, vicreg, byol, simsiam, sigreg"
            )
        ratio = self.ratio or RATIOS[domain.inputs.kind]
        if domain.inputs.kind == "atoms":
            return MaskedAtoms(domain, backbone, ratio, seed)
        if domain.inputs.kind == "tokens":
            return MaskedTokens(domain, backbone, ratio, seed)
        if backbone.whole:
            raise InputError(
                f"objective.kind=masked takes patches out of pictures, and {type(backbone).__name__} sees them whole; "
                f"valid: backbone.kind=transformer, or objective.kind={WHOLE}"
            )
        width, depth = self.decoder_width, self.decoder_depth
        return MaskedPatches(domain, backbone, ratio=ratio, width=width, depth=depth, seed=seed)


class MaskedTokens(TokenObjective):
    """Cross entropy at the hidden tokens; logits are computed nowhere else."""

    def __init__(self, domain: Domain, backbone: Backbone, ratio: float, seed: int | None = None) -> None:
        super().__init__(backbone, seed)
        self.domain = domain
        self.ratio = ratio

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        masked = self.domain.mask(batch, self.ratio, rng)
        elements = backbone.for_tokens(masked.batch)
        return self.prediction(backbone, elements.index_select(0, masked.where), masked.target)

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        masked = self.domain.mask(batch, self.ratio, rng)
        hidden = backbone.for_tokens(masked.batch).index_select(0, masked.where)
        owner = batch.segments.to(masked.where.device)[masked.where]
        return Guess("classes", self.logits(backbone, hidden), masked.target, owner)
