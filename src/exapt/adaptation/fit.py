"""One fit: from a start and a few labels to a model with its record; and that model again from its folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from pydantic import Field

from exapt.adaptation.classical import ClassicalFitted, ClassicalSpec
from exapt.adaptation.finetune import FinetuneFitted, FinetuneSpec
from exapt.adaptation.fitted import Fitted, Start, read_saved
from exapt.adaptation.knn import KnnFitted, KnnSpec
from exapt.adaptation.law import LawFitted, LawSpec
from exapt.adaptation.pair_probe import MapsFitted, MapsSpec
from exapt.adaptation.private import PrivateProbeFitted, PrivateProbeSpec
from exapt.adaptation.probe import ProbeFitted, ProbeSpec
from exapt.adaptation.stack import StackFitted, StackSpec
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.tasks.base import Task

AdaptSpec = Annotated[
    ProbeSpec | KnnSpec | FinetuneSpec | ClassicalSpec | StackSpec | PrivateProbeSpec | MapsSpec | LawSpec,
    Field(discriminator="kind"),
]
"""Any way to use labels, told apart by `kind`."""

FITTED: dict[
    str,
    type[
        ProbeFitted
        | KnnFitted
        | FinetuneFitted
        | ClassicalFitted
        | StackFitted
        | PrivateProbeFitted
        | MapsFitted
        | LawFitted
    ],
] = {
    "probe": ProbeFitted,
    "knn": KnnFitted,
    "finetune": FinetuneFitted,
    "classical": ClassicalFitted,
    "stack": StackFitted,
    "private-probe": PrivateProbeFitted,
    "maps": MapsFitted,
    "powerlaw": LawFitted,
}
"""What each kind of spec ends in."""


def fit(spec: AdaptSpec, start: Start, task: Task, train: Dataset, valid: Dataset, seed: int) -> Fitted:
    """Tune over the spec's grid on `valid`, and return the model with its record. Nothing else is ever looked at.

    `train` and `valid` are attached to the task (`task.attach`); `valid` may be empty, then the middle of the grid is
    taken. A fit whose every rate diverges is returned with `record["diverged"]`, never raised or dropped. Raises
    `InputError` where there is nothing to train on.
    """
    began = time.perf_counter()
    known = task.labelled(train)
    if not known.any():
        raise InputError(f"{train.source}: no training example has a label; at least one must")
    fitted = spec.fit(start, task, train, valid, seed)
    counts = {"train": len(train), "valid": len(valid), "unlabelled": int((~known).sum())}
    fitted.record |= {"kind": spec.kind, **counts, "seed": seed, "seconds": round(time.perf_counter() - began, 3)}
    return fitted


def load_fitted(folder: Path | str) -> Fitted:
    """The model that `Fitted.save` wrote; raises `InputError` for anything else."""
    saved = read_saved(Path(folder))
    kind = saved.spec.get("kind")
    if kind not in FITTED:
        raise InputError(f"{folder}: fitted by kind '{kind}'; valid: {', '.join(FITTED)}")
    return FITTED[kind].restore(saved)
