"""DP-SGD (Abadi et al. 2016, arXiv 1607.00133) by opacus: clipping, noise and accountant are its.

Every step takes each example with the same probability (Poisson sampling, which the accountant assumes; a step may have
none), clips each example's gradient to a norm, adds normal noise to their sum, and divides by the expected batch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from exapt.errors import InputError
from exapt.training.seeds import derive

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets of a batch to their mean loss."""


@dataclass(frozen=True)
class Privacy:
    """What is promised: (ε, δ) differential privacy for one example more or less."""

    epsilon: float
    delta: float
    clip: float = 1.0
    """The norm that each example's gradient is cut to."""


@dataclass(frozen=True)
class Schedule:
    """How long to train and how fast."""

    epochs: int
    batch: int
    """Expected examples a step."""
    lr: float
    momentum: float = 0.0


def opacus() -> Any:
    """The library; raises `InputError` naming the extra where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import opacus as library
    except ImportError:
        raise InputError("private training needs opacus: pip install 'exapt[privacy]'") from None
    return library


def train_privately(
    network: nn.Module, inputs: Tensor, targets: Tensor, loss: Loss, privacy: Privacy, schedule: Schedule, seed: int
) -> dict[str, Any]:
    """Train a network in place on inputs (n, …) and targets (n, …); returns what was spent.

    The noise is the least that keeps ε by the PRV accountant (Gopi et al. 2021, arXiv 2106.02848). Raises `InputError`
    for batch normalisation, which mixes examples, and for a δ of 1/n or more, which promises nothing.
    """
    check(network, len(inputs), privacy)
    library = opacus()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hooks and of the random generator, which is said in the docs
        return _train(library, network, inputs, targets, loss, privacy, schedule, seed)


def check(network: nn.Module, count: int, privacy: Privacy) -> None:
    """Refuse what cannot be private."""
    mixing = [name for name, part in network.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if mixing:
        raise InputError(
            f"private training: '{mixing[0]}' is batch normalisation, which mixes examples; use layer or group norm"
        )
    if privacy.delta * count >= 1:
        raise InputError(
            f"private training: delta {privacy.delta:g} with {count} examples lets a whole example out; choose one "
            f"well below {1 / count:.2g}"
        )


def _train(
    library: Any,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss,
    privacy: Privacy,
    schedule: Schedule,
    seed: int,
) -> dict[str, Any]:
    steps = math.ceil(len(inputs) / schedule.batch)
    noise = least_noise(privacy.epsilon, privacy.delta, 1 / steps, steps * schedule.epochs)
    data = torch.utils.data.TensorDataset(inputs, targets)
    engine = library.PrivacyEngine(accountant="prv")
    private, optimiser, loader = engine.make_private(
        module=network,
        optimizer=torch.optim.SGD(network.parameters(), schedule.lr, schedule.momentum),
        data_loader=torch.utils.data.DataLoader(data, schedule.batch, generator=_generator(seed, "poisson")),
        noise_multiplier=noise,
        max_grad_norm=privacy.clip,
        noise_generator=_generator(seed, "noise"),
    )
    empty = 0
    for _ in range(schedule.epochs):
        for x, y in loader:
            empty += not len(x)
            _gradients(private, x, y, loss)
            optimiser.step()
            optimiser.zero_grad()
    spent = float(engine.get_epsilon(privacy.delta))
    private.cleanup()
    return {
        "epsilon": spent,
        "delta": privacy.delta,
        "noise_multiplier": noise,
        "sample_rate": 1 / steps,
        "steps": steps * schedule.epochs,
        "empty_steps": empty,
    }


def _gradients(private: Any, x: Tensor, y: Tensor, loss: Loss) -> None:
    """Each example's gradient; an empty step has none, and takes a step of noise alone."""
    if len(x):
        loss(private(x), y).backward()
        return
    for parameter in private.parameters():
        parameter.grad_sample = parameter.new_zeros(0, *parameter.shape)


@lru_cache(maxsize=256)
def least_noise(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """The smallest noise, in clipping norms, that so many steps at a sampling rate may have within ε (PRV)."""
    library = opacus()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            library.accountants.utils.get_noise_multiplier(
                target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant="prv"
            )
        )


def _generator(seed: int, purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, purpose))
