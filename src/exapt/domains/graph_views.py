"""Changes of graphs: edges dropped, features hidden, noise.

Shapes: N elements, F features, E edges.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from exapt.batch import Batch
from exapt.domains.views import Changed, Transformation


def without_edges(batch: Batch, share: float, rng: torch.Generator) -> Batch:
    """Each edge left out with a probability, whichever way it runs (Zhu et al. 2020, Deep graph contrastive
    representation learning, §3.1 'Removing edges')."""
    if batch.edges is None:
        return batch
    stays = draws(batch.edges.shape[1], rng).to(batch.edges.device) >= share
    carried = None if batch.edge_inputs is None else batch.edge_inputs[stays]
    return replace(batch, edges=batch.edges[:, stays], edge_inputs=carried)


def without_columns(batch: Batch, share: float, rng: torch.Generator) -> Batch:
    """Each feature hidden in all nodes at once with a probability (ibid. 'Masking node features')."""
    stays = draws(batch.inputs.shape[1], rng).to(batch.inputs.device) >= share
    return replace(batch, inputs=batch.inputs * stays)


def noisy(batch: Batch, strength: float, rng: torch.Generator) -> Batch:
    """Gaussian noise of so many times each feature's standard deviation over the batch."""
    spread = batch.inputs.std(dim=0, correction=0, keepdim=True)
    noise = torch.randn(batch.inputs.shape, generator=rng, device=rng.device).to(batch.inputs)
    return replace(batch, inputs=batch.inputs + strength * spread * noise)


def graph_changes() -> list[Transformation]:
    """What the invariance audit tries."""
    return [
        Transformation("edges", lambda b, s, r: Changed(without_edges(b, s, r)), (0.1, 0.3, 1.0), "share dropped"),
        Transformation("features", lambda b, s, r: Changed(without_columns(b, s, r)), (0.1, 0.3, 1.0), "share hidden"),
        Transformation("noise", lambda b, s, r: Changed(noisy(b, s, r)), (0.1, 0.5, 1.0), "standard deviations"),
    ]


def draws(count: int, rng: torch.Generator) -> Tensor:
    """(count,) uniform draws."""
    return torch.rand(count, generator=rng, device=rng.device)
