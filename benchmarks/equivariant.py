"""The equivariant backbone on a processor: its sparse and in-place sums against torch's own operations.

    OMP_NUM_THREADS=1 python benchmarks/equivariant.py

Energies and forces of 60 molecules (RDKit's first SMILES) are trained, both ways in turn; seconds are of processor
time, medians of 9. Fails where forces differ by more than 1e-4 of their size, or training is not 1.3 times as fast.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones import Equivariant, EquivariantSpec
from exapt.batch import Batch
from exapt.domains import AtomsSpec, Source

ROUNDS, RATIO, PARITY = 9, 1.3, 1e-4


def forces(net: Equivariant, head: nn.Module, batch: Batch, fast: bool) -> tuple[Tensor, Tensor]:
    """The energy of all structures, and minus its slope (N, 3)."""
    net.fast = fast
    assert batch.positions is not None
    places = batch.positions.clone().requires_grad_()
    energy = head(net(replace(batch, positions=places)).elements).sum()
    (slope,) = torch.autograd.grad(energy, places, create_graph=True)
    return energy, -slope


def step(net: Equivariant, head: nn.Module, batch: Batch, fast: bool) -> float:
    """Seconds of one gradient of a loss of energy and forces."""
    start = time.process_time()
    energy, force = forces(net, head, batch, fast)
    loss = force.square().mean() + 1e-3 * energy.square()
    torch.autograd.grad(loss, [*net.parameters(), *head.parameters()])
    return time.process_time() - start


def main() -> int:
    torch.set_num_threads(1)
    domain = AtomsSpec().build()
    batch = domain.collate(list(domain.read(Source(path="rdkit:nci", limit=60))))
    assert batch.edges is not None
    atoms = len(batch.inputs)
    print(f"{atoms} atoms, {batch.edges.shape[1]} pairs")
    failed = False
    for size in ("nano", "micro", "tiny"):
        net = EquivariantSpec.parse({"size": size}).build(domain.inputs, seed=0)
        head = nn.Linear(net.width, 1)
        one, two = (forces(net, head, batch, fast)[1].detach() for fast in (True, False))
        apart = float((one - two).abs().max() / two.abs().max())
        times = np.array([[step(net, head, batch, fast) for fast in (True, False)] for _ in range(ROUNDS)])
        fast, plain = np.median(times, axis=0)
        print(
            f"{size}: {atoms / fast:,.0f} atoms/s, plain {atoms / plain:,.0f}: ×{plain / fast:.2f}; forces {apart:.0e}"
        )
        failed |= apart > PARITY or plain / fast < RATIO
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
