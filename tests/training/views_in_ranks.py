"""Run under torchrun by `test_views_pretrain.py`: one training step of every objective on this process's examples."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from exapt.backbones import TransformerSpec
from exapt.batch import Batch
from exapt.domains import ProteinSpec, from_arrays
from exapt.domains.protein import ProteinDomain
from exapt.objectives import ByolSpec, SigregSpec, SimclrSpec, SimsiamSpec, VicregSpec
from exapt.training.trainable import Pretraining

SPECS: list[Any] = [
    SimclrSpec(),
    VicregSpec(),
    ByolSpec(),
    SimsiamSpec(),
    SigregSpec(views=3, slices=8),
    VicregSpec.parse({"projector": {"norm": "layer"}}),
]
HALVES = (range(7), range(7, 12))
"""The examples of each process, not as many on one as on the other."""


class Cut(ProteinDomain):
    """Views that follow from an example alone: it lacks its first or last residues."""

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        found = []
        for view in range(count):
            place = batch.places()
            stays = (place >= view) & (place < batch.lengths[batch.segments] - count + view)
            counts = torch.zeros_like(batch.lengths).index_add(0, batch.segments, stays.long())
            offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
            found.append(replace(batch, inputs=batch.inputs[stays], offsets=offsets))
        return found


def step(rank: int, ranks: int) -> dict[str, tuple[float, list[torch.Tensor], dict[str, torch.Tensor]]]:
    """Loss, gradients and buffers of each objective after two passes, in float64."""
    domain = Cut(ProteinSpec(length=32))
    draw = torch.randint(0, 20, (12, 20), generator=torch.Generator().manual_seed(0))
    data = domain.read(from_arrays(["".join("ACDEFGHIKLMNPQRSTVWY"[i] for i in row) for row in draw]))
    own = HALVES[rank] if ranks > 1 else range(12)
    batch = domain.collate([data[i] for i in own])
    found = {}
    for number, spec in enumerate(SPECS):
        backbone = TransformerSpec(width=16, depth=1, heads=1).build(domain.inputs, seed=0)
        model = Pretraining(backbone, spec.build(domain, backbone, seed=0)).double()
        net: torch.nn.Module = DistributedDataParallel(model) if ranks > 1 else model
        for _ in range(2):
            model.zero_grad()
            loss = net(batch, torch.Generator().manual_seed(rank))
            (loss.value * loss.count).backward()
        # DDP took the mean over processes; the loop divides the sum by the count of all.
        gradients = [p.grad * ranks / 12 for p in model.parameters() if p.grad is not None]
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        found[f"{spec.kind} {number}"] = (float(loss.value.detach()), gradients, buffers)
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    torch.save(step(rank, distributed.get_world_size()), Path(sys.argv[1]) / f"{rank}.pt")
    distributed.destroy_process_group()
