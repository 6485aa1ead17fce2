"""Self-supervised losses: one spec a file, and their union by kind."""

from typing import Annotated

from pydantic import Field

from exapt.objectives.autoregressive import AutoregressiveSpec
from exapt.objectives.base import Loss, Objective
from exapt.objectives.byol import ByolSpec
from exapt.objectives.communities import CommunitiesSpec
from exapt.objectives.guess import Guess
from exapt.objectives.infomax import InfomaxSpec
from exapt.objectives.masked import MaskedSpec
from exapt.objectives.rebuild import RebuildSpec
from exapt.objectives.sigreg import SigregSpec
from exapt.objectives.simclr import SimclrSpec
from exapt.objectives.simsiam import SimsiamSpec
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
    | InfomaxSpec,
    Field(discriminator="kind"),
]
"""Any objective, told apart by `kind`."""

__all__ = [
    "AutoregressiveSpec",
    "ByolSpec",
    "CommunitiesSpec",
    "Guess",
    "InfomaxSpec",
    "Loss",
    "MaskedSpec",
    "Objective",
    "ObjectiveSpec",
    "RebuildSpec",
    "SigregSpec",
    "SimclrSpec",
    "SimsiamSpec",
    "VicregSpec",
]
