"""A small subject for audits of representations: 160 pictures, a network of one block pre-trained for four steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exapt.adaptation import FinetuneSpec, ProbeSpec
from exapt.audits import Subject
from exapt.backbones import TransformerSpec
from exapt.domains import ImageSpec, from_arrays
from exapt.errors import InputError
from exapt.objectives import MaskedSpec
from exapt.tasks import ClassifySpec
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec


def no_corpus() -> None:
    raise InputError("no corpus")


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """Two kinds of pictures, the last 32 of them the test part."""
    rng = np.random.default_rng(0)
    label = np.arange(160) % 2
    pictures = 0.4 * rng.integers(0, 256, (2, 8, 8))[label] + rng.integers(0, 150, (160, 8, 8))
    source = from_arrays(pictures.astype(np.uint8), label=label)
    start = pretrain(
        source,
        ImageSpec(patch=2),
        TransformerSpec(width=16, depth=1, heads=1),
        MaskedSpec(ratio=0.5, decoder_depth=1),
        TrainingSpec(steps=4, batch=32, device="cpu"),
        tmp_path / "pretrained",
        progress=False,
    )
    dataset = start.domain.read(source)
    task = ClassifySpec().build(dataset)
    return Subject(
        start=start,
        fresh=lambda seed: start.fresh_backbone(10_000 + seed),
        corpus=no_corpus,  # type: ignore[arg-type]
        labelled=task.attach(dataset),
        pool=np.arange(128),
        test=np.arange(128, 160),
        task=task,
        adapt=FinetuneSpec(),
        probe=ProbeSpec(),
        budgets=[16],
        seeds=2,
        checkpoints=[tmp_path / "pretrained"],
    )
