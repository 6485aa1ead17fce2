"""Anchors in a study: arms that start from its own checkpoint have a source, others are refused before any work."""

import pytest
from study_standins import TINY, study_file

import exapt
from exapt import verbs
from exapt.errors import InputError
from exapt.files import read_json
from exapt.studies.spec import StudySpec

SOURCES = {"corpus": {"path": "a.npz"}, "labelled": {"path": "a.npz", "label": "label"}}
QUICK = {"kind": "finetune", "rates": [0.001], "min_steps": 2, "max_steps": 2, "evaluations": 1}


def test_an_arm_with_ewc_and_replay_runs_and_the_audit_follows(copied):
    arm = {"start": "pretrained", "adapt": QUICK | {"anchor": [{"kind": "ewc", "examples": 16}, "replay"]}}
    study = study_file(copied.folder.parent, copied.data, more_arms={"held": arm}, budgets=[8])
    exapt.run(study, out=copied.folder, workers=1)
    fits = [f for f in read_json(copied.folder / "report.json")["fits"] if f["arm"] == "held"]
    assert len(fits) == 2
    held = [read_json(path) for path in (copied.folder / "fits").glob("*.json")]
    anchors = [f["fit"]["anchor"] for f in held if f["fit"].get("anchor")]
    assert len(anchors) == 2 and all(a["ewc"]["trace"] > 0 and "replay" in a for a in anchors)
    finding = verbs.audit("forgetting", copied.folder, set=["seeds=2", "remedies=[plain, l2sp]"])
    assert finding["verdict"] in ("KEEPS", "FORGETS", "UNDECIDED")
    assert finding["n"] == 2 and set(finding["details"]["outcomes"]) == {"plain", "l2sp"}


@pytest.mark.parametrize(
    "change",
    [
        {"adapt": QUICK | {"anchor": "ewc"}},
        {"more_arms": {"held": {"start": "scratch", "adapt": QUICK | {"anchor": "ewc"}}}},
        {"more_arms": {"held": {"start": "elsewhere", "adapt": QUICK | {"anchor": "ewc"}}}},
    ],
)
def test_an_arm_without_a_source_is_refused_before_any_work(change):
    with pytest.raises(InputError, match="has no source for anchor ewc") as caught:
        StudySpec.parse(TINY | SOURCES | change)
    assert "\n" not in str(caught.value)


def test_l2sp_and_lora_go_with_every_arm():
    for keys in ({"anchor": "l2sp"}, {"lora": {"rank": 2}}):
        assert StudySpec.parse(TINY | SOURCES | {"adapt": QUICK | keys}).all_arms()
