"""Self-supervised losses: one spec a file, and their union by kind."""

from typing import Annotated

from pydantic import Field

from exapt.objectives.autoregressive import AutoregressiveSpec
from exapt.objectives.base import Loss, Objective
from exapt.objectives.guess import Guess
from exapt.objectives.infomax import InfomaxSpec
from exapt.objectives.masked import MaskedSpec
from exapt.objectives.rebuild import RebuildSpec

ObjectiveSpec = Annotated[MaskedSpec | AutoregressiveSpec | InfomaxSpec | RebuildSpec, Field(discriminator="kind")]
"""Any objective, told apart by `kind`."""

__all__ = [
    "AutoregressiveSpec",
    "Guess",
    "InfomaxSpec",
    "Loss",
    "MaskedSpec",
    "Objective",
    "ObjectiveSpec",
    "RebuildSpec",
]
