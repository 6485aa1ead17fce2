"""Shadow models side by side against one after another: processor time on one core, and what an attack finds.

    python benchmarks/shadows.py

Real handwritten digits (scikit-learn's), a fifth of the labels drawn anew, networks of 64 hidden units. Both ways are
timed in turn in one process; the ratio is of medians.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from exapt.adaptation.shadows import SmallNetwork, batches_of, initial, train_shadows
from exapt.evidence.membership import each_in_turn, lira, log_odds
from exapt.evidence.roc import auc

NETWORK = SmallNetwork(hidden=64, steps=300, batch=32)
REPEATS = 3


def one_after_another(features: np.ndarray, labels: np.ndarray, member: np.ndarray) -> np.ndarray:
    """(K, n) log-probabilities of plain networks under plain optimisers, on the same starts and batches."""
    x, y = torch.as_tensor(features), torch.as_tensor(labels)
    return np.stack([_alone(x, y, rows, seed) for seed, rows in enumerate(member)])


def _alone(x: torch.Tensor, y: torch.Tensor, member: np.ndarray, seed: int) -> np.ndarray:
    model = nn.Sequential(nn.Linear(x.shape[1], NETWORK.hidden), nn.ReLU(), nn.Linear(NETWORK.hidden, 10))
    start = initial(x.shape[1], 10, NETWORK, seed)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start.parameters, strict=True):
            parameter.copy_(value[0].T if value.shape[1] > 1 else value.flatten())
    optimiser = torch.optim.AdamW(model.parameters(), NETWORK.lr, weight_decay=NETWORK.weight_decay)
    for places in batches_of(member, NETWORK, seed):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[places]), y[places]).backward()
        optimiser.step()
    with torch.no_grad():
        return np.asarray(model(x).log_softmax(1)[torch.arange(len(y)), y].double().numpy())


def side_by_side(features: np.ndarray, labels: np.ndarray, member: np.ndarray) -> np.ndarray:
    """(K, n) log-probabilities of stacked networks."""
    return train_shadows(features, labels, member, 10, NETWORK).log_p(features, labels)


def main() -> None:
    torch.set_num_threads(1)
    digits = load_digits()
    rng = np.random.default_rng(0)
    features, labels = (digits.data / 16).astype(np.float32), digits.target.astype(np.int64)
    noisy = rng.random(len(labels)) < 0.2
    labels = np.where(noisy, rng.integers(0, 10, len(labels)), labels)
    for count in (8, 16, 32):
        member = rng.random((count, len(labels))) < 0.5
        seconds: dict[str, list[float]] = {"one after another": [], "side by side": []}
        found = {}
        for _ in range(REPEATS):
            for name, way in (("one after another", one_after_another), ("side by side", side_by_side)):
                began = time.process_time()
                log_p = way(features, labels, member)
                seconds[name].append(time.process_time() - began)
                found[name] = auc(each_in_turn(log_odds(log_p), member, lira), member)
        plain, fast = (statistics.median(seconds[name]) for name in seconds)
        areas = ", ".join(f"{name} {area:.4f}" for name, area in found.items())
        print(
            f"{count} models: {plain:.2f} s one after another, {fast:.2f} s side by side, {plain / fast:.1f} ×; {areas}"
        )


if __name__ == "__main__":
    main()
