"""What `potential_peers.py` gives to every side alike: frames, the loss, the loop and its clock. Torch and numpy alone.

Shapes: N atoms of B frames. Energies and forces are in typical forces of the training part (eV and eV/Å over that
number), energies without those of the elements.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ENERGY_WEIGHT = 10.0
"""Of the squared error of the energy per atom, beside 1 for the components of forces."""
WARM = 0.05
"""Share of the time over which the rate rises."""


@dataclass(frozen=True)
class Frames:
    """Structures end to end."""

    numbers: np.ndarray
    """(N,) atomic numbers."""
    positions: np.ndarray
    """(N, 3) in Å."""
    offsets: np.ndarray
    """(B + 1,)."""
    energies: np.ndarray
    """(B,)."""
    forces: np.ndarray
    """(N, 3)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, frame: int) -> slice:
        """The atoms of one frame."""
        return slice(int(self.offsets[frame]), int(self.offsets[frame + 1]))

    def labels(self, places: Sequence[int]) -> Labels:
        """What is known of some frames."""
        atoms = torch.tensor([self.part(p).stop - self.part(p).start for p in places])
        forces = torch.from_numpy(np.concatenate([self.forces[self.part(p)] for p in places])).float()
        return Labels(torch.tensor([float(self.energies[p]) for p in places]), forces, atoms)

    def save(self, file: Path) -> None:
        """For a side in another process."""
        np.savez(file, **vars(self))

    @classmethod
    def load(cls, file: Path | str) -> Frames:
        """What `save` wrote."""
        with np.load(file) as held:
            return cls(**dict(held))


@dataclass(frozen=True)
class Labels:
    """Energies (B,), forces (N, 3) and atoms (B,) of a batch."""

    energies: Tensor
    forces: Tensor
    atoms: Tensor


class Side(ABC):
    """A network, and how it takes a batch."""

    network: nn.Module
    clip: float | None = None
    """The largest norm of a gradient."""

    @abstractmethod
    def batch(self, frames: Frames, places: Sequence[int]) -> Any:
        """What the network takes; neighbour lists may be kept from call to call."""

    @abstractmethod
    def answer(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Energies (B,) and forces (N, 3), which can be differentiated in training mode."""

    @abstractmethod
    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        """The one its authors train with."""

    def size(self) -> int:
        """Trained numbers."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)


def loss_of(answer: tuple[Tensor, Tensor], labels: Labels) -> Tensor:
    """The same for every side: 10 mean (ΔE / n)² + mean ΔF²."""
    energy = (answer[0].float() - labels.energies) / labels.atoms
    return ENERGY_WEIGHT * energy.square().mean() + (answer[1].float() - labels.forces).square().mean()


def step(side: Side, optimiser: torch.optim.Optimizer, batch: Any, labels: Labels) -> None:
    """One step of training."""
    loss_of(side.answer(batch), labels).backward()
    if side.clip:
        torch.nn.utils.clip_grad_norm_(side.network.parameters(), side.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


class Clocked:
    """Steps on batches that are ready: what the network and its gradients take."""

    def __init__(self, side: Side, frames: Frames, batch: int, ready: int = 4) -> None:
        self.side, self.optimiser = side, side.optimiser(1e-5)
        side.network.train()
        places = [list(range(i * batch, (i + 1) * batch)) for i in range(ready)]
        self.batches = [(side.batch(frames, p), frames.labels(p)) for p in places]
        for one in self.batches:
            step(side, self.optimiser, *one)

    def seconds(self) -> float:
        """Processor time of a step on each of them."""
        start = time.process_time()
        for one in self.batches:
            step(self.side, self.optimiser, *one)
        return time.process_time() - start


def fit(side: Side, train: Frames, test: Frames, batch: int, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Train for so much processor time, batching included, at a rate that rises and falls by the cosine of it.

    Returns the errors on the frames held out, in typical forces, and the steps taken; evaluating is not counted.
    """
    side.network.train()
    ready(side, train, batch)
    optimiser, steps = side.optimiser(rate), 0
    feed = batches(len(train), batch, np.random.default_rng(seed))
    start = time.process_time()
    while (spent := (time.process_time() - start) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * factor(spent)
        places = next(feed)
        step(side, optimiser, side.batch(train, places), train.labels(places))
        steps += 1
    return {**errors(side, test, batch), "steps": steps}


def ready(side: Side, frames: Frames, batch: int) -> None:
    """What is done once, before the clock: neighbour lists that a side keeps, and compiling on the first batches."""
    side.batch(frames, list(range(len(frames))))
    for start in range(0, 3 * batch, batch):
        places = list(range(start, start + batch))
        loss_of(side.answer(side.batch(frames, places)), frames.labels(places)).backward()
    side.network.zero_grad(set_to_none=True)


def factor(spent: float) -> float:
    """What the rate is multiplied by at a share of the time."""
    return spent / WARM if spent < WARM else 0.5 * (1 + math.cos(math.pi * (spent - WARM) / (1 - WARM)))


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Whole batches for ever, shuffled anew in every pass."""
    while True:
        order = rng.permutation(count)
        yield from (order[i : i + size].tolist() for i in range(0, count - size + 1, size))


def errors(side: Side, frames: Frames, batch: int) -> dict[str, float]:
    """Mean absolute errors of force components, and of energies per atom."""
    side.network.eval()
    forces, energies = [], []
    for start in range(0, len(frames), batch):
        places = list(range(start, min(start + batch, len(frames))))
        labels, (energy, force) = frames.labels(places), side.answer(side.batch(frames, places))
        forces.append((force.detach() - labels.forces).abs().flatten())
        energies.append(((energy.detach() - labels.energies) / labels.atoms).abs())
    return {"forces": float(torch.cat(forces).mean()), "energies": float(torch.cat(energies).mean())}
