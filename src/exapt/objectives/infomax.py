"""Deep Graph Infomax: tell real nodes from ones with other nodes' features, by a summary of their graph.

Velickovic et al. 2019 (arXiv 1809.10341), equation 1 and §4.2. Shapes: V nodes of a batch, N of them owned by
examples, B examples, D width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch, segment_mean
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec


class InfomaxSpec(PretextSpec):
    """Deep Graph Infomax (DGI): a node and its graph's summary belong together, a node with shuffled features does
    not."""

    kind: Literal["infomax"] = "infomax"

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Infomax:
        """The objective; raises `InputError` where the elements are no nodes."""
        check_graph(domain, "infomax")
        return Infomax(backbone.width, seed)


class Infomax(Objective):
    """Binary cross entropy of hᵀ W s for real nodes, and for nodes with the features of others of the batch, which
    where whole graphs are examples may be of another graph."""

    def __init__(self, width: int, seed: int | None = None) -> None:
        super().__init__()
        self.bilinear = nn.Parameter(torch.empty(width, width))
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        nn.init.xavier_uniform_(self.bilinear, generator=rng)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        order = torch.randperm(len(batch.inputs), generator=rng).to(batch.inputs.device)
        real = backbone(batch).elements
        other = backbone(replace(batch, inputs=batch.inputs[order])).elements
        return self.told_apart(real, other, whole(batch))

    def told_apart(self, real: Tensor, other: Tensor, offsets: Tensor) -> Loss:
        """The loss of features (N, D) of real and shuffled nodes of graphs with offsets (G + 1,)."""
        summary = segment_mean(real, offsets).sigmoid() @ self.bilinear.T
        each = summary.repeat_interleave(offsets.diff().to(summary.device), 0)
        yes, no = (real * each).sum(1), (other * each).sum(1)
        value = (F.softplus(-yes) + F.softplus(no)).mean() / 2 if len(yes) else real.sum() * 0
        right = ((yes > 0).float() + (no < 0).float()).detach().sum() / max(1, 2 * len(yes))
        return Loss(value, len(yes), {"accuracy": right})


def whole(batch: Batch) -> Tensor:
    """(G + 1,) which owned nodes share a graph: all of a linked batch, else those of each example."""
    return batch.offsets[[0, -1]] if batch.linked else batch.offsets


def check_graph(domain: Domain, kind: str) -> None:
    """Raise `InputError` where the elements are no nodes of graphs."""
    if domain.inputs.kind != "nodes":
        raise InputError(
            f"objective.kind={kind} needs nodes of graphs, not {domain.inputs.kind}; valid: domain.kind=graph"
        )
