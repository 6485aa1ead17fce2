"""Tiny stand-ins: a domain over ten token ids, and networks whose features can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features, offsets_of
from exapt.domains.base import Dataset, Domain, Example, Inputs, Masked, Source
from exapt.spec import Spec

SPECIAL = {"pad": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}


def gradients_are_true(bench: Any, names: Sequence[str], rng: Callable[[], torch.Generator]) -> bool:
    """Whether the loss of `bench.objective` has the gradients of finite differences with respect to its parameters."""
    parameters = dict(bench.objective.named_parameters())
    given = tuple(parameters[n].detach().clone().requires_grad_() for n in names)

    def cost(*weights: Tensor) -> Tensor:
        changed = dict(zip(names, weights, strict=True))
        loss: Tensor = torch.func.functional_call(bench.objective, changed, (bench.backbone, bench.batch, rng())).value
        return loss

    return bool(torch.autograd.gradcheck(cost, given))


class LetterSpec(Spec):
    pass


class Letters(Domain):
    """Ids 5 … 9 are letters; `mask` hides every letter with chance `ratio`."""

    def __init__(self, vocabulary: int = 10, length: int = 16) -> None:
        self.spec = LetterSpec()
        self.inputs = Inputs("tokens", vocabulary=vocabulary, special=SPECIAL, length=length)

    def read_one(self, source: Source, cache: Path | None = None) -> Dataset:
        raise NotImplementedError

    def collate(self, examples: Sequence[Example]) -> Batch:
        raise NotImplementedError

    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        hidden = (torch.rand(batch.inputs.shape, generator=rng) < ratio) & (batch.inputs > 4)
        where = hidden.nonzero().squeeze(1)
        seen = Batch(batch.inputs.masked_fill(hidden, SPECIAL["mask"]), batch.offsets)
        return Masked(seen, where, batch.inputs[where])

    def describe(self) -> dict[str, Any]:
        return {}

    def save(self, folder: Path) -> None:
        pass


class Running(Backbone):
    """Element i: embedding plus the mean of the embeddings of its example (up to i when causal)."""

    def __init__(self, vocabulary: int = 10, width: int = 4, causal: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.width = width
        self.causal = causal
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, generator=torch.Generator().manual_seed(seed))
        self.calls = 0

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.embedding]

    def forward(self, batch: Batch) -> Features:
        self.calls += 1
        x = self.embedding(batch.inputs)
        rows = x.split(batch.lengths.tolist())
        return Features(torch.cat([self._mix(r) for r in rows]) if rows else x, batch.offsets)

    def _mix(self, row: Tensor) -> Tensor:
        if not self.causal:
            return row + row.mean(0, keepdim=True) if len(row) else row
        return row + row.cumsum(0) / torch.arange(1, len(row) + 1, dtype=row.dtype)[:, None]


def letters_batch(lengths: list[int], seed: int = 0, vocabulary: int = 10) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(torch.randint(5, vocabulary, (sum(lengths),), generator=rng), offsets_of(torch.tensor(lengths)))
