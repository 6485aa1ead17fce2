"""The run's folder: who owns it, and one file for every fit."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from exapt.errors import InputError
from exapt.files import atomic, jsonable, make_folder, read_json, write_json, write_text
from exapt.spec import digest
from exapt.studies.spec import StudySpec
from exapt.training.environment import commit, hardware, versions
from exapt.training.weights import room_for

GROWING = ("seeds", "budgets", "arms", "more_arms", "starts", "compare", "audits", "about", "needs")
"""Keys that may change in a run's folder: more of them computes only what is new."""
PLACES = re.compile(r"(corpus|labelled)(\.also\.\d+)*\.path")
"""Keys that say where data lies: it may move, for what was computed is known by the data's content."""


class RunFolder:
    """A folder that holds one study: `study.yaml`, `run.json`, `fits/`, `findings/`, checkpoints and reports."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.record: dict[str, Any] = {}

    @property
    def cache(self) -> Path:
        """Encoded data and features: may be deleted at any time."""
        return self.path / "cache"

    def claim(self, spec: StudySpec) -> None:
        """Make the folder this study's own, or refuse when it holds another one or cannot be written."""
        make_folder(self.path)
        record = self._existing()
        identity = {k: v for k, v in spec.plain().items() if k not in GROWING}
        if record is not None and self._begun():
            _same(record["identity"], jsonable(identity), self.path)
        else:
            record = None
        words = yaml.safe_dump(jsonable(spec.plain()), sort_keys=False, allow_unicode=True)
        with room_for(self.path / "study.yaml"):
            write_text(self.path / "study.yaml", words)
        environment = {"versions": versions(), "hardware": hardware(torch.device("cpu")), "commit": commit()}
        started = record["started"] if record else time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.record = (record or {}) | {
            "study": spec.name,
            "spec": spec.digest(),
            "identity": identity,
            "started": started,
        }
        self.record |= {"seeds": list(range(spec.seeds)), "environment": environment}
        self.save()

    def note(self, **facts: Any) -> dict[str, Any]:
        """Add facts to `run.json`, and give all that it holds."""
        if not self.record:
            self.record = read_json(self.path / "run.json")
        if facts:
            self.record |= facts
            self.save()
        return self.record

    def save(self) -> None:
        with room_for(self.path / "run.json"):
            write_json(self.path / "run.json", self.record)

    def fit_file(self, key: Mapping[str, Any]) -> Path:
        """Where the fit of a content key stands."""
        return self.path / "fits" / f"{digest(key)}.json"

    def read_fit(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of a finished fit, or None."""
        path = self.fit_file(key)
        if not path.exists():
            return None
        record: dict[str, Any] = read_json(path)
        return record | {"file": f"fits/{path.name}"}

    def write_fit(self, key: Mapping[str, Any], record: Mapping[str, Any], items: np.ndarray) -> None:
        """Keep a finished fit: its items' scores first, then the record that says it is whole."""
        path = self.fit_file(key)
        with room_for(path):
            with atomic(path.with_suffix(".npy")) as temporary, open(temporary, "wb") as file:
                np.save(file, items, allow_pickle=False)
            write_json(path, {"key": key, **record})

    def _begun(self) -> bool:
        """Whether anything was computed that another study could be mixed with."""
        return any(self.path.glob("fits/*.json")) or any(self.path.glob("checkpoints/*/identity.json"))

    def _existing(self) -> dict[str, Any] | None:
        if (self.path / "run.json").exists():
            record: dict[str, Any] = read_json(self.path / "run.json")
            if "identity" not in record:
                raise InputError(f"{self.path}: run.json is not of an exapt study; choose another folder with --out")
            return record
        strangers = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
        if strangers:
            raise InputError(
                f"{self.path}: holds files that are no exapt run ({strangers[0]}, …); choose an empty folder with --out"
            )
        return None


def _same(old: Any, new: Any, path: Path, key: str = "") -> None:
    """Refuse at the first key where two identities differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in {**old, **new}:
            _same(old.get(part), new.get(part), path, f"{key}.{part}" if key else part)
    elif key.endswith(".also") and old and new and len(old) == len(new):
        for place, (before, now) in enumerate(zip(old, new, strict=True)):
            _same(before, now, path, f"{key}.{place}")
    elif old != new and not PLACES.fullmatch(key):
        raise InputError(
            f"{path}: holds a study with {key} = {old!r}, this one has {new!r}; "
            "choose another folder with --out, or delete this one"
        )
