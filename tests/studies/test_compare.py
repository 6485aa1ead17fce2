"""Which arms a study compares beside its main pair, and that a planted difference between two starts is found."""

import numpy as np
import pytest
from study_standins import TINY

from exapt.errors import InputError
from exapt.evidence.conclude import conclude
from exapt.evidence.curves import Curves
from exapt.studies.spec import Arm, StudySpec

LIKE = {"start": "views", "adapt": TINY["adapt"]}
ARMS = {
    "views": LIKE,
    "slower": LIKE | {"adapt": TINY["adapt"] | {"max_steps": 9}},
    "nearest": {"start": "views", "adapt": {"kind": "knn"}},
    "twin": {"start": "scratch", "adapt": TINY["adapt"]},
}


def study(**changes):
    source = {"corpus": {"path": "x.npz"}, "labelled": {"path": "x.npz", "label": "label"}}
    return StudySpec.parse(TINY | source | {"starts": {"views": {}}, "more_arms": ARMS} | changes, "study")


def test_matched_arms_are_compared_with_scratch_unless_said_otherwise():
    assert study().pairs() == [("views", "scratch")]
    assert study(compare=[]).pairs() == []
    asked = study(compare=[["views", "pretrained"], ["slower", "views"]])
    assert asked.pairs() == [("views", "pretrained"), ("slower", "views")]
    assert asked.unlike() == [("slower", "views")]
    assert StudySpec.parse(asked.plain(), "study.yaml") == asked


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([["views", "scrach"]], "compare: 'scrach' is no arm of this study; did you mean 'scratch'"),
        ([["views", "views"]], "compare: 'views' is compared with itself"),
        ([["views", "scratch"], ["scratch", "views"]], r"compare: \['scratch', 'views'\] is there twice"),
        ([["views"]], r"compare\.0\.1 is missing"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(pairs, said):
    with pytest.raises(InputError, match=said):
        study(compare=pairs)


def test_a_planted_difference_between_two_starts_is_found_and_none_is_not_claimed():
    rng = np.random.default_rng(0)
    base = rng.normal(0.6, 0.02, (5, 2))
    planted = {"pretrained": 0.03, "scratch": 0.0, "views": 0.06, "twin": 0.0}
    scores = {arm: base + by + rng.normal(0, 0.003, base.shape) for arm, by in planted.items()}
    pairs = [("views", "pretrained"), ("twin", "scratch"), ("pretrained", "views")]
    found = conclude(Curves((8, 16), tuple(range(5)), scores), pairs=pairs, margin=0.02).pairs
    assert [pair.versus.overall.verdict for pair in found] == ["HELPS", "EQUIVALENT", "HARMS"]
    assert [pair.holds for pair in found] == [True, False, True]


def test_an_arm_without_adapt_is_fine_tuned_as_the_study_says():
    changed = TINY["adapt"] | {"max_steps": 7}
    found = study(more_arms={"views": {"start": "views"}}, adapt=changed)
    assert found.more_arms["views"].adapt == found.adapt and found.adapt.max_steps == 7
    assert found.pairs() == [("views", "scratch")]
    built = StudySpec.model_validate(dict(found) | {"more_arms": {"views": Arm(start="views")}})
    assert built.more_arms["views"].adapt == found.adapt
    bare = {key: value for key, value in found.plain().items() if key != "adapt"}
    assert StudySpec.parse(bare | {"more_arms": {"views": {"start": "views"}}}).pairs() == [("views", "scratch")]
