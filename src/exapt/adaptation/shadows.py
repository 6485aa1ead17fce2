"""Shadow models side by side: K small networks on shared features, each on a part of the examples, in one pass.

Their weights are stacked, so a step is one batched product instead of K small ones. Each network has the start, the
batches and the steps that it would have alone; only rounding differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from exapt.errors import InputError
from exapt.training.seeds import derive


@dataclass(frozen=True)
class SmallNetwork:
    """Features -> hidden layer, ReLU -> classes, trained by AdamW at a constant rate."""

    hidden: int = 64
    steps: int = 300
    batch: int = 32
    lr: float = 3e-3
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Shadows:
    """K trained networks, stacked."""

    first: Tensor
    """(K, D, H)."""
    first_bias: Tensor
    """(K, 1, H)."""
    second: Tensor
    """(K, H, C)."""
    second_bias: Tensor
    """(K, 1, C)."""

    @property
    def parameters(self) -> list[Tensor]:
        return [self.first, self.first_bias, self.second, self.second_bias]

    def forward(self, x: Tensor) -> Tensor:
        """(K, B, D) -> (K, B, C), each network on its own rows."""
        hidden = F.relu(torch.baddbmm(self.first_bias, x, self.first))
        return torch.baddbmm(self.second_bias, hidden, self.second)

    @torch.no_grad()
    def log_p(self, features: np.ndarray, labels: np.ndarray, rows: int = 4096) -> np.ndarray:
        """(K, n) log-probability that each network gives each example's label (n,)."""
        parts = []
        for start in range(0, len(labels), rows):
            x = torch.as_tensor(features[start : start + rows], dtype=torch.float32)
            y = torch.as_tensor(labels[start : start + rows])
            out = self.forward(x.expand(len(self.first), *x.shape)).log_softmax(-1)
            parts.append(out.gather(-1, y.expand(len(out), -1)[..., None])[..., 0])
        return np.asarray(torch.cat(parts, 1).double().numpy())


def train_shadows(
    features: np.ndarray,
    labels: np.ndarray,
    member: np.ndarray,
    classes: int,
    network: SmallNetwork = SmallNetwork(),
    seeds: Sequence[int] | None = None,
) -> Shadows:
    """Network k trained on the rows of features (n, D) and labels (n,) at `member[k]` of (K, n); seeds 0 … K − 1.

    Raises `InputError` where a network has nothing to be trained on.
    """
    seeds = list(range(len(member))) if seeds is None else list(seeds)
    if not member.any(axis=1).all():
        raise InputError("shadow models: one of them has no member to be trained on; take more examples")
    x, y = torch.as_tensor(features, dtype=torch.float32), torch.as_tensor(labels)
    shadows = stacked([initial(x.shape[1], classes, network, seed) for seed in seeds])
    order = torch.stack([batches_of(rows, network, seed) for rows, seed in zip(member, seeds, strict=True)], 1)
    optimiser = torch.optim.AdamW(shadows.parameters, network.lr, weight_decay=network.weight_decay)
    for places in order:
        out = shadows.forward(x[places])
        each = F.cross_entropy(out.flatten(0, 1), y[places].flatten(), reduction="none").view_as(places)
        optimiser.zero_grad()
        each.mean(1).sum().backward()  # the sum leaves each network the gradient of its own mean
        optimiser.step()
    return Shadows(*(parameter.detach() for parameter in shadows.parameters))


def initial(inputs: int, classes: int, network: SmallNetwork, seed: int) -> Shadows:
    """One network's start, as a stack of one: He's normal weights, no biases, outputs alike."""
    rng = torch.Generator().manual_seed(derive(seed, "shadow", "weights"))
    first = torch.randn(1, inputs, network.hidden, generator=rng) * (2 / inputs) ** 0.5
    second = torch.randn(1, network.hidden, classes, generator=rng) * network.hidden**-0.5
    return Shadows(first, torch.zeros(1, 1, network.hidden), second, torch.zeros(1, 1, classes))


def stacked(single: Sequence[Shadows]) -> Shadows:
    """Stacks of one as one stack, ready to be trained."""
    parts = zip(*(shadow.parameters for shadow in single), strict=True)
    return Shadows(*(torch.cat(part).requires_grad_() for part in parts))


def batches_of(member: np.ndarray, network: SmallNetwork, seed: int) -> Tensor:
    """(steps, batch) places of the members (n,): reshuffled in every pass, and a pass runs on into the next."""
    rng = torch.Generator().manual_seed(derive(seed, "shadow", "order"))
    places = torch.as_tensor(np.flatnonzero(member))
    wanted = network.steps * network.batch
    passes = -(-wanted // len(places))
    order = torch.cat([places[torch.randperm(len(places), generator=rng)] for _ in range(passes)])
    return order[:wanted].view(network.steps, network.batch)
