"""A network that is trained to collapse, and one that is not: two views of real digits pulled together.

With nothing but the pull, one vector for every picture is the best answer, and the network finds it. A term that keeps
each direction's deviation at 1 and directions apart (VICReg, Bardes et al. 2022) forbids it. Meant for self-tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import Batch, Features
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.base import Dataset, Domain
from exapt.objectives.base import Loss
from exapt.training.batches import Batches
from exapt.training.loop import Trained, train
from exapt.training.monitor import Monitor, MonitorSpec, take_sample
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Trainable

Kind = Literal["alignment", "vicreg"]
NOISE = 0.5
WIDTH = 32


class Perceptron(Backbone):
    """A picture as one element: three layers over its pixels."""

    width = WIDTH

    def __init__(self, pixels: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(pixels, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, WIDTH)
            )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward(self, batch: Batch) -> Features:
        vectors = self.layers(batch.inputs.flatten(1))
        return Features(vectors, torch.arange(len(vectors) + 1))


class TwoViews(Trainable):
    """The distance between two noisy views; `vicreg` adds variance and covariance, `alignment` adds nothing."""

    def __init__(self, backbone: Backbone, kind: Kind) -> None:
        super().__init__()
        self.backbone, self.kind = backbone, kind

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        first, second = (self.backbone(_noisy(batch, rng)).elements for _ in range(2))
        value = (first - second).square().mean()
        if self.kind == "vicreg":
            value = value + _apart(first) + _apart(second)
        return Loss(value, len(batch))


def _noisy(batch: Batch, rng: torch.Generator) -> Batch:
    """Noise on every pixel, and the whole picture moved by at most one."""
    inputs = batch.inputs + NOISE * torch.randn(batch.inputs.shape, generator=rng)
    shift = torch.randint(-1, 2, (2,), generator=rng).tolist()
    return Batch(inputs.roll(shift, (2, 3)), batch.offsets)


def _apart(vectors: Tensor) -> Tensor:
    """VICReg's hinge on each direction's deviation, and its covariances."""
    around = vectors - vectors.mean(0)
    hinge = (1 - (around.var(0) + 1e-4).sqrt()).clamp(min=0).mean()
    covariance = around.T @ around / (len(around) - 1)
    beside = covariance - torch.diag(covariance.diagonal())
    return hinge + beside.square().sum() / WIDTH


def digits() -> tuple[Domain, Dataset]:
    """scikit-learn's digits with their labels in the column `label`."""
    pictures, labels = load_digits(return_X_y=True)
    source = from_arrays(pictures.reshape(-1, 8, 8).astype("float32"), label=labels)
    domain = ImageSpec(patch=8).build(source)
    return domain, domain.read(source)


def watched(
    kind: Kind,
    seed: int,
    steps: int = 240,
    every: int = 8,
    action: Literal["warn", "stop"] = "warn",
    probe: bool = True,
) -> tuple[Monitor, Trained]:
    """Train one network with the monitor looking on; the probe is given the labels of digits not trained on."""
    domain, dataset = digits()
    trained, held = dataset.subset(range(1200)), dataset.subset(range(1200, len(dataset)))
    backbone = Perceptron(64, seed)
    model = TwoViews(backbone, kind)
    spec = MonitorSpec(every=every, action=action)
    labelled = (held, held.column("label")) if probe else None
    sample = take_sample(spec, domain, trained, held, labelled, seed)
    fresh = lambda: Perceptron(64, seed + 1)  # noqa: E731
    monitor = Monitor(spec, model, backbone, sample, fresh, total=steps, work=1200.0 * steps)
    plan = TrainingSpec(steps=steps, batch=128, lr=1e-3, device="cpu", seed=seed, log_every=steps)
    batches = Batches(trained, domain.collate, **plan.batching())
    return monitor, train(model, batches, plan, progress=False, watchers=[monitor])
