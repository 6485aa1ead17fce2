"""Autoregressive modelling: predict each element from those before it, within its own example."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, PretextSpec
from exapt.objectives.guess import Guess
from exapt.objectives.tokens import TokenObjective, check_described, check_direction
from exapt.spec import Spec


class AutoregressiveSpec(PretextSpec):
    """Predict each token from those before it; needs `backbone.causal=true`."""

    kind: Literal["autoregressive"] = "autoregressive"

    def check_network(self, network: Spec) -> None:
        check_described(network, causal=True)

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Autoregressive:
        """Raises `InputError` for pictures, or for a backbone that sees what comes after."""
        if domain.inputs.kind != "tokens":
            raise InputError(
                f"objective.kind=autoregressive needs tokens, not {domain.inputs.kind}; valid here: "
                + ("rebuild" if domain.inputs.kind == "nodes" else "masked")
            )
        check_direction(backbone, causal=True)
        return Autoregressive(domain, backbone, seed)


class Autoregressive(TokenObjective):
    """Cross entropy of the next token.

    The first element of an example is context only: with a start token every real token is predicted, in a window cut
    from the middle of a corpus all but the first are.
    """

    def __init__(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__(backbone, seed)
        self.length = domain.inputs.length
        self.special = dict(domain.inputs.special)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        before = predictable(batch.offsets).to(batch.inputs.device)
        elements = backbone(batch).elements
        return self.prediction(backbone, elements.index_select(0, before), batch.inputs[before + 1])

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        before = predictable(batch.offsets).to(batch.inputs.device)
        hidden = backbone(batch).elements.index_select(0, before)
        owner = batch.segments.to(before.device)[before]
        return Guess("classes", self.logits(backbone, hidden), batch.inputs[before + 1], owner)


def predictable(offsets: Tensor) -> Tensor:
    """The places (M,) of elements that have a next one in their own example."""
    last = torch.zeros(int(offsets[-1]), dtype=torch.bool, device=offsets.device)
    last[offsets[1:][offsets.diff() > 0] - 1] = True
    return (~last).nonzero().squeeze(1)
