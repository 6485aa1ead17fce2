"""The shipped studies of one network for molecules, proteins and crystals, and a small one of their kind in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exapt.errors import InputError
from exapt.studies.reading import read_study

FILES = {
    "corpus.path": "molecules.smi",
    "corpus.also.0.path": "proteins",
    "corpus.also.1.path": "crystals.cif",
    "starts.molecules.corpus.path": "molecules.smi",
    "starts.crystals.corpus.path": "crystals.cif",
    "labelled.path": "qm9.extxyz",
}
SMALL: dict[str, Any] = {
    "name": "small",
    "domain": {"kind": "atoms", "cutoff": 3.5},
    "corpus": {"path": "ase:s22", "limit": 8, "also": [{"path": "built:crystals/1", "limit": 8}]},
    "backbone": {"kind": "equivariant", "width": 8, "depth": 1},
    "objective": {"kind": "battery", "parts": [{"objective": {"kind": k}} for k in ("denoise", "masked", "infomax3d")]},
    "pretrain": {"steps": 3, "batch": 4, "lr": 0.001, "holdout": 0.2, "precision": "float32", "monitor": {"on": False}},
    "labelled": {"path": "built:crystals", "limit": 40, "label": "energy"},
    "task": {"kind": "regress", "per": "element", "metric": "MAE"},
    "split": {"test": 0.3},
    "adapt": {"kind": "finetune", "rates": [0.001], "min_steps": 2, "max_steps": 2, "batch": 8, "evaluations": 1},
    "arms": ["pretrained", "scratch", "frozen", "classical"],
    "budgets": [8],
    "seeds": 2,
}


def test_chemistry_needs_no_file_and_labels_few() -> None:
    spec = read_study("chemistry")
    assert spec.corpus is not None and not spec.needs
    assert [source.path for source in spec.corpus.each() if source.label] == ["xtb:dipoles"]
    assert spec.labelled.path not in [source.path for source in spec.corpus.each()]
    assert set(spec.starts) == set(spec.more_arms) == {"molecules", "crystals"}
    assert all(spec.more_arms[name].adapt == spec.adapt for name in spec.starts)


def test_crystals_go_on_from_what_chemistry_made() -> None:
    spec, first = read_study("chemistry-crystals"), read_study("chemistry")
    assert spec.checkpoint == f"runs/{first.name}/checkpoints/pretrained-0"
    assert {arm.start for arm in spec.more_arms.values()} == {f"runs/chemistry/checkpoints/{n}-0" for n in first.starts}
    assert first.corpus is not None
    assert spec.labelled.path not in [source.path for source in first.corpus.each()]


def test_files_are_named_one_by_one() -> None:
    given = [f"{key}={value}" for key, value in FILES.items()]
    spec = read_study("chemistry-files", given)
    assert spec.corpus is not None
    assert [source.path for source in spec.corpus.each()] == ["molecules.smi", "proteins", "crystals.cif"]
    for key in FILES:
        with pytest.raises(InputError, match=rf"{key} is not set\. It needs .*--set {key}=YOUR_FILE"):
            read_study("chemistry-files", [one for one in given if not one.startswith(f"{key}=")])


def test_residues_see_the_backbone_alone() -> None:
    with pytest.raises(InputError, match=r"labelled\.path is not set"):
        read_study("chemistry-residues")
    assert read_study("chemistry-residues", ["labelled.path=p"]).labelled.label == "amino_acid"
    joint = read_study("chemistry-files", [f"{key}={value}" for key, value in FILES.items()])
    assert joint.domain is not None and joint.domain.plain()["backbone_only"]


@pytest.mark.slow
def test_a_small_one_in_full_and_another_task_from_its_network(tmp_path: Path) -> None:
    pytest.importorskip("ase")
    from exapt.studies.runner import run_study
    from exapt.studies.spec import StudySpec

    run_study(StudySpec.parse(SMALL, "small"), tmp_path / "first", 1)
    checkpoint = str(tmp_path / "first" / "checkpoints" / "pretrained-0")
    rest = {key: value for key, value in SMALL.items() if key not in ("corpus", "domain", "backbone", "objective")}
    again = {**rest, "name": "again", "checkpoint": checkpoint, "labelled": {"path": "ase:s22", "label": "size"}}
    with pytest.raises(InputError, match="ase:s22: no column 'size'"):
        run_study(StudySpec.parse(again, "again"), tmp_path / "wrong", 1)
    again["labelled"] = {
        "path": "built:crystals",
        "label": "energy",
        "also": [{"path": "built:crystals/1", "limit": 5}],
    }
    again["task"] = {**SMALL["task"], "missing": "ignore"}
    run_study(StudySpec.parse(again, "again"), tmp_path / "second", 1)
    assert len(list((tmp_path / "second" / "fits").glob("*.json"))) == 8  # four arms, two seeds
