"""Studies are read from the catalogue or YAML; every mistake is one line."""

import pytest
import yaml

from exapt.errors import InputError
from exapt.studies.pretraining import PretrainSpec
from exapt.studies.reading import _check_needs, catalogue, override, parse_yaml, read_study
from exapt.studies.spec import STANDARD, StudySpec
from exapt.training.monitor import MonitorSpec

MINIMAL = {
    "name": "mine",
    "domain": {"kind": "image", "patch": 2},
    "corpus": {"path": "sklearn:digits"},
    "labelled": {"path": "sklearn:digits", "label": "label"},
    "task": {"kind": "classify"},
    "budgets": [20],
}


def test_the_shipped_studies_are_there_and_valid():
    assert {"digits", "promoters", "reviews", "secondary-structure"} <= set(catalogue())
    for name, text in catalogue().items():
        spec = StudySpec.parse(yaml.safe_load(text), name)
        assert spec.name == name and spec.about


@pytest.mark.parametrize("name", ["promoters", "reviews", "secondary-structure"])
def test_a_study_without_its_file_says_what_it_needs(name):
    with pytest.raises(InputError, match=r"corpus.path is not set. It needs .*--set corpus.path=YOUR_FILE"):
        read_study(name)


def test_needs_are_met_by_set():
    spec = read_study("promoters", ["corpus.path=g.fa", "labelled.path=p.csv", "seeds=3", "budgets=[16, 32]"])
    assert (spec.corpus.path, spec.labelled.path, spec.seeds, spec.budgets) == ("g.fa", "p.csv", 3, [16, 32])


def test_override_leaves_the_original_alone():
    data = {"a": {"b": 1}}
    assert override(data, ["a.b=2", "c.d=x"]) == {"a": {"b": 2}, "c": {"d": "x"}}
    assert data == {"a": {"b": 1}}


def test_override_reaches_into_lists():
    data = {"corpus": {"also": [{"path": "a"}, {"path": "b"}]}}
    assert override(data, ["corpus.also.1.path=c"])["corpus"]["also"] == [{"path": "a"}, {"path": "c"}]
    assert override(data, ["corpus.also.0={path: d}"])["corpus"]["also"][0] == {"path": "d"}
    assert data == {"corpus": {"also": [{"path": "a"}, {"path": "b"}]}}


@pytest.mark.parametrize("assignment", ["nonsense", "=3", "name.x=1", "budgets.1=3", "budgets.x=3", "budgets.0.a=3"])
def test_a_bad_override_is_one_line(assignment):
    with pytest.raises(InputError, match="--set"):
        override(MINIMAL, [assignment])


def test_a_further_source_is_needed_by_its_place():
    needs = {"corpus.also.0.path": "a folder of proteins"}
    words = r"corpus.also.0.path is not set. It needs a folder of proteins"
    data = MINIMAL | {"corpus": {"path": "a", "also": [{"path": "REQUIRED"}]}, "needs": needs}
    with pytest.raises(InputError, match=words):
        PretrainSpec.of(data, "p.yaml")
    with pytest.raises(InputError, match=words):
        _check_needs(StudySpec.parse(data, "p.yaml"))
    _check_needs(StudySpec.parse(override(data, ["corpus.also.0.path=proteins"]), "p.yaml"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budgts": [1]}, "unknown key 'budgts'; did you mean 'budgets'"),
        ({"pretrain": {"epochs": 1, "lrr": 1}}, "unknown key 'pretrain.lrr'; did you mean 'lr'"),
        ({"objective": {"kind": "masked", "rato": 0.3}}, "did you mean 'ratio'"),
        ({"objective": {"kind": "maskd"}}, "objective"),
        ({"seeds": 1}, "with 1 seed"),
        ({"budgets": []}, "budgets"),
        ({"budgets": [20, 20]}, "repeat"),
        ({"arms": ["pretrained"]}, "a study without its control proves nothing"),
        ({"arms": ["pretrained", "scratch", "magic"]}, "arm 'magic' is not a standard one"),
        ({"corpus": None}, "either a corpus to pre-train on or a checkpoint"),
        ({"domain": None}, "a corpus needs a domain"),
        ({"name": "Not A Name"}, "name"),
        ({"objective": {"kind": "autoregressive"}}, "mine.yaml: objective.kind=autoregressive needs a backbone"),
        ({"backbone": {"kind": "transformer", "causal": True}}, "objective.kind=masked predicts from both sides"),
        ({"objective": {"kind": "battery", "parts": [{"objective": {"kind": "autoregressive"}}]}}, "causal is false"),
        (
            {"starts": {"left": {"objective": {"kind": "autoregressive"}}}, "more_arms": {"left": {"start": "left"}}},
            "mine.yaml: starts.left.objective.kind=autoregressive needs a backbone that sees only what came before",
        ),
    ],
)
def test_a_bad_study_is_one_line_that_names_the_key(change, words):
    with pytest.raises(InputError) as caught:
        StudySpec.parse(MINIMAL | change, "mine.yaml")
    assert words in str(caught.value) and str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


def test_pretraining_alone_refuses_a_network_that_looks_the_wrong_way():
    plain = {"domain": {"kind": "text"}, "corpus": {"path": "a.txt"}, "objective": {"kind": "autoregressive"}}
    with pytest.raises(InputError, match=r"^p\.yaml: objective\.kind=autoregressive needs .*set backbone\.causal=true"):
        PretrainSpec.of(plain, "p.yaml")
    assert PretrainSpec.of(plain | {"backbone": {"kind": "transformer", "causal": True}}, "p.yaml").backbone.causal
    PretrainSpec.of(plain | {"backbone": {"kind": "hub", "path": "gpt"}}, "p.yaml")  # it is known once it is loaded


def test_on_is_a_key_and_no_is_a_word():
    """YAML 1.1 takes both for booleans."""
    data = parse_yaml("monitor: {on: false}\ntask: {classes: [yes, no]}\nwhole: True\n", "x.yaml")
    assert data == {"monitor": {"on": False}, "task": {"classes": ["yes", "no"]}, "whole": True}
    assert override({}, ["monitor.on=off"]) == {"monitor": {"on": "off"}}
    assert not MonitorSpec.parse({"on": "off"}, "monitor").on


def test_broken_yaml_names_the_line():
    with pytest.raises(InputError, match=r"x.yaml, line 2: not valid YAML"):
        parse_yaml("a: 1\nb: [1", "x.yaml")


def test_yaml_that_is_no_mapping_is_refused():
    with pytest.raises(InputError, match="expected keys and values, found list"):
        parse_yaml("- 1", "x.yaml")


def test_an_unknown_study_offers_the_nearest():
    with pytest.raises(InputError, match="did you mean 'digits'"):
        read_study("digit")


def test_round_trip_through_yaml_keeps_every_word():
    spec = StudySpec.parse(MINIMAL, "mine")
    again = StudySpec.parse(yaml.safe_load(yaml.safe_dump(spec.plain())), "again")
    assert again == spec and again.digest() == spec.digest()


def test_standard_arms_share_the_tuning_of_their_kind():
    arms = StudySpec.parse(MINIMAL | {"arms": list(STANDARD)}, "mine").all_arms()
    assert arms["pretrained"].adapt == arms["scratch"].adapt
    assert arms["frozen"].adapt == arms["random-frozen"].adapt
    assert list(arms) == list(STANDARD)
