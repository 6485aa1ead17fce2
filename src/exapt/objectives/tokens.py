"""What masked and autoregressive prediction of tokens share: a small head tied to the embedding."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective
from exapt.objectives.cross_entropy import tied_cross_entropy
from exapt.spec import Spec


class TokenObjective(Objective):
    """Predicts token ids: dense (D, D) -> GELU -> norm -> the embedding's own rows, plus a bias (V,).

    The form and the names of ModernBERT's head (Warner et al. 2024, arXiv 2412.13663); the dense layer and the norm
    have no bias.
    """

    def __init__(self, backbone: Backbone, seed: int | None = None) -> None:
        super().__init__()
        vocabulary, width = tied_weight(backbone).shape
        self.dense = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        nn.init.normal_(self.dense.weight, std=width**-0.5, generator=rng)

    def transform(self, elements: Tensor) -> Tensor:
        """(…, D) features, or (…, 2 · D) of two strands, to the same ready for the embedding."""
        parts = elements.unflatten(-1, (-1, self.dense.in_features))
        return self.norm(F.gelu(self.dense(parts))).flatten(-2)

    def rows(self, backbone: Backbone, elements: Tensor) -> tuple[Tensor, Tensor]:
        """The output rows (V, D) and bias (V,); for two strands (V, 2 · D) and (V,).

        Then an id's score is the mean of its own in the first strand's reading and of its complement's in the second's:
        the other strand's scores are the complement's.
        """
        weight = tied_weight(backbone)
        if elements.shape[-1] == weight.shape[1]:
            return weight, self.bias
        other: Tensor = backbone.complement  # type: ignore[assignment]
        return torch.cat([weight, weight[other]], 1) / 2, (self.bias + self.bias[other]) / 2

    def logits(self, backbone: Backbone, elements: Tensor) -> Tensor:
        """(…, V) scores of every token for features (…, D)."""
        return F.linear(self.transform(elements), *self.rows(backbone, elements))

    def prediction(self, backbone: Backbone, elements: Tensor, target: Tensor) -> Loss:
        """The loss of predicting `target` (M,) from features (M, D), in nats; terms: accuracy, bits per token."""
        loss, correct = tied_cross_entropy(self.transform(elements), *self.rows(backbone, elements), target)
        return Loss(loss, len(target), {"accuracy": correct, "bits": loss.detach() / math.log(2)})


def tied_weight(backbone: Backbone) -> Tensor:
    """(V, D) the rows of the token embedding; raises `InputError` where there are none as wide as the features."""
    embedding = getattr(backbone, "embedding", None)
    width = backbone.token_width
    if not isinstance(embedding, nn.Embedding) or embedding.embedding_dim != width:
        raise InputError(
            f"objective: {type(backbone).__name__} has no token embedding as wide as its features ({width}) "
            "to predict with; valid: a backbone over tokens, such as backbone.kind=transformer"
        )
    return embedding.weight


def check_direction(backbone: Backbone | Spec, causal: bool) -> None:
    """Raise `InputError` unless the backbone looks the way an objective needs: left only, or both ways."""
    if bool(getattr(backbone, "causal", False)) == causal:
        return
    if causal:
        raise InputError(
            "objective.kind=autoregressive needs a backbone that sees only what came before, "
            "but backbone.causal is false; set backbone.causal=true, or objective.kind=masked"
        )
    raise InputError(
        "objective.kind=masked predicts from both sides, but backbone.causal is true; "
        "set backbone.causal=false, or objective.kind=autoregressive"
    )


def check_described(network: Spec, causal: bool) -> None:
    """The same from a network's description, where that has the key: a hub's model says it only once it is loaded."""
    if hasattr(network, "causal"):
        check_direction(network, causal)
