"""PyTorch Geometric's convolutions behind one call, and what they need to know of a batch's edges, worked out once.

Shapes: V nodes, E edges, F features in, D features out, K numbers an edge.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from exapt.backbones.sparse import SparseLinear, adjacency
from exapt.errors import InputError


@dataclass(frozen=True)
class Around:
    """Who hears whom."""

    edges: Tensor
    """(2, E) from and to."""
    carried: Tensor | None
    """(E, K) what the edges carry, where the convolution takes vectors."""
    matrix: Tensor | None
    """(V, V) in compressed rows, the weights of a sum over neighbours; None where these are not fixed."""


@dataclass(frozen=True)
class Form:
    """What decides a convolution's parameters."""

    kind: str
    """`gcn`, `gin` or `gat`."""
    width: int
    heads: int
    dropout: float
    norm: str
    edge_features: int

    def around(self, nodes: Tensor, edges: Tensor | None, carried: Tensor | None) -> Around:
        """The neighbourhood of a batch's nodes (V, F), once for all layers. Raises `InputError` for weights below 0."""
        edges = torch.zeros(2, 0, dtype=torch.long, device=nodes.device) if edges is None else edges
        if carried is not None:
            carried = carried.to(nodes.dtype).reshape(edges.shape[1], -1)
        if self.kind == "gcn":
            return Around(edges, None, averaging(edges, carried, nodes))
        if self.edge_features:
            return Around(edges, carried, None)
        ones = nodes.new_ones(edges.shape[1])
        return Around(edges, None, adjacency(edges, ones, len(nodes)) if self.kind == "gin" else None)

    def build(self, features: int) -> Convolution:
        """A convolution of nodes with F features; raises `InputError` without PyTorch Geometric."""
        library = geometric()
        if self.kind == "gcn":
            conv = library.GCNConv(features, self.width, normalize=False)
        elif self.kind == "gat":
            each, edge = self.width // self.heads, self.edge_features or None
            conv = library.GATConv(features, each, self.heads, dropout=self.dropout, edge_dim=edge)
        else:
            small = perceptron(features, self.width, self.norm)
            edged = {"edge_dim": self.edge_features} if self.edge_features else {}
            conv = (library.GINEConv if edged else library.GINConv)(small, train_eps=True, **edged)
        _plain_layers(conv)
        return Convolution(conv)


class Convolution(nn.Module):
    """One of PyTorch Geometric's convolutions."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    @property
    def takes_sparse(self) -> bool:
        """Whether the nodes may come as a sparse matrix; no more once something else wraps the first linear layer."""
        return type(getattr(self.conv, "lin", None)) is SparseLinear

    def forward(self, nodes: Tensor, seen: Around) -> Tensor:
        """(V, F) to (V, D)."""
        among = seen.edges if seen.matrix is None else seen.matrix
        out: Tensor = self.conv(nodes, among) if seen.carried is None else self.conv(nodes, among, seen.carried)
        return out


def perceptron(features: int, width: int, norm: str) -> nn.Sequential:
    """GIN's two layers, normalised between."""
    return nn.Sequential(nn.Linear(features, width), normaliser(norm, width), nn.ReLU(), nn.Linear(width, width))


def normaliser(kind: str, width: int) -> nn.Module:
    """What `norm` names: nothing, or batch or layer normalisation."""
    if kind == "none":
        return nn.Identity()
    return nn.BatchNorm1d(width) if kind == "batch" else nn.LayerNorm(width)


def averaging(edges: Tensor, weights: Tensor | None, nodes: Tensor) -> Tensor:
    """(V, V) D^-½ (A + I) D^-½ (Kipf & Welling 2017, equation 2), D counting what comes in."""
    from torch_geometric.nn.conv.gcn_conv import gcn_norm

    if weights is not None and weights.numel() and not bool((weights >= 0).all()):
        raise InputError(f"backbone.conv=gcn: an edge has the weight {float(weights.min()):g}; valid: 0 or more")
    flat = None if weights is None else weights.reshape(-1)
    edges, flat = gcn_norm(edges, flat, len(nodes), add_self_loops=True, dtype=nodes.dtype)
    return adjacency(edges, flat, len(nodes))


def _plain_layers(conv: nn.Module) -> None:
    """PyTorch's own linear layers in the place of PyTorch Geometric's, so that what knows `nn.Linear` knows these."""
    for name, part in list(conv.named_children()):
        if type(part).__name__ == "Linear" and not isinstance(part, nn.Linear):
            old: Any = part
            kind = SparseLinear if name == "lin" and old.bias is None else nn.Linear
            setattr(conv, name, kind(old.in_channels, old.out_channels, bias=old.bias is not None))


def geometric() -> Any:
    """PyTorch Geometric's `nn`, quiet about what it does when it is imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import torch_geometric.nn
    except ImportError:
        raise InputError("backbone.kind=graphnet needs `pip install 'exapt[graph]'`") from None
    return torch_geometric.nn
