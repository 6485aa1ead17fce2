"""One finished study for all tests that only look at it, or at a copy of it."""

import shutil
from types import SimpleNamespace

import pytest
from study_standins import pictures, study_file

import exapt


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """`folder` (the run), `study` (its YAML), `data` (its pictures), and `result`."""
    place = tmp_path_factory.mktemp("dîr mit space")
    data = pictures(place / "pics.npz")
    study = study_file(place, data)
    result = exapt.run(study, out=place / "run", workers=1)
    return SimpleNamespace(place=place, folder=place / "run", study=study, data=data, result=result)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study that a test may change: data, study and run in `tmp_path`."""
    for name in ("pics.npz", "tiny.yaml"):
        shutil.copy(finished.place / name, tmp_path / name)
    shutil.copytree(finished.folder, tmp_path / "run")
    return SimpleNamespace(
        folder=tmp_path / "run", study=study_file(tmp_path, tmp_path / "pics.npz"), data=tmp_path / "pics.npz"
    )


@pytest.fixture(scope="session")
def checkpoint(finished):
    """The pre-trained folder of the finished study."""
    return finished.folder / "checkpoints" / "pretrained-0"
