"""A network and data small enough to train in milliseconds, for the tests of this folder and their subprocesses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from exapt.batch import Batch, pack
from exapt.domains.base import Dataset, Example
from exapt.domains.stores import TokenStore
from exapt.objectives.base import Loss
from exapt.training.batches import Batches
from exapt.training.loop import Trained, train
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Trainable

KINDS = 20


def dataset(examples: int = 40, longest: int = 12, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, size=examples)
    return Dataset(TokenStore(rng.integers(0, KINDS, size=int(lengths.sum())), lengths), np.arange(examples))


def collate(examples: Sequence[Example]) -> Batch:
    inputs, offsets = pack([torch.from_numpy(np.asarray(e.inputs)).long() for e in examples])
    return Batch(inputs, offsets, index=torch.tensor([e.index for e in examples]))


class Toy(Trainable):
    """Predicts each token from itself; with noise it draws from `rng`, with dropout from the global generator."""

    def __init__(self, noise: float = 0.0, dropout: float = 0.0, seed: int = 0, die_at: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(KINDS, 16)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.GELU()) for _ in range(2))
        self.head = nn.Linear(16, KINDS)
        self.drop = nn.Dropout(dropout)
        self.noise, self.calls, self.die_at = noise, 0, die_at
        self.seen: list[list[int]] = []

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        if self.training:
            self.calls += 1
            self.seen.append(batch.index.tolist())
            if self.calls == self.die_at:
                raise KeyboardInterrupt
        x = self.embed(batch.inputs)
        if self.noise:
            x = x + self.noise * torch.randn(x.shape, generator=rng)
        for layer in self.layers:
            x = x + self.drop(layer(x))
        right = (self.head(x).argmax(1) == batch.inputs).float().mean()
        value = nn.functional.cross_entropy(self.head(x), batch.inputs)
        return Loss(value, len(batch.inputs), {"accuracy": right.detach()})


def held_out(model: Toy) -> Any:
    """An evaluation on fixed data."""
    batch = collate([dataset(10, seed=7)[i] for i in range(10)])
    return lambda: {"loss": float(model(batch, torch.Generator()).value)}


def fit(model: Toy, folder: Path | None = None, data: Dataset | None = None, **spec: Any) -> Trained:
    """Train a toy; keywords that `TrainingSpec` does not know go to `train`."""
    others = {k: spec.pop(k) for k in ("evaluate", "resume", "identity", "groups", "watchers") if k in spec}
    spec = {"steps": 12, "batch": 4, "lr": 0.02, "device": "cpu", **spec}
    spec = {k: v for k, v in spec.items() if v is not None}
    plan = TrainingSpec.parse(spec)
    batches = Batches(data or dataset(), collate, **plan.batching())
    return train(model, batches, plan, folder=folder, progress=False, **others)


def same(a: nn.Module, b: nn.Module, within: float = 0.0) -> bool:
    """Whether two networks have the same weights, bit for bit unless `within` allows more."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) if not within else bool((x - y).abs().max() <= within) for x, y in pairs)
