"""Digits in six hues, and two encoders of them: the known case of an invariance that one task misses."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import normalize

from exapt.batch import Batch
from exapt.domains import ImageSpec, from_arrays
from exapt.domains.views import Transformation

HUES = 6
LIGHT = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness."""

Encoder = Literal["grey", "colour"]


@dataclass(frozen=True)
class Coloured:
    """One planted case."""

    batches: list[Batch]
    changes: list[Transformation]
    encode: Callable[[Batch], Tensor]
    """`grey`: brightness only, each picture scaled to length 1; `colour`: all pixels."""
    labels: np.ndarray


def coloured(encoder: Encoder, task: Literal["hue", "digit"], seed: int = 0, examples: int = 800) -> Coloured:
    """Real digits, each tinted in one of six hues at random; hue and digit are independent."""
    pixels, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(digits))[:examples]
    hues = rng.integers(0, HUES, examples)
    tints = np.array([colorsys.hsv_to_rgb(k / HUES, 1, 1) for k in range(HUES)], dtype=np.float32)
    grey = pixels[chosen].reshape(-1, 8, 8, 1).astype(np.float32) / 16
    source = from_arrays(grey * tints[hues][:, None, None, :])
    domain = ImageSpec(patch=2).build(source)
    dataset = domain.read(source)
    batches = [
        domain.collate([dataset[i] for i in range(at, min(at + 200, examples))]) for at in range(0, examples, 200)
    ]
    mean, spread = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (domain.mean, domain.spread))
    weights = torch.tensor(LIGHT)[:, None, None]

    def encode(batch: Batch) -> Tensor:
        raw = batch.inputs * spread + mean
        return raw.flatten(1) if encoder == "colour" else normalize((raw * weights).sum(1).flatten(1), dim=1)

    changes = [change for change in domain.transformations() if change.name in ("hue", "colour")]
    return Coloured(batches, changes, encode, hues if task == "hue" else digits[chosen])
