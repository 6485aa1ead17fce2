"""Networks that turn a packed batch into one vector an element: one spec a file, and their union by kind."""

from typing import Annotated

from pydantic import Field

from exapt.backbones.base import Backbone
from exapt.backbones.convnet import ConvNet, ConvNetSpec
from exapt.backbones.equivariant import Equivariant, EquivariantSpec
from exapt.backbones.graphnet import GraphNet, GraphNetSpec
from exapt.backbones.hub import HubBackbone, HubSpec
from exapt.backbones.timm import TimmSpec
from exapt.backbones.transformer import SIZES, Transformer, TransformerSpec

BackboneSpec = Annotated[
    TransformerSpec | ConvNetSpec | GraphNetSpec | EquivariantSpec | HubSpec | TimmSpec, Field(discriminator="kind")
]
"""Any backbone, told apart by `kind`."""

__all__ = [
    "SIZES",
    "Backbone",
    "BackboneSpec",
    "ConvNet",
    "ConvNetSpec",
    "Equivariant",
    "EquivariantSpec",
    "GraphNet",
    "GraphNetSpec",
    "HubBackbone",
    "HubSpec",
    "TimmSpec",
    "Transformer",
    "TransformerSpec",
]
