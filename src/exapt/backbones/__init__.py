"""Networks that turn a packed batch into one vector an element: one spec a file, and their union by kind."""

from typing import Annotated

from pydantic import Field

from exapt.backbones.base import Backbone
from exapt.backbones.convnet import ConvNet, ConvNetSpec
from exapt.backbones.dilated import Dilated, DilatedSpec
from exapt.backbones.equivariant import Equivariant, EquivariantSpec
from exapt.backbones.graphnet import GraphNet, GraphNetSpec
from exapt.backbones.hub import HubBackbone, HubSpec
from exapt.backbones.powerlaw import PowerLaw, PowerLawSpec
from exapt.backbones.strands import Strands, StrandsSpec
from exapt.backbones.timm import TimmSpec
from exapt.backbones.transformer import SIZES, Transformer, TransformerSpec

BackboneSpec = Annotated[
    TransformerSpec
    | DilatedSpec
    | StrandsSpec
    | ConvNetSpec
    | GraphNetSpec
    | EquivariantSpec
    | HubSpec
    | TimmSpec
    | PowerLawSpec,
    Field(discriminator="kind"),
]
"""Any backbone, told apart by `kind`."""

__all__ = [
    "SIZES",
    "Backbone",
    "BackboneSpec",
    "ConvNet",
    "ConvNetSpec",
    "Dilated",
    "DilatedSpec",
    "Equivariant",
    "EquivariantSpec",
    "GraphNet",
    "GraphNetSpec",
    "HubBackbone",
    "HubSpec",
    "Strands",
    "StrandsSpec",
    "PowerLaw",
    "PowerLawSpec",
    "TimmSpec",
    "Transformer",
    "TransformerSpec",
]
