"""A study runs from data to verdict; what is on disk is not computed again, and nothing else is mixed with it."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml
from study_standins import FITS, pictures, scores, study_file

import exapt
from exapt.errors import InputError
from exapt.files import read_json
from exapt.studies import runner
from exapt.studies.spec import StudySpec


@pytest.fixture
def no_fits(monkeypatch):
    """Any fit that is computed fails the test."""

    def never(*_):
        raise AssertionError("a fit was computed")

    monkeypatch.setattr(runner, "run_job", never)


def test_a_study_ends_in_a_verdict_a_report_and_a_file_for_every_fit(finished):
    result = finished.result
    assert result.computed == FITS
    assert result.verdict in {"HELPS", "HARMS", "EQUIVALENT", "NON-INFERIOR", "INCONCLUSIVE"}
    report = read_json(finished.folder / "report.json")
    assert report["verdict"]["sentence"] == result.sentence
    assert result.sentence in (finished.folder / "report.md").read_text("utf-8")
    page = (finished.folder / "report.html").read_text("utf-8")
    assert "<b>two kinds</b>" not in page and "&lt;b&gt;two kinds&lt;/b&gt;" in page
    assert len(report["fits"]) == FITS
    for fit in report["fits"]:
        record = read_json(finished.folder / fit["file"])
        assert record["score"] == fit["score"]
        assert f'href="{fit["file"]}"' in page
        items = np.load((finished.folder / fit["file"]).with_suffix(".npy"), allow_pickle=False)
        assert items.mean() == pytest.approx(fit["score"])  # accuracy is the mean of right and wrong
        assert fit["train"] + fit["valid"] == fit["budget"]


def test_arms_of_a_seed_and_budget_saw_the_same_labels(finished):
    records = [read_json(path) for path in (finished.folder / "fits").glob("*.json")]
    seen = {}
    for record in records:
        seen.setdefault((record["key"]["seed"], record["key"]["budget"]), set()).add(record["labels"])
    assert len(seen) == 4 and all(len(labels) == 1 for labels in seen.values())
    assert len(set.union(*seen.values())) == 4


def test_the_test_part_was_left_out_of_the_corpus(finished):
    note = read_json(finished.folder / "run.json")
    facts = note["data"]["facts"]
    assert note["left_out_of_corpus"] == {"examples": facts["test"], "of": facts["examples"]}


def test_the_study_file_in_the_run_is_the_whole_study(finished):
    written = yaml.safe_load((finished.folder / "study.yaml").read_text("utf-8"))
    assert StudySpec.parse(written, "study.yaml").plain() == written


def test_a_finished_study_computes_nothing(finished, no_fits):
    before = {path: path.stat().st_mtime_ns for path in (finished.folder / "fits").iterdir()}
    again = exapt.run(finished.study, out=finished.folder, workers=1)
    assert again.computed == 0 and again.sentence == finished.result.sentence
    assert before == {path: path.stat().st_mtime_ns for path in (finished.folder / "fits").iterdir()}


def test_a_report_is_written_anew_without_data_from_anywhere(copied, no_fits, monkeypatch, tmp_path):
    before = {name: (copied.folder / name).read_text("utf-8") for name in ("report.html", "report.md", "report.json")}
    copied.data.unlink()
    shutil.move(copied.folder, tmp_path / "moved")
    monkeypatch.chdir("/")
    for name in before:
        (tmp_path / "moved" / name).unlink()
    assert exapt.report(tmp_path / "moved").computed == 0
    assert {name: (tmp_path / "moved" / name).read_text("utf-8") for name in before} == before


def test_a_moved_study_and_moved_data_go_on(copied, no_fits, tmp_path):
    shutil.move(copied.folder, tmp_path / "moved")
    shutil.move(copied.data, tmp_path / "other.npz")
    study = study_file(tmp_path, tmp_path / "other.npz")
    assert exapt.run(study, out=tmp_path / "moved", workers=1).computed == 0


def test_more_seeds_and_budgets_compute_only_those(copied):
    before = scores(copied.folder)
    result = exapt.run(copied.study, out=copied.folder, set=["seeds=3"], workers=1)
    assert result.computed == 3 * 2
    more = exapt.run(copied.study, out=copied.folder, set=["seeds=3", "budgets=[8, 16, 24]"], workers=1)
    assert more.computed == 3 * 3
    after = scores(copied.folder)
    assert len(after) == 3 * 3 * 3 and {key: after[key] for key in before} == before


def test_fewer_seeds_and_arms_report_only_those(copied, no_fits):
    fewer = ["budgets=[8]", "arms=[pretrained, scratch]"]
    result = exapt.run(copied.study, out=copied.folder, set=fewer, workers=1)
    assert result.computed == 0 and len(result.data["fits"]) == 4


def test_two_workers_give_the_same_fits_bit_for_bit(copied, finished, tmp_path):
    shutil.rmtree(copied.folder / "fits")
    result = exapt.run(copied.study, out=copied.folder, workers=2)
    assert result.computed == FITS
    assert scores(copied.folder) == scores(finished.folder)
    for path in (finished.folder / "fits").glob("*.npy"):
        assert path.read_bytes() == (copied.folder / "fits" / path.name).read_bytes()
    assert result.sentence == finished.result.sentence


def test_a_fit_taken_away_is_made_again(copied, finished):
    one = next((copied.folder / "fits").glob("*.json"))
    one.unlink()
    with pytest.raises(InputError, match="1 fits are not there yet; finish them with `exapt run`"):
        exapt.report(copied.folder)
    assert exapt.run(copied.study, out=copied.folder, workers=1).computed == 1
    assert scores(copied.folder) == scores(finished.folder)


def test_a_changed_study_is_refused(copied):
    with pytest.raises(InputError, match=r"holds a study with adapt\.max_steps = 3, this one has 4"):
        exapt.run(copied.study, out=copied.folder, set=["adapt.max_steps=4"], workers=1)
    assert exapt.run(copied.study, out=copied.folder, workers=1).computed == 0


def test_other_data_under_the_same_path_is_refused(copied, no_fits):
    pictures(copied.data, seed=1)
    with pytest.raises(InputError, match=r"pics\.npz: not the data that .*run was begun with"):
        exapt.run(copied.study, out=copied.folder, workers=1)


def test_another_corpus_under_the_same_path_is_refused(copied, no_fits, tmp_path):
    corpus = pictures(tmp_path / "corpus.npz", seed=2)
    study = study_file(tmp_path, copied.data, corpus={"path": str(corpus)})
    with pytest.raises(InputError, match="holds a run with data = "):
        exapt.run(study, out=copied.folder, workers=1)


def test_a_damaged_fit_is_named(copied):
    one = next((copied.folder / "fits").glob("*.json"))
    one.write_text("{")
    with pytest.raises(InputError, match=rf"{one.name}: not valid JSON"):
        exapt.run(copied.study, out=copied.folder, workers=1)


def test_relative_paths_reach_the_workers(finished, tmp_path, monkeypatch):
    shutil.copy(finished.data, tmp_path / "pics.npz")
    study_file(tmp_path, "pics.npz", arms=["pretrained", "scratch"])
    monkeypatch.chdir(tmp_path)
    result = exapt.run("tiny.yaml", workers=2)
    assert result.computed == 8 and str(result.folder) == "runs/tiny"
    mine, theirs = scores(result.folder), scores(finished.folder)
    assert mine == {key: theirs[key] for key in mine}


def test_independent_checkpoints_take_turns(finished, tmp_path):
    study = study_file(tmp_path, finished.data, checkpoints=2, arms=["pretrained", "scratch"], budgets=[8])
    result = exapt.run(study, out=tmp_path / "run", workers=1)
    starts = {
        record["key"]["seed"]: record["key"]["start"]["weights"]["backbone.safetensors"]
        for record in (read_json(tmp_path / "run" / f["file"]) for f in result.data["fits"])
        if "weights" in record["key"]["start"]
    }
    assert len(set(starts.values())) == 2
    assert any("2 independent pre-training runs" in sentence for sentence in result.data["method"])


def test_an_arm_of_ones_own(finished, copied, checkpoint):
    arms = {
        "nearest": {"start": "pretrained", "adapt": {"kind": "knn"}},
        "again": {
            "start": str(checkpoint),
            "adapt": {"kind": "probe", "penalties": [0.1, 10.0]},
            "what": "from outside",
        },
    }
    study = study_file(copied.folder.parent, copied.data, more_arms=arms)
    result = exapt.run(study, out=copied.folder, workers=1)
    assert result.computed == 4  # `again` is `frozen` by another name: the same weights, the same probe
    found = scores(copied.folder)
    assert [found["again", b, s] for b in (8, 16) for s in (0, 1)] == [
        found["frozen", b, s] for b in (8, 16) for s in (0, 1)
    ]


def test_an_arm_from_a_checkpoint_of_another_domain_is_refused(finished, copied, tmp_path):
    other = pictures(tmp_path / "bright.npz", seed=5)
    exapt.pretrain(study_file(tmp_path, other), out=tmp_path / "other")
    arms = {"other": {"start": str(tmp_path / "other"), "adapt": {"kind": "knn"}}}
    study = study_file(tmp_path, copied.data, more_arms=arms)
    with pytest.raises(InputError, match=r"more_arms\.other\.start: .*another domain"):
        exapt.run(study, out=copied.folder, workers=1)


def test_a_test_part_too_small_for_the_margin_is_said(finished, tmp_path):
    study = study_file(tmp_path, finished.data, margin=0.01, arms=["pretrained", "scratch"], budgets=[8])
    result = exapt.run(study, out=tmp_path / "run", workers=1)
    assert any(re.search("holds 32 examples, so a single one may weigh more", w) for w in result.data["warnings"])
    assert not any("holds 32" in w for w in finished.result.data["warnings"])


def test_what_is_said_on_the_way(finished, tmp_path):
    said = []
    study = study_file(tmp_path, finished.data, arms=["pretrained", "scratch"], budgets=[8])
    exapt.run(study, out=tmp_path / "run", workers=1, say=said.append)
    assert said == ["pre-training 1 of 1", "4 fits to make, 0 on disk"]
    exapt.run(study, out=tmp_path / "run", workers=1, say=said.append)
    assert said[2:] == ["0 fits to make, 4 on disk"]


def test_the_record_of_a_run_says_what_it_stood_on(finished):
    note = json.loads((finished.folder / "run.json").read_text("utf-8"))
    assert note["study"] == "tiny" and note["seeds"] == [0, 1]
    assert {"versions", "hardware", "commit"} <= set(note["environment"])
    assert note["checkpoints"] == ["checkpoints/pretrained-0"]
