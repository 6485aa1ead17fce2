"""What a fit starts from and what it ends in, and how that is kept on disk: safetensors and JSON only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from exapt.adaptation.features import FeatureCache
from exapt.adaptation.origin import Origin
from exapt.backbones import BackboneSpec
from exapt.backbones.base import Backbone
from exapt.domains import load_domain
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.files import checksum, read_json, write_json
from exapt.objectives import Objective
from exapt.spec import Spec
from exapt.tasks import load_task
from exapt.tasks.base import Task
from exapt.training.weights import load_into, read_tensors, tensors_of, write_tensors

FORMAT = "exapt fitted 1"
FILE = "fitted.json"


@dataclass(frozen=True)
class Start:
    """Where a fit starts: a field, and a backbone that holds its arm's weights already. No fit changes either."""

    domain: Domain
    backbone: Backbone | None = None
    """None for baselines that need no network."""
    cache: FeatureCache = field(default_factory=FeatureCache)
    """Frozen features by example: share one `Start` over fits to embed each example once."""
    source: Origin | None = None
    """What the weights were trained for, where that can still be had: EWC, LwF and replay hold on to it."""
    objective: Objective | None = None
    """With its trained head, for tasks that go on from it."""

    def network(self, kind: str) -> Backbone:
        """The backbone; raises `InputError` where there is none."""
        if self.backbone is None:
            raise InputError(f"adapt.kind={kind}: needs a backbone to start from; without one use kind classical")
        return self.backbone


@dataclass
class Fitted(ABC):
    """An adapted model."""

    spec: Spec
    domain: Domain
    task: Task
    """Calibrated on the labels of the fit."""
    record: dict[str, Any]
    """Chosen hyper-parameters, `valid_score`, `diverged`, `seconds`."""

    @abstractmethod
    def outputs(self, dataset: Dataset) -> Tensor:
        """Outputs (n, K) as the task's head gives them; (N, K) over kept elements where the task labels those."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What was learned, apart from a backbone."""

    def backbone(self) -> Backbone | None:
        """The network that `outputs` uses."""
        return None

    def intervals(self, dataset: Dataset, level: float = 0.9) -> np.ndarray | None:
        """(n, 2) between which new labels lie with a probability of `level`, where the model says it; else None."""
        return None

    def outside(self, dataset: Dataset) -> list[str]:
        """For every example in what it lies beyond the labels learnt from, where the model can tell."""
        return []

    def facts(self) -> dict[str, Any]:
        """Whatever else `restore` needs, as JSON."""
        return {}

    def predict(self, dataset: Dataset) -> np.ndarray:
        """Predictions as `task.decode` gives them, in the order of the data set; labels are not looked at."""
        return self.task.decode(self.outputs(dataset) if len(dataset) else torch.zeros(0, self.task.outputs))

    def save(self, folder: Path) -> Path:
        """Write all that predicting on new files needs; `fitted.json` comes last and makes the folder one."""
        folder = Path(folder)
        (folder / FILE).unlink(missing_ok=True)
        self.domain.save(folder / "domain")
        network = self.backbone()
        sums = {"fitted.safetensors": write_tensors(folder / "fitted.safetensors", self.tensors(), "fitted")}
        if network is not None:
            path = folder / "backbone.safetensors"
            sums[path.name] = write_tensors(path, tensors_of(network), "backbone")
        sums |= {str(p.relative_to(folder)): checksum(p) for p in sorted((folder / "domain").rglob("*.json"))}
        content = {"format": FORMAT, "spec": self.spec.plain(), "task": self.task.plain(), "facts": self.facts()}
        plain = None if network is None else network.spec.plain()  # type: ignore[union-attr, operator]
        write_json(folder / FILE, {**content, "backbone": plain, "checksums": sums, "record": self.record})
        return folder


@dataclass(frozen=True)
class Saved:
    """What a fitted model's folder holds."""

    spec: Mapping[str, Any]
    domain: Domain
    task: Task
    record: dict[str, Any]
    backbone: Backbone | None
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def network(self) -> Backbone:
        """The backbone; raises `InputError` where the folder lacks one it should hold."""
        if self.backbone is None:
            raise InputError(f"{FILE}: no backbone in it; the file was changed since it was written")
        return self.backbone


def read_saved(folder: Path) -> Saved:
    """Read what `Fitted.save` wrote; raises `InputError` for anything else, or where a file was changed since."""
    folder = Path(folder).expanduser()
    content = _content(folder)
    for name, expected in content["checksums"].items():
        if not (folder / name).is_file() or checksum(folder / name) != expected:
            raise InputError(f"{folder / name}: missing, truncated or changed since the model was saved")
    domain = load_domain(folder / "domain")
    return Saved(
        content["spec"],
        domain,
        load_task(content["task"]),
        content["record"],
        _backbone(folder, content["backbone"], domain),
        read_tensors(folder / "fitted.safetensors", "fitted"),
        content["facts"],
    )


def _content(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder}: no fitted model; expected a folder with {FILE}, as `exapt adapt` writes it")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: not a format this version reads; valid: '{FORMAT}'")
    lacking = {"spec", "task", "facts", "backbone", "checksums", "record"} - content.keys()
    if lacking:
        raise InputError(f"{path}: '{min(lacking)}' is missing: the file was changed since it was written")
    return content


def _backbone(folder: Path, plain: Any, domain: Domain) -> Backbone | None:
    if plain is None:
        return None
    try:
        backbone: Backbone = TypeAdapter(BackboneSpec).validate_python(plain).build(domain.inputs, seed=0)
    except ValidationError:
        raise InputError(f"{folder / FILE}: its backbone was written by another version") from None
    report = load_into(backbone, read_tensors(folder / "backbone.safetensors", "backbone"))
    if not report.full:
        raise InputError(f"{folder}: the weights do not fill the backbone: {report.sentence()}")
    return backbone
