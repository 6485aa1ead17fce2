"""The privacy audit's own error rates: a planted leak, no leak at all, and training that is private by proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

from exapt.adaptation.dpsgd import Privacy, Schedule, train_privately
from exapt.adaptation.shadows import SmallNetwork, train_shadows
from exapt.audits.base import Trial
from exapt.audits.shadowing import halves
from exapt.evidence.leakage import MAIN, Leakage, leakage

EXAMPLES, WIDTH, CLASSES = 160, 16, 4


def memorised(seed: int, runs: int = 3) -> Trial:
    """Small networks trained long on labels drawn at random, which can only be learnt by heart."""

    def once(rng: np.random.Generator) -> Leakage:
        return _attack(rng, _networks, 14)

    return _tried("labels learnt by heart: planted to be caught", ("LEAKS",), once, runs, 1.0, seed)


def never_seen(seed: int, runs: int = 60) -> Trial:
    """What models say depends on an example's difficulty and on chance, never on membership."""

    def once(rng: np.random.Generator) -> Leakage:
        member = halves(8, 300, rng)
        hard = rng.normal(1, 2, 500)
        log_p = -np.logaddexp(0, -(hard + rng.normal(0, 1, (8, 500))))
        return leakage(log_p[:, :300], member, log_p[:, 300:], rng, resamples=100, only=[MAIN])

    return _tried("models that never saw an example: to pass", ("NO LEAK FOUND", "UNDECIDED"), once, runs, 0.9, seed)


def privately_trained(seed: int, runs: int = 4) -> Sequence[Trial]:
    """Linear maps on the same kind of random labels, trained with ε = 0.1; nothing where opacus is not installed."""
    if find_spec("opacus") is None:
        return []

    def once(rng: np.random.Generator) -> Leakage:
        return _attack(rng, _private, 14)

    wanted = ("NO LEAK FOUND", "UNDECIDED")
    return [_tried("the same labels under DP-SGD with ε = 0.1: to pass", wanted, once, runs, 0.75, seed)]


Trained = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""Features (n + m, D), labels, membership (K, n), seed -> log-probabilities (K, n + m)."""


def _attack(rng: np.random.Generator, trained: Trained, models: int) -> Leakage:
    features = rng.normal(size=(2 * EXAMPLES, WIDTH)).astype(np.float32)
    labels = rng.integers(0, CLASSES, 2 * EXAMPLES)
    member = halves(models, EXAMPLES, rng)
    log_p = trained(features, labels, member, int(rng.integers(2**31)))
    return leakage(log_p[:, :EXAMPLES], member, log_p[:, EXAMPLES:], rng, resamples=100, only=[MAIN])


def _networks(features: np.ndarray, labels: np.ndarray, member: np.ndarray, seed: int) -> np.ndarray:
    seeds = [seed + k for k in range(len(member))]
    shadows = train_shadows(
        features[:EXAMPLES], labels[:EXAMPLES], member, CLASSES, SmallNetwork(hidden=32, steps=200), seeds
    )
    return shadows.log_p(features, labels)


def _private(features: np.ndarray, labels: np.ndarray, member: np.ndarray, seed: int) -> np.ndarray:
    x, y = torch.as_tensor(features), torch.as_tensor(labels)
    rows = []
    for k, inside in enumerate(member):
        network = nn.Linear(WIDTH, CLASSES)
        nn.init.zeros_(network.weight)
        nn.init.zeros_(network.bias)
        members = torch.as_tensor(np.flatnonzero(inside))
        schedule = Schedule(epochs=10, batch=EXAMPLES, lr=2.0)
        privacy = Privacy(0.1, 1e-4)
        train_privately(network, x[members], y[members], nn.CrossEntropyLoss(), privacy, schedule, seed + k)
        with torch.no_grad():
            rows.append(network(x).double().log_softmax(1)[torch.arange(len(y)), y].numpy())
    return np.stack(rows)


def _tried(
    what: str,
    wanted: tuple[str, ...],
    once: Callable[[np.random.Generator], Leakage],
    runs: int,
    least: float,
    seed: int,
) -> Trial:
    found = [once(np.random.default_rng([seed, run])) for run in range(runs)]
    right = sum(one.verdict() in wanted for one in found)
    figures = {
        "AUC": float(np.mean([one.main.auc for one in found])),
        "caught at 1 %": float(np.mean([one.main.tpr for one in found])),
    }
    return Trial(what, wanted, right, runs, least, figures)
