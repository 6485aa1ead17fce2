"""The probing audit: on a study, on planted factors, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from probe_standins import run, subject

from exapt.audits import ProbesAudit
from exapt.audits.factors import as_classes, gather, known_factors
from exapt.audits.planted_factors import planted_trials
from exapt.errors import InputError
from exapt.evidence.probing import examine, judge_factor

QUICK = {"splits": 3, "networks": 1, "clusters": 20, "trees": 1, "rank": "difference"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probes")
    run(folder)
    return subject(folder / "run")


@pytest.fixture(scope="module")
def two_factors(study):
    """The study with a second column: whether a picture is brighter than the middle one, and a copy of nothing."""
    bright = np.array([study.labelled[i].inputs.mean() for i in range(len(study.labelled))])
    words = np.where(bright > np.median(bright), "bright", "dark")
    columns = {**study.labelled.columns, "light": words, "number": bright, "same": np.full(len(words), "x")}
    return replace(study, labelled=replace(study.labelled, columns=columns))


def test_the_finding_on_a_study(two_factors):
    audit = ProbesAudit(factors=["light"], **QUICK)
    found = audit.run(two_factors)
    assert found.verdict in ("ENCODED SPARSELY", "ENCODED", "NO BETTER THAN RANDOM")
    assert found.sentence.count("dimensions hold it") == 2 and "'light'" in found.sentence
    facts = found.details["factors"]
    assert list(facts) == ["label", "light"]
    assert found.effect == pytest.approx(facts["label"]["over random"][0])
    ours, floor = (facts["label"][what]["balanced accuracy"]["mean"] for what in ("pretrained", "random"))
    assert found.effect == pytest.approx(ours - floor)
    assert set(found.details["dci"]) == {
        f"{w}, {f}" for w in ("pretrained", "random", "raw") for f in ("trees", "lasso")
    }
    assert len(found.listings[0].rows) == 6 and len(found.plots) == 2
    assert found.plain() == audit.run(two_factors).plain()  # every draw has its seed


def test_the_test_part_is_not_looked_at(study):
    seen = gather(study, [], most=2000, splits=3, networks=1, pooling="mean", clusters=20)
    tested = set(study.labelled.rows[study.test].tolist())
    assert not tested & set(seen.examples.rows.tolist()) and len(seen.examples) == len(study.pool)
    for train, test in seen.splits:
        assert not set(train.tolist()) & set(test.tolist()) and len(train) + len(test) == len(seen.examples)
    fewer = gather(study, [], most=60, splits=3, networks=1, pooling="mean", clusters=20)
    assert len(fewer.examples) == 60


def test_columns_as_classes():
    assert as_classes(np.array(["b", "a", "", "b"], dtype=object)).tolist() == [2, 1, -1, 2]
    numbers = as_classes(np.append(np.arange(100.0), np.nan))
    assert np.bincount(numbers[:-1]).tolist() == [20] * 5 and numbers[-1] == -1
    assert as_classes(np.array([3, 1, 3])).tolist() == [1, 0, 1]


def test_rare_classes_are_left_out_and_said(two_factors):
    notes, few = [], two_factors.labelled
    words = few.columns["light"].copy()
    words[:3] = "seldom"
    marked = replace(few, columns={**few.columns, "light": words})
    found = known_factors(two_factors, marked, ["light"], notes)
    assert (found["light"][:3] == -1).all() and set(np.unique(found["light"])) == {-1, 0, 1}
    assert notes == ["'light': 1 classes with fewer than 10 examples are left out."]


def test_a_column_that_says_nothing_is_refused(two_factors):
    with pytest.raises(InputError, match="audit probes: 'same' has 1 classes of 10 and more"):
        ProbesAudit(factors=["same"], **QUICK).run(two_factors)
    with pytest.raises(InputError, match="no column 'colour' was read; there are: label"):
        ProbesAudit(factors=["colour"], **QUICK).run(two_factors)


def test_tasks_on_elements_are_refused(study):
    task = type(study.task)(study.task.spec, study.task.classes)
    task.per_element = True
    with pytest.raises(InputError, match="labels elements"):
        known_factors(replace(study, task=task), study.labelled, [], [])


def test_a_floor_that_is_as_good_takes_the_verdict_away():
    """A factor that random networks hold as well is not pre-training's doing, however well it is told."""
    rng = np.random.default_rng(0)
    factor = np.arange(200) % 2
    features = rng.normal(size=(200, 16)) + 4.0 * factor[:, None] * (np.arange(16) < 1)
    other = rng.normal(size=(200, 16)) + 4.0 * factor[:, None] * (np.arange(16) < 1)
    orders = [rng.permutation(200) for _ in range(4)]
    splits = [(order[:150], order[150:]) for order in orders]
    each = {
        name: examine([x], factor, np.arange(200), splits, by="difference")
        for name, x in (("pretrained", features), ("random", other), ("noise", rng.normal(size=(200, 16))))
    }
    assert judge_factor(each, test_to_train=1 / 3).verdict == "NO BETTER THAN RANDOM"
    against_noise = {"pretrained": each["pretrained"], "random": each["noise"]}
    assert judge_factor(against_noise, test_to_train=1 / 3).verdict == "ENCODED SPARSELY"


def test_planted_factors_are_judged_right():
    audit = ProbesAudit(rank="difference")
    for trial in planted_trials(audit.judge, seed=1, runs=1):
        assert trial.right == trial.runs, trial


@pytest.mark.slow
def test_planted_factors_are_judged_right_with_every_ranking():
    for rank in ("difference", "information", "l1"):
        for trial in planted_trials(ProbesAudit(rank=rank).judge, seed=2, runs=5, by=rank):
            assert trial.passed, (rank, trial)
