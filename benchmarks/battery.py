"""Batteries on scikit-learn's digits: alarms of healthy and of planted dead parts, and what measuring shares costs.

`python benchmarks/battery.py [SEEDS]`. Processor time, one thread.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from exapt.backbones import TransformerSpec
from exapt.domains import ImageSpec
from exapt.domains.base import Source
from exapt.objectives import BatterySpec
from exapt.training.alarms import alarms_of
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained
from exapt.training.spec import TrainingSpec

STEPS = 200
WEIGHTS = {"healthy": 1.0, "a weight of 1e-3": 1e-3, "a weight of 1e-8": 1e-8}


def run(weight: float, seed: int, measure: bool = True) -> tuple[Pretrained, float]:
    """A battery of hidden patches and classes, and its processor time in seconds."""
    parts = [
        {"objective": {"kind": "masked", "ratio": 0.4}},
        {"objective": {"kind": "supervised"}, "weight": weight},
    ]
    objective = BatterySpec.parse({"parts": parts, "measure": measure})
    training = TrainingSpec.parse(
        {
            "steps": STEPS,
            "batch": 128,
            "lr": 0.003,
            "seed": seed,
            "device": "cpu",
            "holdout": 0,
            "monitor": {"on": False},
            "schedule": {"kind": "cosine", "warmup": 0.05},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        done = pretrain(
            Source(path="sklearn:digits", label="label"),
            ImageSpec(patch=2, target="pixels"),
            TransformerSpec(size="nano", depth=2),
            objective,
            training,
            Path(folder) / "run",
            progress=False,
        )
        return done, time.process_time() - began


def alarms(seeds: int) -> None:
    """How many of so many runs raised the alarm, and each part's share."""
    for name, weight in WEIGHTS.items():
        found = [run(weight, seed)[0].record for seed in range(seeds)]
        shares = [record["watched"]["battery"]["parts"]["supervised"]["median_share"] for record in found]
        raised = [alarm for record in found for alarm in alarms_of(record)]
        print(f"{name}: {sum(bool(alarms_of(r)) for r in found)} of {seeds} runs alarmed; ", end="")
        print(f"median share of the classes {min(shares):.2g} to {max(shares):.2g}; {raised[:1]}")


def cost(seeds: int) -> None:
    """Processor time with twenty looks over that without any, runs taking turns."""
    spent = {True: 0.0, False: 0.0}
    for seed in range(seeds):
        for measure in (True, False):
            spent[measure] += run(1.0, seed, measure)[1]
    print(f"measuring: {spent[True] / spent[False]:.3f} times the run without it ({seeds} runs of {STEPS} steps each)")


def main(words: Sequence[str]) -> None:
    torch.set_num_threads(1)
    seeds = int(words[0]) if words else 3
    alarms(seeds)
    cost(seeds)


if __name__ == "__main__":
    main(sys.argv[1:])
