"""Message passing over graphs: PyTorch Geometric's GCN, GIN and GAT convolutions, layer on layer.

Shapes: V nodes of a batch, of which the first N are owned by examples; F features of a node, D width, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from exapt.backbones.base import Backbone, not_taken
from exapt.backbones.convolutions import Around, Form, averaging, geometric, normaliser
from exapt.backbones.sparse import as_sparse, drop_sparse
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec

ACTIVATIONS = {"relu": nn.ReLU, "prelu": nn.PReLU, "elu": nn.ELU, "gelu": nn.GELU}


class GraphNetSpec(Spec):
    """A graph network: dropout, convolution, norm, activation, once a layer."""

    kind: Literal["graphnet"] = "graphnet"
    conv: Literal["gcn", "gin", "gat"] = "gcn"
    """How a node hears its neighbours. `gcn`: their mean weighted by degrees (Kipf & Welling 2017, arXiv 1609.02907);
    `gin`: their sum through a small network (Xu et al. 2019, arXiv 1810.00826), which tells more graphs apart; `gat`:
    attention (Velickovic et al. 2018, arXiv 1710.10903). Vectors of edges are used by `gin` (as GINE, Hu et al. 2020,
    arXiv 1905.12265) and `gat`; `gcn` takes one number an edge, as its weight."""
    width: PositiveInt = 256
    """Features a node."""
    depth: PositiveInt = 2
    """Number of layers: how many steps away a node sees."""
    heads: PositiveInt = 4
    """Attention heads of `gat`, which share the width."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of each layer's inputs dropped in training, and of `gat`'s attention."""
    norm: Literal["none", "batch", "layer"] = "none"
    """After each convolution (and inside `gin`'s networks): nothing, or batch or layer normalisation."""
    residual: bool = False
    """Add a layer's input to its output, where they are equally wide."""
    activation: Literal["relu", "prelu", "elu", "gelu"] = "prelu"
    """After each layer, the last one included. PReLU is DGI's."""
    smoothing: int = Field(default=0, ge=0, le=64)
    """How often the last layer's features are averaged with the neighbours', with nothing more to learn (as APPNP does,
    Gasteiger et al. 2019, arXiv 1810.05997): a wide view for a network of one layer."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.conv == "gat" and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of {self.heads} heads; choose one that is")
        return self

    def build(self, inputs: Inputs, seed: int | None = None) -> GraphNet:
        """Fresh weights; the same seed gives the same weights, None draws from torch's global generator.

        Raises `InputError` where the elements are no nodes, or their edges carry what the convolution cannot use.
        """
        check_nodes(self.conv, inputs)
        geometric()  # before the device is changed: it makes tensors when it is imported
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.device("meta"):
            backbone = GraphNet(self, inputs)
        backbone.to_empty(device="cpu")
        initialise(backbone, rng)
        return backbone

    fresh = build
    """What pre-trained weights are compared with; the same as `build` for a backbone that starts from nothing."""

    def form(self, inputs: Inputs) -> Form:
        """What decides the convolutions' parameters."""
        return Form(self.conv, self.width, self.heads, self.dropout, self.norm, inputs.edge_features)


class GraphNet(Backbone):
    """See `GraphNetSpec`. Takes nodes (V, F) and edges (2, E); gives the features of those that examples own."""

    sparse: bool = True
    """Whether mostly empty node features are multiplied as sparse matrices: the same numbers, sooner."""

    def __init__(self, spec: GraphNetSpec, inputs: Inputs) -> None:
        super().__init__()
        self.spec, self.inputs, self.width, self.form = spec, inputs, spec.width, spec.form(inputs)
        self.enter = Enter(spec.dropout)
        self.layers = layers_of(spec, self.form, inputs.features)
        self.final_norm = nn.Identity()

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.enter, *self.layers, self.final_norm]

    def forward(self, batch: Batch) -> Features:
        return Features(self.nodes(batch)[: int(batch.offsets[-1])], batch.offsets)

    def nodes(self, batch: Batch) -> Tensor:
        """(V, D) features of every node, those that no example owns last. Not in bfloat16: sums over neighbours would
        lose too much."""
        with torch.autocast(batch.inputs.device.type, enabled=False):
            inputs = batch.inputs.to(next(self.parameters()).dtype)
            seen = self.form.around(inputs, batch.edges, batch.edge_inputs)
            nodes = self.enter(inputs, self.sparse and self.layers[0].takes_sparse)
            for layer in self.layers:
                nodes = layer(nodes, seen)
            if self.spec.smoothing:
                plain = self.spec.conv == "gcn" and seen.matrix is not None
                among = seen.matrix if plain else averaging(seen.edges, None, nodes)
                for _ in range(self.spec.smoothing):
                    nodes = torch.sparse.mm(among, nodes)
            return self.final_norm(nodes)


class Enter(nn.Module):
    """Drops some of the inputs in training, and makes mostly empty ones sparse."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)

    def forward(self, nodes: Tensor, sparse: bool) -> Tensor:
        light = as_sparse(nodes) if sparse else None
        if light is None:
            return self.drop(nodes)
        return drop_sparse(light, self.drop.p) if self.training and self.drop.p else light


class GraphLayer(nn.Module):
    """Convolution, norm, activation; the next layer's dropout is its last act."""

    def __init__(self, spec: GraphNetSpec, form: Form, features: int, last: bool) -> None:
        super().__init__()
        self.conv = form.build(features)
        self.norm = normaliser(spec.norm, spec.width)
        self.act = ACTIVATIONS[spec.activation]()
        self.drop = nn.Dropout(0.0 if last else spec.dropout)
        self.residual = spec.residual and features == spec.width

    @property
    def takes_sparse(self) -> bool:
        """Whether the nodes may come as a sparse matrix."""
        return self.conv.takes_sparse and not self.residual

    def forward(self, nodes: Tensor, seen: Around) -> Tensor:
        out = self.act(self.norm(self.conv(nodes, seen)))
        return self.drop(out + nodes if self.residual else out)


def layers_of(spec: GraphNetSpec, form: Form, features: int) -> nn.ModuleList:
    """The layers over nodes of F features."""
    wide = [features] + [spec.width] * (spec.depth - 1)
    return nn.ModuleList(GraphLayer(spec, form, size, number == spec.depth - 1) for number, size in enumerate(wide))


def check_nodes(conv: str, inputs: Inputs) -> None:
    """Raise `InputError` where the elements are no nodes, or their edges carry what the convolution cannot use."""
    if inputs.kind != "nodes":
        raise not_taken("graphnet", "nodes of graphs", inputs.kind)
    if inputs.features < 1:
        raise InputError("backbone.kind=graphnet: nodes without features; give them some, such as their degrees")
    if conv == "gcn" and inputs.edge_features > 1:
        raise InputError(
            f"backbone.conv=gcn cannot use {inputs.edge_features} numbers an edge (one is its weight); valid: gin, gat"
        )


@torch.no_grad()
def initialise(model: nn.Module, rng: torch.Generator | None) -> None:
    """Glorot weights and zero biases.

    With `nn.Linear`'s own start the biases drown rows of bags of words that sum to 1: GRACE on Cora reached 0.51
    instead of 0.81.
    """
    for part in model.modules():
        if isinstance(part, nn.BatchNorm1d | nn.LayerNorm):
            part.reset_parameters()
        elif isinstance(part, nn.PReLU):
            part.weight.fill_(0.25)
        elif isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight, generator=rng)
    for name, values in (*model.named_parameters(), *model.named_buffers()):
        own = name.rsplit(".", 1)[-1]
        if own.startswith("att_"):
            nn.init.xavier_uniform_(values[0], generator=rng)
        elif own == "eps" or (own == "bias" and values.ndim == 1):
            values.zero_()
