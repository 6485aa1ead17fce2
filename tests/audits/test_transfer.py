"""The transfer audit: a class that loses is named, through real records of fits, and nothing is where nothing is."""

from dataclasses import replace

import numpy as np
import pytest
from probe_standins import run, subject

from exapt.audits import TransferAudit
from exapt.audits.planted_transfer import answers, planted_trials
from exapt.audits.transfer import decide, harmed_parts, judge_parts, paired_items, verdict_of
from exapt.errors import InputError
from exapt.evidence.twoway import TwoWay, two_way
from exapt.evidence.verdict import Verdict


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    run(folder)
    return folder / "run", subject(folder / "run")


def planted(folder, found, wrong, rng):
    """Item files in which pre-training answers all classes right but for `wrong`, and scratch three of four."""
    truth = found.task.truth(found.labelled.subset(found.test))
    for record in found.fits:
        right = rng.random(len(truth)) < 0.75
        if record["arm"] == "pretrained":
            right = (rng.random(len(truth)) < 0.98) & ((truth != wrong) | (rng.random(len(truth)) < 0.1))
        np.save((folder / record["file"]).with_suffix(".npy"), right.astype(float))
    return found


def test_a_class_that_loses_is_named_through_the_fits_on_disk(study):
    folder, found = study
    planted(folder, found, wrong=1, rng=np.random.default_rng(0))
    finding = TransferAudit().run(found)
    names = list(found.task.counts(found.labelled))
    assert finding.verdict in {"HARMS SOME", "HARMS"}
    assert finding.details["harmed"] == [names[1]] and f"class {names[1]} lost" in finding.sentence
    assert finding.level == "bad" and finding.n == 3
    assert [row[0] for row in finding.listings[0].rows] == names
    planted(folder, found, wrong=-1, rng=np.random.default_rng(1))
    clean = TransferAudit().run(found)
    assert clean.verdict == "HELPS" and clean.details["harmed"] == [] and clean.level == "good"
    assert "none of 3 parts by class lost" in clean.sentence


def test_parts_by_a_column(study):
    folder, found = study
    planted(folder, found, wrong=-1, rng=np.random.default_rng(2))
    halves = np.where(np.arange(len(found.labelled)) % 2 == 0, "even", "odd")
    marked = replace(found, labelled=replace(found.labelled, columns={**found.labelled.columns, "half": halves}))
    finding = TransferAudit(by="half").run(marked)
    assert list(finding.details["parts"]) == ["even", "odd"]
    assert sum(finding.details["sizes"].values()) == len(found.test)
    with pytest.raises(InputError, match=r"audit transfer: by: .*no column 'colour' was read; there are: label"):
        TransferAudit(by="colour").run(found)


def test_small_parts_are_said_and_not_judged(study):
    _folder, found = study
    finding = TransferAudit(least=17).run(found)
    assert finding.details["parts"] == {} and finding.plots == []
    assert any("Too few test examples to judge: " in caveat for caveat in finding.caveats)


def test_only_cells_of_both_arms_are_paired(study):
    _folder, found = study
    items = {("pretrained", 0, 8): [1.0, 0.0], ("pretrained", 0, 16): [1.0, 1.0], ("pretrained", 1, 8): [0.0, 0.0]}
    items |= {("scratch", 0, 8): [0.0, 0.0], ("scratch", 1, 8): [1.0, 0.0]}
    fits = [{"arm": a, "seed": s, "budget": b, "fit": {"diverged": s == 1}} for a, s, b in items]
    look = lambda record: np.array(items[record["arm"], record["seed"], record["budget"]])  # noqa: E731
    differences, diverged = paired_items(replace(found, fits=fits, items=look))
    assert differences.tolist() == [[1.0, 0.0], [-1.0, 0.0]] and diverged == {"pretrained": 1, "scratch": 1}


def test_what_cannot_be_paired_is_refused(study):
    _, found = study
    one = [record for record in found.fits if record["seed"] == 0]
    for fits, message in (
        ((), "needs a study's fits"),
        (one, "1 seeds have fits of both"),
        ([r for r in found.fits if r["arm"] == "scratch"], "no fits of arm 'pretrained'; there are: scratch"),
    ):
        with pytest.raises(InputError, match=message):
            TransferAudit().run(replace(found, fits=fits))
    with pytest.raises(InputError, match="no fits of arm 'frozen'; there are: pretrained, scratch"):
        TransferAudit(treatment="frozen").run(found)


def test_a_loss_within_the_margin_harms_nobody():
    sure = TwoWay(-0.005, -0.006, -0.004, 1e-6, 0.001, 0.001, 0.001, 5, 100)
    large = TwoWay(-0.2, -0.3, -0.1, 0.02, 0.05, 0.05, 0.05, 5, 100)
    assert harmed_parts({"a": sure}, margin=0.01) == [] and harmed_parts({"a": sure}) == ["a"]
    assert harmed_parts({"b": large}) == ["b"]
    assert harmed_parts({str(k): large for k in range(3)}) == []  # Holm: 3 × 0.02
    assert harmed_parts({}) == []


def test_verdicts():
    assert verdict_of(Verdict.HARMS, ["a"]) == "HARMS" and verdict_of(Verdict.HELPS, ["a"]) == "HARMS SOME"
    assert verdict_of(Verdict.EQUIVALENT, []) == "EQUIVALENT"


def test_parts_are_judged_on_their_known_items():
    d = np.random.default_rng(0).normal(size=(3, 30))
    d[:, 0] = np.nan
    mask = np.arange(30) < 11
    assert judge_parts(d, {"a": mask}, least=11) == {} and judge_parts(d, {"a": mask}, least=10)["a"] == two_way(
        d[:, 1:11]
    )


def test_planted_transfers_are_judged_right():
    for trial in planted_trials(decide, seed=1, runs=8):
        assert trial.right >= 6, trial


def test_planted_answers_have_their_gain():
    shift = np.repeat([0.1, -0.2], 5000)
    d = answers(np.random.default_rng(0), shift, seeds=20).mean(0)
    assert (d[:5000].mean(), d[5000:].mean()) == pytest.approx((0.1, -0.2), abs=0.03)


@pytest.mark.slow
def test_error_rates_of_the_transfer_audit():
    for trial in planted_trials(decide, seed=2, runs=300):
        assert trial.passed, trial
    rng = np.random.default_rng(3)
    parts = {str(k): np.arange(1000) // 100 == k for k in range(10)}
    alarms = sum(bool(harmed_parts(judge_parts(answers(rng, np.zeros(1000)), parts, 10))) for _ in range(400))
    assert alarms / 400 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
