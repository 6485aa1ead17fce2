"""Self-supervised losses: one spec a file, and their union by kind."""

from typing import Annotated

from pydantic import Field

from exapt.objectives.autoregressive import AutoregressiveSpec
from exapt.objectives.base import Loss, Objective
from exapt.objectives.guess import Guess
from exapt.objectives.masked import MaskedSpec
from exapt.objectives.supervised import SupervisedSpec

ObjectiveSpec = Annotated[MaskedSpec | AutoregressiveSpec | SupervisedSpec, Field(discriminator="kind")]
"""Any objective, told apart by `kind`."""

__all__ = ["AutoregressiveSpec", "Guess", "Loss", "MaskedSpec", "Objective", "ObjectiveSpec", "SupervisedSpec"]
