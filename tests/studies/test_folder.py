"""A run's folder belongs to one study, and a fit is there whole or not at all."""

import json

import numpy as np
import pytest
from test_reading import MINIMAL

from exapt.errors import InputError
from exapt.studies.folder import RunFolder
from exapt.studies.spec import StudySpec


def study(**changes):
    return StudySpec.parse(MINIMAL | changes, "test")


def test_growing_a_study_is_welcome(tmp_path):
    RunFolder(tmp_path / "run").claim(study())
    RunFolder(tmp_path / "run").claim(study(seeds=7, budgets=[20, 40], arms=["pretrained", "scratch", "frozen"]))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["seeds"] == list(range(7))


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"margin": 0.05}, "margin"), ({"pretrain": {"epochs": 2}}, "pretrain.epochs"), ({"name": "other"}, "name")],
)
def test_another_study_is_refused_by_the_key_that_differs(tmp_path, changes, key):
    RunFolder(tmp_path / "run").claim(study())
    begun(tmp_path / "run")
    with pytest.raises(InputError, match=f"holds a study with {key} = "):
        RunFolder(tmp_path / "run").claim(study(**changes))


def begun(folder):
    """As if a fit had been made."""
    RunFolder(folder).write_fit({"budget": 20}, {"score": 0.5}, np.zeros(2))


def test_a_study_that_computed_nothing_may_be_corrected(tmp_path):
    RunFolder(tmp_path).claim(study())
    RunFolder(tmp_path).claim(study(margin=0.05))
    assert json.loads((tmp_path / "run.json").read_text())["identity"]["margin"] == 0.05


def test_data_may_move(tmp_path):
    RunFolder(tmp_path).claim(study())
    begun(tmp_path)
    RunFolder(tmp_path).claim(study(corpus={"path": "elsewhere"}))
    with pytest.raises(InputError, match=r"corpus\.limit"):
        RunFolder(tmp_path).claim(study(corpus={"path": "elsewhere", "limit": 3}))


def test_data_of_several_sources_may_move(tmp_path):
    def claim(*also):
        RunFolder(tmp_path).claim(study(corpus={"path": "a", "also": list(also)}))

    claim({"path": "b"})
    begun(tmp_path)
    claim({"path": "c"})
    with pytest.raises(InputError, match=r"corpus\.also\.0\.limit"):
        claim({"path": "c", "limit": 3})
    with pytest.raises(InputError, match=r"corpus\.also"):
        claim({"path": "c"}, {"path": "d"})
    with pytest.raises(InputError, match=r"corpus\.also"):
        RunFolder(tmp_path).claim(study(corpus={"path": "a"}))


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"no exapt run \(thesis.tex"):
        RunFolder(tmp_path).claim(study())


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot create this folder"):
        RunFolder(tmp_path / "file" / "run").claim(study())


def test_a_fit_is_kept_with_its_items(tmp_path):
    folder = RunFolder(tmp_path)
    key = {"budget": 20, "seed": 0}
    assert folder.read_fit(key) is None
    folder.write_fit(key, {"score": 0.5}, np.array([0.0, 1.0]))
    record = folder.read_fit(key)
    assert record["score"] == 0.5 and record["key"] == key
    assert np.load(tmp_path / record["file"].replace(".json", ".npy")).tolist() == [0.0, 1.0]
    assert folder.read_fit({"budget": 20, "seed": 1}) is None
