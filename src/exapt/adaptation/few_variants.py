"""A few measured mutants on top of a network's score: ridge regression over letters and the score.

Hsu et al. 2022 ("Learning protein fitness models from evolutionary and assay-labeled data"), augmented models.
Shapes: m mutants, L residues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from exapt.domains.mutations import RESIDUES, Mutant
from exapt.errors import InputError
from exapt.tasks.metrics import spearman

PENALTIES = tuple(float(p) for p in np.logspace(-3, 3, 13))
FOLDS = 5
SCALES = (0.0, 1.0, 10.0, 100.0)
"""How many times as large as a letter the score may be, in deviations; cross-validation picks. At 100 the penalty
hardly holds it, as Hsu et al. have it; but a poor score then does harm, and at 0 it is left out."""


def one_hot(mutants: Sequence[Mutant], wild: str) -> np.ndarray:
    """(m, 20 · k) the letter at each of the k places that any mutant changes."""
    places = sorted({place for mutant in mutants for place in mutant.places})
    found = np.zeros((len(mutants), len(places), 20))
    for at, mutant in enumerate(mutants):
        sequence = mutant.applied(wild)
        for k, place in enumerate(places):
            if sequence[place] in RESIDUES:
                found[at, k, RESIDUES.index(sequence[place])] = 1.0
    return found.reshape(len(mutants), -1)


def few_labels(
    mutants: Sequence[Mutant], wild: str, measured: np.ndarray, score: np.ndarray, budgets: Sequence[int], seeds: int
) -> list[dict[str, Any]]:
    """For each budget, Spearman's ρ on the mutants left, of letters alone and with the score, mean over seeds.

    The difference has a 90 % t-interval over seeds, which draw the labelled mutants anew; a fifth of the mutants is the
    test part of every budget of a seed.
    """
    known = np.flatnonzero(np.isfinite(measured) & np.isfinite(score))
    test_size = len(known) // 5
    if budgets and max(budgets) > len(known) - test_size:
        raise InputError(
            f"--labels {max(budgets)}: {len(known)} mutants are measured and scored, and {test_size} are kept for the "
            f"test; choose up to {len(known) - test_size}"
        )
    if seeds < 2:
        raise InputError(f"--seeds {seeds}: an interval needs at least 2")
    letters = one_hot([mutants[i] for i in known.tolist()], wild)
    y, density = measured[known], score[known]
    found = []
    for budget in budgets:
        pairs = np.array([_both(letters, density, y, budget, test_size, seed) for seed in range(seeds)])
        gap = pairs[:, 1] - pairs[:, 0]
        half = student.ppf(0.95, seeds - 1) * gap.std(ddof=1) / np.sqrt(seeds)
        row = dict(zip(("one-hot", "augmented", "score alone"), pairs.mean(0), strict=True))
        row |= {"difference": gap.mean(), "low": gap.mean() - half, "high": gap.mean() + half}
        found.append({name: float(value) for name, value in row.items()} | {"labels": budget, "seeds": seeds})
    return found


def _both(
    letters: np.ndarray, density: np.ndarray, y: np.ndarray, budget: int, test_size: int, seed: int
) -> tuple[float, float, float]:
    """ρ on the test part of letters alone, of letters with the score, and of the score alone."""
    order = np.random.default_rng([seed, 1]).permutation(len(y))
    test, train = order[:test_size], order[test_size : test_size + budget]
    column = (density[:, None] - density[train].mean()) / (density[train].std() or 1.0)
    augmented = [np.concatenate([letters, scale * column], 1) for scale in SCALES]
    found = [spearman(_ridge(xs, y, train, test, seed), y[test]) or 0.0 for xs in ([letters], augmented)]
    return found[0], found[1], spearman(density[test], y[test]) or 0.0


def _ridge(
    candidates: Sequence[np.ndarray], y: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Predictions of the features (m, p) and the penalty that five-fold cross-validation on the labels picks."""
    fold = np.random.default_rng([seed, 2]).permutation(len(train)) % min(FOLDS, len(train))
    errors = np.zeros((len(candidates), len(PENALTIES)))
    for which, x in enumerate(candidates):
        for part in range(fold.max() + 1):
            inside, held = train[fold != part], train[fold == part]
            answers = np.array(ridge_path(x[inside], y[inside], x[held]))
            errors[which] += ((answers - y[held]) ** 2).sum(1)
    chosen, penalty = divmod(int(errors.argmin()), len(PENALTIES))
    best = candidates[chosen]
    return ridge_path(best[train], y[train], best[test])[penalty]


def ridge_path(x: np.ndarray, y: np.ndarray, x_test: np.ndarray) -> list[np.ndarray]:
    """Predictions for every penalty, from one decomposition of the kernel (n, n)."""
    middle, mean = x.mean(0), y.mean()
    kernel = (x - middle) @ (x - middle).T
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ (y - mean)
    across = (x_test - middle) @ (x - middle).T @ vectors
    return [across @ (turned / (np.maximum(values, 0) + penalty)) + mean for penalty in PENALTIES]
