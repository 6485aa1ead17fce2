"""The smallest subject an audit can look at: pictures of two kinds, a network of one block, a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from exapt.adaptation import FinetuneSpec, ProbeSpec
from exapt.audits import Subject
from exapt.backbones import TransformerSpec
from exapt.domains import ImageSpec, from_arrays
from exapt.objectives import MaskedSpec
from exapt.tasks import ClassifySpec, HeadSpec
from exapt.tasks.splits import SplitSpec, make_split
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec

ADAPT = FinetuneSpec(rates=[0.003], min_steps=10, max_steps=10, evaluations=2)


def tiny_subject(folder: Path, count: int = 200, **changes: Any) -> Subject:
    """Bright on the left or on the right, with some noise."""
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.arange(count) % 2)
    values = rng.integers(0, 90, size=(count, 4, 8, 1)).astype(np.uint8)
    for picture, kind in zip(values, kinds, strict=True):
        picture[:, 4 * kind : 4 * kind + 4] += 60
    source = from_arrays(values, label=kinds)
    backbone = TransformerSpec(width=16, depth=1, heads=2, hidden=24)
    training = TrainingSpec(steps=4, batch=32, lr=0.002, holdout=0.1)
    start = pretrain(
        source, ImageSpec(patch=2), backbone, MaskedSpec(decoder_depth=1), training, folder / "start", progress=False
    )
    data = start.domain.read(source)
    task = ClassifySpec(head=HeadSpec(dropout=0.0)).build(data)
    labelled = task.attach(data)
    split = make_split(labelled, task, SplitSpec(), start.domain, 0)
    given: dict[str, Any] = {
        "start": start,
        "fresh": lambda seed: start.fresh_backbone(10_000 + seed),
        "corpus": lambda: start.domain.read(source),
        "labelled": labelled,
        "pool": split.pool,
        "test": split.test,
        "task": task,
        "adapt": ADAPT,
        "probe": ProbeSpec(),
        "budgets": [16, 32],
        "seeds": 3,
        "checkpoints": [folder / "start"],
    }
    return Subject(**given | changes)
