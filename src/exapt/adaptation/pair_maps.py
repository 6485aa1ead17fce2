"""Maps over pairs of elements that a network was never taught: attention, and how hidden answers hang together.

Shapes: L elements of an example, P = L (L − 1) / 2 pairs, H maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from exapt.adaptation.features import device_of, evaluating
from exapt.adaptation.fitted import Start
from exapt.backbones.attention_maps import attention_maps, corrected
from exapt.batch import Batch
from exapt.domains.base import Dataset
from exapt.domains.tokens import PLAIN
from exapt.errors import InputError
from exapt.objectives.tokens import TokenObjective
from exapt.tasks.contacts import inner_elements_of
from exapt.tasks.pairs import SHORTEST, from_square, pair_places

Of = Literal["attention", "jacobian", "separation"]
FURTHEST = 128
"""Separations from here on are alike to the prior."""
AT_ONCE = 64
"""Changed sequences in a batch."""


@dataclass(frozen=True)
class Maps:
    """Makes the features of pairs from one start."""

    of: Of
    start: Start

    def rows(self, dataset: Dataset) -> list[np.ndarray]:
        """(P, H) float32 for each example; elements that `collate` cuts off have no pairs."""
        if self.of == "separation":
            return [separation(int(length)) for length in self.start.domain.kept(dataset)]
        make = self._attention if self.of == "attention" else self._jacobian
        return [self._row(make, dataset, place) for place in range(len(dataset))]

    def _row(self, make: Callable[[Batch], Tensor], dataset: Dataset, place: int) -> np.ndarray:
        network = self.start.network("maps")
        batch = self.start.domain.collate([dataset[place]]).to(device_of(network))
        with evaluating(network):
            return from_square(corrected(make(batch)).cpu()).T.contiguous().numpy()

    def _attention(self, batch: Batch) -> Tensor:
        """(H, L, L) without start and end."""
        (maps,) = attention_maps(self.start.network("maps"), batch)
        inner = inner_elements_of(batch).nonzero().squeeze(1)
        return maps[:, inner][:, :, inner]

    def _jacobian(self, batch: Batch) -> Tensor:
        objective = self.start.objective
        if not isinstance(objective, TokenObjective):
            raise InputError("adapt.of=jacobian asks a network that was pre-trained to fill in hidden tokens")
        with evaluating(objective):
            return jacobian(self.start, objective, batch)[None]


def separation(length: int) -> np.ndarray:
    """(P, H) which of the separations 6 … 128 a pair has, one column for each run of them; nothing of the sequence."""
    first, second = pair_places(length)
    apart = np.clip(second - first, SHORTEST, FURTHEST)
    runs = (4 * np.log2(apart / SHORTEST)).astype(np.int64)
    count = int(4 * np.log2(FURTHEST / SHORTEST)) + 1
    return np.eye(count, dtype=np.float32)[runs]


def jacobian(start: Start, objective: TokenObjective, batch: Batch) -> Tensor:
    """(L, L) how much the answer at one place moves with the letter at another: the categorical Jacobian.

    Every letter is tried at every place of the example; the 4-dimensional table of log-odds, centred along all its
    axes, is measured by its Frobenius norm over letters (Zhang et al. 2024, "Protein language models learn
    evolutionary statistics of interacting sequence motifs").
    """
    backbone = start.network("maps")
    inner = inner_elements_of(batch).nonzero().squeeze(1)
    letters = torch.arange(PLAIN, start.domain.inputs.vocabulary, device=batch.inputs.device)
    length, kinds, long = len(inner), len(letters), len(batch.inputs)
    variants = batch.inputs.repeat(length * kinds, 1)
    variants[torch.arange(length * kinds), inner.repeat_interleave(kinds)] = letters.repeat(length)
    answers = []
    for some in variants.split(AT_ONCE):
        offsets = torch.arange(len(some) + 1) * long
        elements = backbone(Batch(some.flatten(), offsets)).elements.view(len(some), long, -1)[:, inner]
        answers.append(objective.logits(backbone, elements)[..., PLAIN:].float())
    table = torch.cat(answers).view(length, kinds, length, kinds)
    for axis in range(4):
        table = table - table.mean(axis, keepdim=True)
    norms = table.square().sum((1, 3)).sqrt()
    return norms.fill_diagonal_(0.0)
