"""Step checkpoints: one safetensors file and one JSON file each, atomic, checksummed, never overwritten.

`checkpoints/step-00000100.safetensors` is written first; `step-00000100.json`, which holds its checksum and the rest
of the state, makes it a checkpoint. A process killed in between leaves an orphan that the next one removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from exapt.errors import InputError
from exapt.files import jsonable, make_folder, read_json, write_json
from exapt.spec import digest
from exapt.training.weights import read_tensors, room_for, write_tensors

FORMAT = "exapt step checkpoint 1"
TENSORS, BEST = "step tensors", "best weights"


class Checkpoints:
    """The checkpoints of one run: the last `keep` steps, and the weights of the best evaluation."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep

    def open(self, fresh: bool) -> None:
        """Make the folder; remove what a killed process left half written, and with `fresh` everything."""
        make_folder(self.folder)
        whole = set() if fresh else self._whole()
        for path in self.folder.iterdir():
            ours = path.name.lstrip(".").startswith(("step-", "best"))
            if ours and path.name not in whole:
                path.unlink()

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Keep a step; only then are older ones dropped. A full disk raises `InputError` and loses nothing."""
        path = self._write(f"step-{step:08d}", tensors, TENSORS, {"step": step, "state": state})
        for old in self._steps()[: -self.keep]:
            self._remove(old)
        return path

    def save_best(self, step: int, tensors: Mapping[str, Tensor], figures: Mapping[str, Any]) -> Path:
        """Keep the weights of the best evaluation; the former best goes afterwards."""
        before = self._best()
        path = self._write(f"best-{step:08d}", tensors, BEST, {"step": step, "figures": figures})
        for old in before:
            if old != path:
                self._remove(old)
        return path

    def newest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the latest step; a damaged one raises `InputError` naming it and the one before."""
        steps = self._steps()
        if not steps:
            return None
        try:
            tensors, facts = self._read(steps[-1], TENSORS)
        except InputError as error:
            earlier = f"delete {steps[-1].stem}.* to go on from {steps[-2].stem}" if len(steps) > 1 else "start afresh"
            raise InputError(f"{error}; {earlier}") from None
        return tensors, facts["state"]

    def best(self) -> dict[str, Tensor]:
        """The weights of the best evaluation."""
        found = self._best()
        if not found:
            raise InputError(f"{self.folder}: the weights of the best evaluation are gone; start afresh")
        return self._read(found[-1], BEST)[0]

    def last_good(self) -> str:
        """Where to go on from, in words."""
        steps = self._steps()
        return f"the last good checkpoint is {steps[-1].with_suffix('')}" if steps else "no checkpoint was kept yet"

    def _write(self, name: str, tensors: Mapping[str, Tensor], kind: str, facts: Mapping[str, Any]) -> Path:
        weights, path = self.folder / f"{name}.safetensors", self.folder / f"{name}.json"
        record = jsonable({"format": FORMAT, "sha256": write_tensors(weights, tensors, kind), **facts})
        try:
            with room_for(path):
                write_json(path, {**record, "digest": digest(record)})
        except InputError:
            if not path.exists():
                weights.unlink(missing_ok=True)
            raise
        return path

    def _read(self, path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        facts: dict[str, Any] = read_json(path)
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise InputError(f"{path}: not an exapt step checkpoint")
        if digest({k: v for k, v in facts.items() if k != "digest"}) != facts.get("digest"):
            raise InputError(f"{path}: its content is not what was written: the file was changed since")
        return read_tensors(path.with_suffix(".safetensors"), kind, facts["sha256"]), facts

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.json"))

    def _best(self) -> list[Path]:
        return sorted(self.folder.glob("best-*.json"))

    def _whole(self) -> set[str]:
        """The names of files that belong to checkpoints; tensors are missed later, when the checkpoint is read."""
        return {name for path in self._steps() + self._best() for name in (path.name, path.stem + ".safetensors")}

    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # first, so that what is left of a kill in between is an orphan
        path.with_suffix(".safetensors").unlink(missing_ok=True)
