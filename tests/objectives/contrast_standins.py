"""Digits with simple views, and a short run of any objective over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from exapt.backbones import TransformerSpec
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.base import Arrays, Dataset
from exapt.domains.image import ImageDomain
from exapt.training.monitor import pooled
from exapt.training.neighbours import neighbour_score
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained
from exapt.training.spec import TrainingSpec

NETWORK = TransformerSpec(width=32, depth=2, heads=2)
NOISE = 0.25


class Moved(ImageDomain):
    """Pictures whose views are moved by at most a pixel and noisy."""

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        return moved(self, batch, rng, count)


def moved(domain: ImageDomain, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
    """Each picture moved by at most one pixel, with noise on every pixel; what leaves at a side comes in at the other."""
    from dataclasses import replace

    found = []
    for _ in range(count):
        n, height, width = len(batch), *batch.inputs.shape[2:]
        shift = torch.randint(-1, 2, (2, n, 1), generator=rng)
        rows, columns = (torch.arange(height) + shift[0]) % height, (torch.arange(width) + shift[1]) % width
        each = torch.arange(n)[:, None, None]
        inputs = batch.inputs.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        noise = NOISE * torch.randn(batch.inputs.shape, generator=rng)
        found.append(replace(batch, inputs=(inputs + noise).contiguous()))
    return found


def digits(count: int = 1797) -> Arrays:
    pictures, labels = load_digits(return_X_y=True)
    return from_arrays(pictures.reshape(-1, 8, 8).astype("float32")[:count], label=labels[:count])


def short_run(objective: Any, folder: Path, **keys: Any) -> Pretrained:
    """Pre-train a small transformer on digits; the caller has given pictures their views."""
    spec = {"steps": 150, "batch": 128, "lr": 2e-3, "holdout": 0.1, "device": "cpu", "precision": "float32", **keys}
    training = TrainingSpec.parse(spec)
    return pretrain(digits(), ImageSpec(patch=2), NETWORK, objective, training, folder, progress=False)


def knn(backbone: Backbone, domain: ImageDomain) -> float:
    """Leave-one-out accuracy of the 20 nearest neighbours on 600 digits."""
    dataset: Dataset = domain.read(digits())
    some = dataset.subset(np.random.default_rng(0).permutation(len(dataset))[:600])
    with torch.inference_mode():
        features = pooled(backbone.eval(), domain, some)
    return neighbour_score(features, np.asarray(some.column("label")).astype(int))
