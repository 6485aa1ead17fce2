"""Further pre-trainings within one study: other objectives, other corpora, one after another."""

import json

import numpy as np
import pytest
from study_standins import TINY, pictures, scores, study_file

import exapt
from exapt.errors import InputError
from exapt.files import read_json
from exapt.studies.conclude import unnamed
from exapt.studies.spec import StudySpec
from exapt.training.pretrained import load_pretrained

TRAINING = {"steps": 3, "batch": 32, "lr": 0.002, "monitor": {"on": False}}
SHORT = {"pretrain": TRAINING, "arms": ["pretrained", "scratch"], "budgets": [8]}


def starts(data, **more):
    """A supervised start, and a masked one that goes on from it."""
    labelled = {"path": str(data), "label": "label"}
    return {
        "classes": {"objective": {"kind": "supervised"}, "corpus": labelled},
        "after": {"begin": "classes"},
    } | more


def arms(*names):
    return {name: {"start": name, "adapt": TINY["adapt"]} for name in names}


@pytest.fixture(scope="module")
def chained(tmp_path_factory):
    """A finished study with a chain of two starts over another corpus."""
    place = tmp_path_factory.mktemp("starts")
    data, other = pictures(place / "pics.npz"), pictures(place / "other.npz", seed=3)
    changes = SHORT | {"starts": starts(other), "more_arms": arms("classes", "after"), "checkpoints": 2}
    study = study_file(place, data, **changes)
    return place, study, exapt.run(study, out=place / "run", workers=1)


def test_every_start_is_a_checkpoint_of_the_run_in_as_many_runs(chained):
    place, _, result = chained
    kept = sorted(path.name for path in (place / "run" / "checkpoints").iterdir())
    assert kept == ["after-0", "after-1", "classes-0", "classes-1", "pretrained-0", "pretrained-1"]
    assert read_json(place / "run" / "run.json")["starts"]["after"] == ["checkpoints/after-0", "checkpoints/after-1"]
    assert result.computed == 4 * 2
    for name in ("after-0", "classes-1"):
        domain = (place / "run" / "checkpoints" / name / "domain" / "domain.json").read_text("utf-8")
        assert domain == (place / "run" / "checkpoints" / "pretrained-0" / "domain" / "domain.json").read_text("utf-8")


def test_a_fit_is_keyed_by_its_own_start(chained):
    place, _, result = chained
    for fit in result.data["fits"]:
        key = read_json(place / "run" / fit["file"])["key"]
        name = fit["arm"]
        if name == "scratch":
            assert "weights" not in key["start"]
            continue
        folder = place / "run" / "checkpoints" / f"{name}-{fit['seed'] % 2}"
        assert key["start"]["weights"] == read_json(folder / "exapt.json")["checksums"]


def test_a_start_goes_on_from_the_weights_of_the_one_before(chained):
    place, _, _ = chained
    checkpoints = place / "run" / "checkpoints"
    record = load_pretrained(checkpoints / "after-1").record["begin"]
    assert record["checkpoint"] == str(checkpoints / "classes-1")
    assert record["backbone"].endswith("100.0% of the numbers")
    assert record["objective"] == "a fresh head: the checkpoint's objective was supervised"
    identity = json.loads((checkpoints / "after-1" / "identity.json").read_text("utf-8"))
    sums = read_json(checkpoints / "classes-1" / "exapt.json")["checksums"]
    assert identity["backbone"]["begin"] == sums["backbone.safetensors"]


def test_a_study_with_starts_goes_on_without_computing_anything(chained):
    place, study, result = chained
    before = scores(place / "run")
    assert exapt.run(study, out=place / "run", workers=1).computed == 0
    assert scores(place / "run") == before
    assert exapt.report(place / "run").data["verdict"] == result.data["verdict"]


def test_a_start_more_computes_only_its_own(chained, tmp_path):
    place, _, _ = chained
    changes = SHORT | {"more_arms": arms("classes", "after", "late"), "checkpoints": 2}
    changes["starts"] = starts(place / "other.npz", late={"begin": "pretrained", "objective": {"kind": "masked"}})
    study = study_file(tmp_path, place / "pics.npz", **changes)
    assert exapt.run(study, out=place / "run", workers=1).computed == 2


def test_test_examples_are_left_out_of_a_starts_corpus_with_their_labels(tmp_path):
    data = pictures(tmp_path / "pics.npz")
    changes = SHORT | {"starts": {"classes": starts(data)["classes"]}, "more_arms": arms("classes")}
    exapt.run(study_file(tmp_path, data, **changes), out=tmp_path / "run", workers=1)
    note = read_json(tmp_path / "run" / "run.json")
    tests = note["data"]["facts"]["test"]
    assert note["left_out_of_starts"] == {"classes": {"examples": tests, "of": 160}}
    record = load_pretrained(tmp_path / "run" / "checkpoints" / "classes-0").record
    assert record["data"]["examples"] == 160 - tests


def test_two_workers_find_the_starts(chained, tmp_path):
    place, _, _ = chained
    before = scores(place / "run")
    (fits,) = [sorted((place / "run" / "fits").glob("*.json"))]
    for path in fits[:2]:
        path.unlink()
    changes = SHORT | {"starts": starts(place / "other.npz"), "more_arms": arms("classes", "after"), "checkpoints": 2}
    exapt.run(study_file(tmp_path, place / "pics.npz", **changes), out=place / "run", workers=2)
    assert all(before[key] == value for key, value in scores(place / "run").items())


def refused(**changes):
    source = {"path": "x.npz", "label": "label"}
    with pytest.raises(InputError) as found:
        StudySpec.parse(TINY | {"corpus": {"path": "x.npz"}, "labelled": source} | changes, "study")
    return str(found.value)


@pytest.mark.parametrize(
    ("given", "used", "said"),
    [
        ({"scratch": {}}, ["scratch"], "starts.scratch: the name is taken (pretrained, scratch, none)"),
        ({"a/b": {}}, ["a/b"], "starts.a/b: a name holds small letters"),
        ({"a": {"begin": "b"}, "b": {"begin": "a"}}, ["a", "b"], "starts go round in a circle: a → b → a"),
        ({"a": {"begin": "a"}}, ["a"], "starts go round in a circle: a → a"),
        ({"a": {}, "b": {}}, ["a"], "starts.b: no arm starts from it, so it would be trained for nothing"),
        ({"a": {"objective": {"kind": "supervised"}}}, ["a"], "starts.a.corpus.label is missing: objective supervised"),
    ],
)
def test_starts_that_make_no_sense_are_refused(given, used, said):
    assert said in refused(starts=given, more_arms={f"of {name}": arm for name, arm in arms(*used).items()})


def test_a_start_that_only_another_goes_on_from_is_used():
    StudySpec.parse(
        TINY
        | {"corpus": {"path": "x.npz"}, "labelled": {"path": "x.npz"}}
        | {"starts": {"b": {"begin": "a"}, "a": {}}, "more_arms": arms("b")},
        "study",
    )


def test_a_supervised_study_without_named_labels_is_refused():
    assert "corpus.label is missing" in refused(objective={"kind": "supervised"})


def test_an_unknown_begin_is_found_before_anything_is_trained(tmp_path):
    data = pictures(tmp_path / "pics.npz")
    study = study_file(tmp_path, data, **SHORT, starts={"a": {"begin": "nowhere"}}, more_arms=arms("a"))
    with pytest.raises(InputError, match=r"nowhere: no such folder; expected a folder with exapt\.json"):
        exapt.run(study, out=tmp_path / "run", workers=1)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_start_from_a_checkpoint_of_another_network_is_refused(chained, tmp_path):
    place, _, _ = chained
    before = place / "run" / "checkpoints" / "pretrained-0"
    changes = {"backbone": {"kind": "transformer", "width": 8, "depth": 1, "heads": 1}}
    study = study_file(tmp_path, place / "pics.npz", **SHORT, **changes)
    with pytest.raises(InputError, match=r"its backbone does not fill this one: .* of another shape"):
        exapt.pretrain(study, out=tmp_path / "next", begin=before)


def test_pretraining_goes_on_from_a_checkpoint_with_its_head(chained, tmp_path):
    place, study, _ = chained
    before = place / "run" / "checkpoints" / "pretrained-0"
    done = exapt.pretrain(study, out=tmp_path / "next", begin=before, set=["pretrain.steps=1", "pretrain.lr=1e-30"])
    assert "100.0% of the numbers" in done.record["begin"]["objective"]
    old, new = load_pretrained(before), load_pretrained(tmp_path / "next")
    for (name, one), two in zip(old.backbone.named_parameters(), new.backbone.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), two.detach(), atol=1e-6, err_msg=name)
    with pytest.raises(InputError, match=r"holds a run with backbone\.begin ="):
        exapt.pretrain(study, out=tmp_path / "next", set=["pretrain.steps=1", "pretrain.lr=1e-30"])


def test_a_checkpoint_of_another_domain_is_no_beginning(chained, tmp_path):
    place, study, _ = chained
    before = place / "run" / "checkpoints" / "pretrained-0"
    with pytest.raises(InputError, match=r"was made with domain\.patch = 2, this run has 4"):
        exapt.pretrain(study, out=tmp_path / "next", begin=before, set=["domain.patch=4"])


def test_a_study_of_a_checkpoint_may_go_on_from_it(chained, tmp_path):
    place, _, _ = chained
    given = place / "run" / "checkpoints" / "pretrained-0"
    further = {"further": {"begin": "pretrained", "corpus": {"path": str(place / "other.npz")}, "pretrain": TRAINING}}
    changes = SHORT | {"corpus": None, "checkpoint": str(given), "domain": None, "starts": further}
    study = study_file(tmp_path, place / "pics.npz", **changes, more_arms=arms("further"))
    result = exapt.run(study, out=tmp_path / "run", workers=1)
    record = load_pretrained(tmp_path / "run" / "checkpoints" / "further-0").record
    assert record["begin"]["checkpoint"] == str(given) and result.computed == 6
    assert "starts.further.corpus is missing" in refused(corpus=None, checkpoint="x", starts={"further": {}})


def test_the_report_tells_of_starts_and_of_labels_that_no_budget_counts(chained):
    place, _, result = chained
    text = (place / "run" / "report.md").read_text("utf-8")
    assert "Pre-training: classes" in text and "Pre-training: after" in text
    assert "Start 'after': masked on" in text and "going on from classes" in text
    assert any(
        "'classes' learnt from 160 labels of its corpus, which no budget counts" in w for w in result.data["warnings"]
    )


def test_an_anchor_finds_its_source_in_a_start(chained, tmp_path):
    place, _, _ = chained
    held = {"held": {"start": "classes", "adapt": TINY["adapt"] | {"anchor": [{"kind": "ewc", "examples": 16}]}}}
    changes = SHORT | {"starts": starts(place / "other.npz"), "checkpoints": 2}
    study = study_file(tmp_path, place / "pics.npz", **changes, more_arms=arms("classes", "after") | held)
    assert exapt.run(study, out=place / "run", workers=1).computed == 2


def test_an_arm_without_words_is_told_by_its_start_and_how_it_is_adapted() -> None:
    spec = StudySpec.parse(
        {
            "name": "x",
            "domain": {"kind": "text"},
            "corpus": {"path": "a.csv", "label": "z"},
            "labelled": {"path": "b.csv", "label": "y"},
            "task": {"kind": "classify"},
            "budgets": [8],
            "pretrain": {"steps": 1},
            "starts": {"classes": {"objective": {"kind": "supervised"}}},
            "more_arms": {"tuned": {"start": "classes"}, "near": {"start": "pretrained", "adapt": {"kind": "knn"}}},
        }
    )
    arms = spec.all_arms()
    assert unnamed(spec, arms["tuned"]) == "finetune from supervised"
    assert unnamed(spec, arms["near"]) == "knn from masked"
