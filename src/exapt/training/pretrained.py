"""The artifact of pre-training: a folder that says what it is, with checksums, and loads with a report.

`exapt.json` (specs, versions, checksums, record), `backbone.safetensors`, `objective.safetensors`, `domain/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import nn

from exapt.backbones import BackboneSpec
from exapt.backbones.base import Backbone
from exapt.domains import load_domain
from exapt.domains.base import Domain
from exapt.errors import InputError
from exapt.files import checksum, jsonable, make_folder, read_json, write_json
from exapt.objectives import ObjectiveSpec
from exapt.objectives.base import Objective
from exapt.spec import Spec
from exapt.training.environment import versions
from exapt.training.weights import (
    PICKLES,
    LoadReport,
    load_into,
    read_tensors,
    refuse_pickle,
    room_for,
    tensors_of,
    write_tensors,
)

FORMAT = "exapt pretrained 1"
FILE = "exapt.json"
PARTS = ("backbone", "objective")


@dataclass(frozen=True)
class Pretrained:
    """A domain, a backbone and an objective with the weights of one run."""

    domain: Domain
    backbone: Backbone
    objective: Objective
    record: dict[str, Any]
    """How the weights came to be: data, seeds, steps, losses, hardware."""
    specs: dict[str, dict[str, Any]]
    """The plain specs of `backbone` and `objective`."""
    load_report: dict[str, LoadReport]
    """What arrived, for `backbone` and `objective`."""

    @property
    def objective_spec(self) -> ObjectiveSpec:
        """The objective's description, with all that the corpus decided."""
        spec: ObjectiveSpec = _spec(ObjectiveSpec, self.specs["objective"], "objective")
        return spec

    @property
    def backbone_spec(self) -> BackboneSpec:
        """The network's description."""
        spec: BackboneSpec = _spec(BackboneSpec, self.specs["backbone"], "backbone")
        return spec

    def fresh_backbone(self, seed: int) -> Backbone:
        """The same network with random weights of its own."""
        # `fresh`, not `build`: a hub backbone's `build` would bring the weights it was pre-trained with.
        return self.backbone_spec.fresh(self.domain.inputs, seed=seed)


def save_pretrained(
    folder: Path,
    domain: Domain,
    backbone: Backbone,
    objective: Objective,
    record: Mapping[str, Any],
    *,
    specs: Mapping[str, Spec] | None = None,
) -> Path:
    """Write the artifact; `exapt.json` comes last and makes it one.

    `specs` holds the specs of `backbone` and `objective`, where these do not carry their own as `.spec`. Everything is
    written aside first and then renamed: a full disk raises `InputError` and leaves a former artifact as it was.
    """
    folder, aside = Path(folder), Path(folder) / ".new"
    modules: dict[str, nn.Module] = {"backbone": backbone, "objective": objective}
    plain = {name: _plain_spec(module, (specs or {}).get(name)) for name, module in modules.items()}
    content = {"format": FORMAT, "specs": plain | {"domain": domain.spec.plain()}, "versions": versions()}
    try:
        with room_for(folder):
            domain.save(aside / "domain")
            for name, module in modules.items():
                write_tensors(aside / f"{name}.safetensors", tensors_of(module), name)
            files = sorted(path.relative_to(aside) for path in aside.rglob("*") if path.is_file())
            sums = {str(name): checksum(aside / name) for name in files}
            write_json(aside / FILE, {**content, "checksums": sums, "record": record})
            for file in (*files, Path(FILE)):
                make_folder((folder / file).parent)
                (aside / file).replace(folder / file)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def load_pretrained(path: Path | str, *, allow_partial: bool = False, domain: str | None = None) -> Pretrained:
    """Load an artifact and report what arrived; anything less than a full match fails unless `allow_partial`.

    `domain` names the kind of domain it must be of. Raises `InputError` for anything that is not such a folder, for
    files that were truncated or changed, and for pickled weights.
    """
    folder = Path(path).expanduser()
    facts = read_facts(folder)
    verify(folder, facts["checksums"])
    kind = facts["specs"]["domain"].get("kind")
    if domain is not None and kind != domain:
        raise InputError(f"{folder}: a checkpoint of domain {kind}, where {domain} is wanted")
    data = load_domain(folder / "domain")
    backbone = _spec(BackboneSpec, facts["specs"]["backbone"], f"{folder / FILE}: backbone").build(data.inputs, seed=0)
    spec = _spec(ObjectiveSpec, facts["specs"]["objective"], f"{folder / FILE}: objective")
    objective = spec.build(data, backbone, seed=0)
    modules = {"backbone": backbone, "objective": objective}
    reports = {name: _fill(folder / f"{name}.safetensors", name, modules[name], allow_partial) for name in PARTS}
    specs = {name: facts["specs"][name] for name in PARTS}
    return Pretrained(data, backbone, objective, facts["record"], specs, reports)


def _fill(path: Path, kind: str, module: nn.Module, allow_partial: bool) -> LoadReport:
    report = load_into(module, read_tensors(path, kind))
    if not report.full and not allow_partial:
        raise InputError(f"{path}: does not fill the {kind}: {report.sentence()}; allow_partial=True takes it as it is")
    return report


def read_facts(folder: Path) -> dict[str, Any]:
    """The content of `exapt.json`, or an `InputError` that says what the path is instead."""
    refuse_pickle(folder)
    if not (folder / FILE).is_file():
        raise InputError(f"{folder}: {_what_else(folder)}; expected a folder with {FILE}, as pre-training writes it")
    facts = read_json(folder / FILE)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise InputError(f"{folder / FILE}: format {found!r} is not one this version reads; valid: '{FORMAT}'")
    lacking = {"specs", "checksums", "record"} - facts.keys()
    if lacking:
        raise InputError(f"{folder / FILE}: '{min(lacking)}' is missing: the file was changed since it was written")
    return facts


def _what_else(path: Path) -> str:
    """What a path that is no artifact looks like."""
    if not path.exists():
        return "no such folder"
    if path.is_file():
        return "a file, not a checkpoint"
    if (path / "config.json").exists():
        return "a Hugging Face checkpoint (use it as backbone: {kind: hub, path: …})"
    if any(path.glob("step-*.json")) or any(path.glob("checkpoints/step-*.json")):
        return "step checkpoints of a run that has not finished (start it again to finish it)"
    if any(p.suffix in PICKLES for p in path.iterdir()):
        return "a folder of pickled weights, which are refused"
    return "no exapt checkpoint"


def verify(folder: Path, sums: Mapping[str, str]) -> None:
    """Raise `InputError` where a file is missing, truncated or changed."""
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; the checkpoint is not whole")
        if checksum(path) != expected:
            raise InputError(f"{path}: its checksum is not the recorded one: the file was truncated or changed since")


def _spec(union: Any, data: Mapping[str, Any], where: str) -> Any:
    try:
        return TypeAdapter(union).validate_python(data)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"{where}.{key}: {problem['msg']}; the checkpoint was written by another version") from None


def _plain_spec(module: nn.Module, given: Spec | None) -> dict[str, Any]:
    spec = given or getattr(module, "spec", None)
    if not isinstance(spec, Spec):
        raise ValueError(f"{type(module).__name__} carries no spec; pass specs={{'backbone': …, 'objective': …}}")
    plain: dict[str, Any] = jsonable(spec.plain())
    return plain
