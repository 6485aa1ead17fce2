"""What the doctor tells of the extras is what the package declares."""

from __future__ import annotations

import tomllib
from pathlib import Path

from exapt.studies.doctor import EXTRAS

ROOT = Path(__file__).parents[2]
BUNDLES = {"all", "test", "docs"}
"""Extras that are made of others, or serve work on exapt itself."""


def test_every_extra_is_told() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(declared) - BUNDLES
    for name, (packages, _) in EXTRAS.items():
        assert len(packages) == len(declared[name]), f"{name}: {packages} are not {declared[name]}"
