"""Going on from another checkpoint: its domain, its backbone's weights, and its objective's head where that fits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exapt.backbones.base import Backbone
from exapt.errors import InputError
from exapt.files import jsonable
from exapt.objectives.base import Objective
from exapt.spec import Spec
from exapt.training.identity import first_difference
from exapt.training.pretrained import read_facts, verify
from exapt.training.weights import load_into, read_tensors, room_for, tensors_of


@dataclass(frozen=True)
class Begin:
    """A checkpoint that another pre-training goes on from, checked against its checksums."""

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def of(cls, path: Path | str) -> Begin:
        """Raises `InputError` for anything but a whole checkpoint."""
        folder = Path(path).expanduser()
        facts = read_facts(folder)
        verify(folder, facts["checksums"])
        return cls(folder, facts)

    @property
    def key(self) -> str:
        """The content of its backbone's weights."""
        return str(self.facts["checksums"]["backbone.safetensors"])

    def check_domain(self, spec: Spec) -> None:
        """Raise `InputError` where this run's domain is described otherwise than the checkpoint's."""
        found = first_difference(self.facts["specs"]["domain"], jsonable(spec.plain()), "domain")
        if found:
            raise InputError(
                f"{self.folder}: was made with {found.key} = {found.old!r}, this run has {found.new!r}; "
                "going on from a checkpoint keeps its domain (tokenizer, picture size)"
            )

    def fill_backbone(self, backbone: Backbone) -> str:
        """Put its weights in, and say what arrived; raises `InputError` below a full match."""
        report = load_into(backbone, read_tensors(self.folder / "backbone.safetensors", "backbone"))
        if not report.full:
            raise InputError(f"{self.folder}: its backbone does not fill this one: {report.sentence()}")
        return report.sentence()

    def fill_objective(self, objective: Objective, spec: Spec) -> str:
        """Put its head in where the objective is of the same kind and shape, and say so; else it stays fresh."""
        old, new = self.facts["specs"]["objective"], jsonable(spec.plain())
        if old["kind"] != new["kind"]:
            return f"a fresh head: the checkpoint's objective was {old['kind']}"
        before = {name: tensor.clone() for name, tensor in tensors_of(objective).items()}
        report = load_into(objective, read_tensors(self.folder / "objective.safetensors", "objective"))
        if report.full:
            return report.sentence()
        found = first_difference(old, new, "objective")
        if found is None:
            raise InputError(f"{self.folder}: its objective does not fill this one: {report.sentence()}")
        load_into(objective, before)
        return f"a fresh head: {found.key} was {found.old!r:.80}, this run has {found.new!r:.80}"


def take_domain(source: Path, folder: Path) -> None:
    """Copy a checkpoint's domain into a run's folder, in place of learning one from its corpus."""
    with room_for(folder):
        shutil.copytree(source / "domain", folder, dirs_exist_ok=True)
