"""How likely a network finds whole texts: the log-likelihood, or of masked networks the pseudo-log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.batch import Batch, pack
from exapt.objectives.autoregressive import Autoregressive, predictable
from exapt.objectives.masked import MaskedTokens

TOGETHER = 64
"""Texts, or copies of them with one place hidden, that are read at once."""


class Likelihood(NamedTuple):
    """The sum of log-probabilities in nats, and of how many tokens."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token; 0 where there is none."""
        return self.total / max(1, self.tokens)


@torch.no_grad()
def likelihoods(
    backbone: Backbone, objective: Autoregressive | MaskedTokens, texts: Sequence[Tensor]
) -> list[Likelihood]:
    """Of every text (n,), as training packs it: with its start and end tokens, where the field has them.

    Autoregressive: Σ log p(x_i | x_<i) over all but the first token. Masked: Σ log p(x_i | x_{≠i}), each token hidden
    alone (Salazar et al. 2020, arXiv 1910.14659), special ones not counted. The second is no log-likelihood: the two
    are not to be compared with each other.
    """
    was_training = backbone.training
    backbone.eval()
    if isinstance(objective, MaskedTokens):
        found = [_pseudo(backbone, objective, text) for text in texts]
    else:
        parts = [texts[at : at + TOGETHER] for at in range(0, len(texts), TOGETHER)]
        found = [one for part in parts for one in _left(backbone, objective, part)]
    backbone.train(was_training)
    return found


def _left(backbone: Backbone, objective: Autoregressive, texts: Sequence[Tensor]) -> list[Likelihood]:
    inputs, offsets = pack(texts)
    device = objective.bias.device
    batch = Batch(inputs.to(device), offsets.to(device))
    before = predictable(offsets).to(device)
    logits = objective.logits(backbone, backbone(batch).elements.index_select(0, before))
    terms = _logs(logits, batch.inputs[before + 1]).split([max(0, len(text) - 1) for text in texts])
    return [Likelihood(float(part.sum()), len(part)) for part in terms]


def _pseudo(backbone: Backbone, objective: MaskedTokens, text: Tensor) -> Likelihood:
    special = objective.domain.inputs.special
    places = torch.tensor([i for i, token in enumerate(text.tolist()) if token not in special.values()])
    total, device = 0.0, objective.bias.device
    for part in places.split(TOGETHER):
        hidden = text.repeat(len(part), 1)
        hidden[torch.arange(len(part)), part] = special["mask"]
        offsets = torch.arange(len(part) + 1) * len(text)
        elements = backbone(Batch(hidden.flatten().to(device), offsets.to(device))).elements
        where = (offsets[:-1] + part).to(device)
        total += float(_logs(objective.logits(backbone, elements.index_select(0, where)), text[part].to(device)).sum())
    return Likelihood(total, len(places))


def _logs(logits: Tensor, target: Tensor) -> Tensor:
    """(M,) float64 log-probabilities of the targets (M,) by scores (M, V)."""
    return logits.double().log_softmax(-1).gather(-1, target[:, None]).squeeze(-1)
