"""Planted studies for the report: real conclusions from planted curves, and every kind of record beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exapt.evidence.conclude import conclude
from exapt.evidence.curves import Curves, Failure

Report = dict[str, Any]
ARMS = {"pretrained": 0.05, "scratch": 0.0, "random-frozen": -0.09, "frozen": 0.02, "classical": 0.04, "stacked": 0.07}


def _report(
    effect: float = 0.05,
    seeds: int = 5,
    budgets: tuple[int, ...] = (32, 64, 128, 256, 512),
    metric: str = "accuracy",
    scale: float = 1.0,
    names: dict[str, str] | None = None,
) -> Report:
    rng = np.random.default_rng(0)
    base = 1 - (0.1 + 1.1 * np.array(budgets, float) ** -0.5) + rng.normal(0, 0.01, (seeds, len(budgets)))
    offsets = ARMS | {"pretrained": effect}
    called = names or {}
    scores = {called.get(k, k): scale * (base + v + rng.normal(0, 0.01, base.shape)) for k, v in offsets.items()}
    failed = (Failure("scratch", budgets[0], 1, "loss not finite at step 41"),)
    curves = Curves(budgets, tuple(range(seeds)), scores, failed, {"classical": "6-mer counts + logistic regression"})
    done = conclude(
        curves, metric=metric, margin=0.01 * scale, condition="All seeds adapt one checkpoint.", resamples=200
    )
    cells = [(i, j, b) for i in range(seeds) for j, b in enumerate(budgets)]
    return {
        "title": "promoters",
        "about": "Does reading a genome help?",
        "verdict": done.plain(),
        "curves": curves.plain(metric),
        "pretraining": {"curve": _losses(), "facts": {"steps": 1000}, "specs": {"objective": {"kind": "masked"}}},
        "data": {"labelled": "promoters.csv", "examples": 1200, "split": {"by": "stratified", "duplicates": 7}},
        "findings": [done.finding().plain()],
        "method": ["Every arm had the same tuning budget."],
        "fits": [_fit(a, b, i, float(m[i, j])) for a, m in scores.items() for i, j, b in cells],
        "environment": {"versions": {"python": "3.11.9"}, "commit": "2c9f0f8d1a33"},
        "warnings": ["Three examples were cut."],
    }  # fmt: skip


def _losses() -> list[dict[str, float]]:
    train = [{"step": s, "loss": 1 + 5 * s**-0.5, "seconds": 0.1} for s in range(10, 1001, 10)]
    return train + [{"step": s, "held_out_loss": 1.1 + 5 * s**-0.5} for s in range(250, 1001, 250)]


def _fit(arm: str, budget: int, seed: int, score: float) -> dict[str, Any]:
    file = f"fits/{abs(hash((arm, budget, seed))) % 10**12}.json"
    return {"file": file, "arm": arm, "budget": budget, "seed": seed, "score": score, "seconds": 1.5, "diverged": False}


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """Report data of a planted study: effect, seeds, budgets, metric, scale of the scores, new names of arms."""
    return _report
