"""Losses to pre-train with: one spec a file, and their union by kind."""

from typing import Annotated

from pydantic import Field

from exapt.objectives.autoregressive import AutoregressiveSpec
from exapt.objectives.base import Loss, Objective
from exapt.objectives.battery import Battery, BatterySpec, close_union
from exapt.objectives.byol import ByolSpec
from exapt.objectives.communities import CommunitiesSpec
from exapt.objectives.denoise import DenoiseSpec
from exapt.objectives.guess import Guess
from exapt.objectives.infomax import InfomaxSpec
from exapt.objectives.infomax3d import Infomax3dSpec
from exapt.objectives.masked import MaskedSpec
from exapt.objectives.potential import PotentialSpec
from exapt.objectives.powerlaw import PowerLawObjectiveSpec
from exapt.objectives.properties import PropertiesSpec
from exapt.objectives.property import PropertySpec
from exapt.objectives.rebuild import RebuildSpec
from exapt.objectives.sigreg import SigregSpec
from exapt.objectives.simclr import SimclrSpec
from exapt.objectives.simsiam import SimsiamSpec
from exapt.objectives.supervised import SupervisedSpec
from exapt.objectives.vicreg import VicregSpec

ObjectiveSpec = Annotated[
    MaskedSpec
    | AutoregressiveSpec
    | SimclrSpec
    | VicregSpec
    | ByolSpec
    | SimsiamSpec
    | SigregSpec
    | CommunitiesSpec
    | RebuildSpec
    | InfomaxSpec
    | SupervisedSpec
    | PotentialSpec
    | DenoiseSpec
    | PropertiesSpec
    | Infomax3dSpec
    | PowerLawObjectiveSpec
    | BatterySpec,
    Field(discriminator="kind"),
]
"""Any objective, told apart by `kind`."""
close_union(ObjectiveSpec)

__all__ = [
    "AutoregressiveSpec",
    "Battery",
    "BatterySpec",
    "ByolSpec",
    "CommunitiesSpec",
    "DenoiseSpec",
    "Guess",
    "Infomax3dSpec",
    "InfomaxSpec",
    "Loss",
    "MaskedSpec",
    "Objective",
    "ObjectiveSpec",
    "PotentialSpec",
    "PropertiesSpec",
    "PropertySpec",
    "PowerLawObjectiveSpec",
    "RebuildSpec",
    "SigregSpec",
    "SimclrSpec",
    "SimsiamSpec",
    "SupervisedSpec",
    "VicregSpec",
]
