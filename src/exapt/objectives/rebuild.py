"""GraphMAE: hide the features of some nodes and rebuild them from their neighbours.

Hou et al. 2022 (arXiv 2205.10803), §3. Shapes: V nodes of a batch, M of them hidden, F features, D width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.backbones.convolutions import Form
from exapt.backbones.graphnet import GraphNet, initialise
from exapt.batch import Batch
from exapt.domains.base import Domain
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.infomax import check_graph


class RebuildSpec(PretextSpec):
    """GraphMAE: a learnt token in the place of some nodes' features, and a decoder that must rebuild these from the
    neighbours alone."""

    kind: Literal["rebuild"] = "rebuild"
    ratio: float = Field(default=0.5, gt=0, lt=1)
    """The share of nodes to hide."""
    replaced: float = Field(default=0.05, ge=0, le=1)
    """The share of the hidden nodes that show another node's features instead of the token."""
    gamma: float = Field(default=3.0, ge=1)
    """The power γ of the error (1 − cos)^γ: the higher, the less do easy nodes count."""
    decoder: Literal["gcn", "gin", "gat", "linear"] | None = None
    """The decoder's convolution, or a linear layer, which sees no neighbours; None: the backbone's own kind."""
    remask: bool = True
    """Whether the hidden nodes' features are set to zero again before a decoder that sees neighbours."""

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Rebuild:
        """The objective; raises `InputError` where the elements are no nodes."""
        check_graph(domain, "rebuild")
        kind = self.decoder or (backbone.spec.conv if isinstance(backbone, GraphNet) else "gcn")
        return Rebuild(self, domain, backbone.width, kind, seed)


class Rebuild(Objective):
    """The mean of (1 − cos(rebuilt, real))^γ over hidden nodes."""

    def __init__(self, spec: RebuildSpec, domain: Domain, width: int, decoder: str, seed: int | None = None) -> None:
        super().__init__()
        self.spec, self.domain = spec, domain
        self.token = nn.Parameter(torch.zeros(domain.inputs.features))
        self.between = nn.Linear(width, width, bias=False)
        self.decoder = Decoder(decoder, width, domain.inputs.features, domain.inputs.edge_features)
        initialise(self, None if seed is None else torch.Generator().manual_seed(seed))

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        masked = self.domain.mask(batch, self.spec.ratio, rng)
        shown = replace(masked.batch, inputs=self.shown(batch.inputs, masked.where, rng))
        nodes = self.between(backbone(everyone(shown)).elements)
        if self.spec.remask and self.decoder.looks_around:
            nodes = nodes.index_fill(0, masked.where, 0.0)
        value = scaled_cosine(self.decoder(nodes, batch)[masked.where], masked.target, self.spec.gamma)
        return Loss(value, len(masked.where))

    def shown(self, inputs: Tensor, where: Tensor, rng: torch.Generator) -> Tensor:
        """(V, F) what the backbone sees: the token at hidden nodes (M,), or at a few another node's features."""
        order = torch.randperm(len(where), generator=rng)
        swapped = where[order[: int(self.spec.replaced * len(where))].to(where.device)]
        others = torch.randint(len(inputs), (len(swapped),), generator=rng).to(where.device)
        tokens = self.token.to(inputs.dtype).expand(len(where), -1)
        return inputs.index_copy(0, where, tokens).index_copy(0, swapped, inputs[others])


class Decoder(nn.Module):
    """One convolution, or a linear layer, from features (V, D) to what nodes look like (V, F)."""

    def __init__(self, kind: str, width: int, features: int, edge_features: int) -> None:
        super().__init__()
        self.form = None if kind == "linear" else Form(kind, features, 1, 0.0, "none", edge_features)
        self.layer = nn.Linear(width, features) if self.form is None else self.form.build(width)

    @property
    def looks_around(self) -> bool:
        """Whether it sees neighbours."""
        return self.form is not None

    def forward(self, nodes: Tensor, batch: Batch) -> Tensor:
        if self.form is None:
            return self.layer(nodes)
        with torch.autocast(nodes.device.type, enabled=False):
            nodes = nodes.to(torch.promote_types(nodes.dtype, torch.float32))
            return self.layer(nodes, self.form.around(nodes, batch.edges, batch.edge_inputs))


def scaled_cosine(rebuilt: Tensor, real: Tensor, gamma: float) -> Tensor:
    """() mean of (1 − cos)^γ over rows (M, F) (equation 2); 0 without any."""
    if not len(real):
        return rebuilt.sum() * 0
    near = (F.normalize(rebuilt, dim=1) * F.normalize(real.to(rebuilt), dim=1)).sum(1)
    return (1 - near).clamp(min=0).pow(gamma).mean()


def everyone(batch: Batch) -> Batch:
    """A linked batch whose every node is an example, those that none owned too; another batch as it is."""
    if not batch.linked:
        return batch
    each = torch.arange(len(batch.inputs) + 1, device=batch.offsets.device)
    return replace(batch, offsets=each, targets={}, element_targets={}, index=None)
