"""Digits with simple views, and a short run of any objective over them with the monitor looking on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits

from exapt.audits.planted_collapse import Perceptron
from exapt.batch import Batch
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.base import Arrays, Dataset
from exapt.domains.image import ImageDomain
from exapt.training.batches import Batches
from exapt.training.loop import Trained, train
from exapt.training.monitor import Monitor, MonitorSpec, take_sample
from exapt.training.neighbours import neighbour_score
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

NOISE = 0.5


def moved(domain: ImageDomain, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
    """Views: each picture moved by at most one pixel (what leaves comes in again), with noise on every pixel."""
    return [_moved(batch, rng) for _ in range(count)]


def _moved(batch: Batch, rng: torch.Generator) -> Batch:
    n, height, width = len(batch), *batch.inputs.shape[2:]
    shift = torch.randint(-1, 2, (2, n, 1), generator=rng)
    rows, columns = (torch.arange(height) + shift[0]) % height, (torch.arange(width) + shift[1]) % width
    inputs = batch.inputs[torch.arange(n)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]
    return replace(batch, inputs=inputs + NOISE * torch.randn(inputs.shape, generator=rng))


class Moved(ImageDomain):
    """Pictures with these views."""

    views = moved


def digits(count: int = 1797) -> Arrays:
    pictures, labels = load_digits(return_X_y=True)
    return from_arrays(pictures.reshape(-1, 8, 8).astype("float32")[:count], label=labels[:count])


def field(patch: int = 8) -> tuple[ImageDomain, Dataset]:
    domain = ImageSpec(patch=patch).build(digits())
    domain.__class__ = Moved  # learnt as any other, with views that are always the same
    return domain, domain.read(digits())


class Ran(NamedTuple):
    """What came of a short run."""

    before: float
    """Leave-one-out accuracy of 20 neighbours on views of 597 digits that were not trained on, by the network as it
    began."""
    after: float
    monitor: Monitor
    trained: Trained
    model: Pretraining


def short_run(objective: Any, seed: int = 0, steps: int = 120, every: int = 8, lr: float = 1e-3) -> Ran:
    """Pre-train three layers over the pixels of 1,200 digits."""
    domain, dataset = field()
    seen, held = dataset.subset(range(1200)), dataset.subset(range(1200, len(dataset)))
    backbone = Perceptron(64, seed)
    model = Pretraining(backbone, objective.build(domain, backbone, seed=seed))

    some = moved(domain, domain.collate([held[i] for i in range(len(held))]), torch.Generator().manual_seed(seed), 1)

    def score() -> float:
        with torch.inference_mode():
            return neighbour_score(backbone.eval()(some[0]).pooled(), held.column("label").astype(int))

    before = score()
    spec = MonitorSpec(every=every)
    sample = take_sample(spec, domain, seen, held, None, seed)
    fresh = lambda: Perceptron(64, seed + 1)  # noqa: E731
    monitor = Monitor(spec, model, backbone, sample, fresh, total=steps, work=1200.0 * steps)
    plan = TrainingSpec(steps=steps, batch=128, lr=lr, device="cpu", seed=seed, log_every=steps)
    trained = train(model, Batches(seen, domain.collate, **plan.batching()), plan, progress=False, watchers=[monitor])
    return Ran(before, score(), monitor, trained, model)
