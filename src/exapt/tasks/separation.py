"""How far a binary classifier keeps its two classes apart, and whether its probabilities are to be believed.

Shapes: n examples. Scores are logits: certain probabilities would else all look alike.
"""

from __future__ import annotations

import numpy as np

BINS = 15
"""Runs of equally many examples that calibration is judged in."""
STEPS = 512
CERTAIN = 1e-7
"""Probabilities are kept so far from 0 and 1."""


def separation(probability: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Figures of the probability (n,) of the second class against the truth (n,) of 0 and 1; {} where a class lacks."""
    positive = truth == 1
    if not (positive.any() and (~positive).any()) or not np.isfinite(probability).all():
        return {}
    score = logit(probability)
    return {
        "d′": d_prime(score[~positive], score[positive]),
        "overlap": overlap(score[~positive], score[positive]),
        "Brier": float(((probability - truth) ** 2).mean()),
        "calibration error": calibration_error(probability, truth),
    }


def logit(probability: np.ndarray) -> np.ndarray:
    """(n,) log odds, finite."""
    kept = np.clip(probability, CERTAIN, 1 - CERTAIN)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def d_prime(first: np.ndarray, second: np.ndarray) -> float:
    """The means' distance over the root mean variance (Green and Swets 1966); 0 where neither varies and they agree."""
    spread = np.sqrt((first.var() + second.var()) / 2)
    gap = second.mean() - first.mean()
    return float(gap / spread) if spread > 0 else float(np.sign(gap) * np.inf) if gap else 0.0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """The overlapping coefficient ∫ min(f, g) of both distributions (Inman and Bradley 1989), from kernel estimates.

    Gaussian kernels with one bandwidth for both, Silverman's of each class's own spread on average; 1 − the total
    variation distance, so 0 is apart and 1 the same.
    """
    width = (_bandwidth(first) + _bandwidth(second)) / 2
    if width == 0:
        return float(first.mean() == second.mean())
    both = np.concatenate([first, second])
    at = np.linspace(both.min() - 4 * width, both.max() + 4 * width, STEPS)
    return float(np.trapezoid(np.minimum(_density(first, at, width), _density(second, at, width)), at))


def calibration_error(probability: np.ndarray, truth: np.ndarray) -> float:
    """The expected calibration error of the positive class, in runs of equally many examples (Nixon et al. 2019)."""
    order = np.argsort(probability, kind="stable")
    runs = [run for run in np.array_split(order, min(BINS, len(order))) if len(run)]
    return float(sum(len(run) * abs(probability[run].mean() - truth[run].mean()) for run in runs) / len(order))


def _bandwidth(values: np.ndarray) -> float:
    return float(1.06 * values.std() * len(values) ** -0.2)


def _density(values: np.ndarray, at: np.ndarray, width: float) -> np.ndarray:
    found = np.zeros_like(at)
    for start in range(0, len(values), 1024):  # a block at a time: (steps, n) may be large
        part = values[start : start + 1024]
        found += np.exp(-0.5 * ((at[:, None] - part) / width) ** 2).sum(1)
    return found / (len(values) * width * np.sqrt(2 * np.pi))
