"""Planted cases for the transfer audit: right and wrong answers of two arms on the same items, with known gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from exapt.audits.base import Trial

SEEDS, CLASSES, EACH, RUNS = 5, 10, 100, 40
LIMIT = ("HELPS", "EQUIVALENT", "NON-INFERIOR", "INCONCLUSIVE")
Decide = Callable[[np.ndarray, Mapping[str, np.ndarray]], str]


def planted_trials(decide: Decide, seed: int = 0, runs: int = RUNS) -> list[Trial]:
    """Each case as often as `runs`: 5 seeds, 10 classes of 100 test examples."""
    cases: dict[str, tuple[float, float, tuple[str, ...], float]] = {
        "useful source (+5 points)": (0.05, 0.0, ("HELPS",), 0.85),
        "harmful source (−5 points)": (-0.05, 0.0, ("HARMS",), 0.85),
        "no difference: no harm is claimed": (0.0, 0.0, LIMIT, 0.85),
        "helps on average (+3 points), one class of ten loses 20": (0.05, -0.25, ("HARMS SOME",), 0.8),
    }
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(CLASSES), EACH)
    parts = {str(k): owner == k for k in range(CLASSES)}
    trials = []
    for what, (gain, loss, wanted, least) in cases.items():
        shift = np.where(owner == CLASSES - 1, gain + loss, gain)
        right = sum(decide(answers(rng, shift), parts) in wanted for _ in range(runs))
        trials.append(Trial(what, wanted, right, runs, least, {"planted": float(shift.mean())}))
    return trials


def answers(rng: np.random.Generator, shift: np.ndarray, seeds: int = SEEDS) -> np.ndarray:
    """(S, n) differences of right (1) and wrong (0) answers: items differ in difficulty, seeds in luck.

    An item is right with a chance of its own around 0.75, plus its shift in the treatment arm.
    """
    difficulty = rng.beta(3, 1, len(shift))
    gains = shift > 0
    room = np.where(gains, (1 - difficulty) / 0.25, difficulty / 0.75)  # a gain comes where there is room for it
    moved = shift * room
    luck = rng.normal(0, 0.01, (2, seeds, 1))
    chances = np.clip(np.stack([difficulty + moved + luck[0], difficulty + luck[1]]), 0, 1)
    drawn = (rng.random(chances.shape) < chances).astype(float)
    differences: np.ndarray = drawn[0] - drawn[1]
    return differences
