"""The privacy audit: what it gathers, its verdicts on planted cases, and what it refuses."""

import json

import numpy as np
import pytest
from privacy_standins import subject

from exapt.adaptation import FinetuneSpec, KnnSpec, PrivateProbeSpec, ProbeSpec, Start
from exapt.audits import AUDITS, PrivacyAudit
from exapt.audits.planted_members import memorised, never_seen, privately_trained
from exapt.audits.shadowing import Examples, fits_on, halves, labels_of, log_p_of, single_rate, with_canaries
from exapt.errors import InputError
from exapt.evidence.leakage import MAIN, Attacked, Leakage
from exapt.evidence.roc import roc
from exapt.tasks import ClassifySpec

SMALL = PrivacyAudit(models=6, examples=150, population=60, fpr=0.1)


@pytest.fixture(scope="module")
def noisy():
    return subject()


def test_memorised_labels_are_caught_and_the_finding_is_whole(noisy):
    finding = SMALL.model_copy(update={"how": "network"}).run(noisy)
    assert finding.verdict == "LEAKS"
    assert finding.level == "bad"
    assert finding.interval[0] > 0.5
    assert 0.6 < finding.effect < 1
    assert set(finding.details["arms"]) == {"pretrained", "scratch"}
    assert set(finding.details["arms"]["scratch"]) == {
        MAIN,
        "LiRA, pooled variance",
        "LiRA, offline",
        "RMIA",
        "loss, calibrated",
        "loss",
    }
    assert finding.details["blind"]["auc"] < 0.65
    assert "pretrained: AUC" in finding.sentence and "scratch: AUC" in finding.sentence
    assert [series.name for series in finding.plots[0].series] == ["pretrained", "scratch", "chance"]
    json.dumps(finding.plain())


def test_the_probe_of_the_study_is_attacked_and_a_strong_penalty_hides(noisy):
    loose = SMALL.model_copy(update={"arms": ["pretrained"]}).run(noisy)
    tight = SMALL.model_copy(update={"arms": ["pretrained"]}).run(subject(penalties=(1e5,)))
    assert loose.verdict == "LEAKS"
    assert tight.effect < loose.effect - 0.05


def test_the_same_audit_again_finds_the_same(noisy):
    one = SMALL.model_copy(update={"arms": ["scratch"]})
    assert one.run(noisy).plain() == one.run(noisy).plain()


def test_other_ways_to_use_labels_are_arms_too_and_canaries_bound_epsilon(noisy):
    pytest.importorskip("opacus")
    private = PrivateProbeSpec(epsilon=1.0, delta=1e-3, epochs=3)
    more = {"private": private, "nearest": KnnSpec(neighbours=1)}
    audit = SMALL.model_copy(update={"arms": ["pretrained"], "more": more, "canaries": 150})
    finding = audit.run(noisy)
    bounds = finding.details["canaries"]
    assert set(bounds) == {"pretrained", "private", "nearest"}
    assert bounds["pretrained"]["guesses"] == 74
    assert bounds["private"]["epsilon"] <= 1.0
    assert bounds["nearest"]["epsilon"] > 0.5  # two classes: half of those left out agree by chance
    assert finding.details["verdicts"]["nearest"] == "LEAKS"
    areas = {name: arm[MAIN]["auc"] for name, arm in finding.details["arms"].items()}
    assert areas["private"] < areas["pretrained"] - 0.05
    assert finding.listings[1].head[-1] == "ε"


def test_fine_tuning_is_attacked_at_one_rate(noisy):
    spec = single_rate(noisy.adapt, Start(noisy.domain, noisy.start.backbone))
    assert spec.rates == [sorted(noisy.adapt.grid(16))[1]]
    assert single_rate(KnnSpec(), None) == KnnSpec()
    finding = SMALL.model_copy(update={"how": "finetune", "models": 4, "arms": ["scratch"]}).run(noisy)
    assert finding.verdict in ("LEAKS", "NO LEAK FOUND", "UNDECIDED")
    assert isinstance(noisy.adapt, FinetuneSpec)


def test_a_shadow_sees_its_members_and_nobody_else(noisy):
    """A probe fitted on a subset by hand says the same."""
    task, start = noisy.task, Start(noisy.domain, noisy.start.backbone)
    data = noisy.labelled.subset(range(80))
    member = halves(3, 80, np.random.default_rng(0))
    fits = fits_on(ProbeSpec(penalties=[1.0]), start, task, data, member, 0)
    members = data.subset(np.flatnonzero(member[1]))
    alone = ProbeSpec(penalties=[1.0]).fit(start, task, members, data.subset([]), 0)
    labels = labels_of(task, data)
    found, wanted = log_p_of(fits, data, labels), log_p_of([alone], data, labels)[0]
    np.testing.assert_allclose(found[1], wanted, atol=0.05)  # the solver's own tolerance
    assert np.abs(found[0] - wanted).max() > 0.3


def test_the_test_part_is_not_touched_and_parts_do_not_overlap(noisy):
    for count, population, wanted in [(100, 50, (100, 50)), (400, 100, (200, 50))]:
        parts = Examples.draw(noisy, count, population, np.random.default_rng(0))
        rows = [set(part.rows.tolist()) for part in (parts.attacked, parts.population)]
        assert (len(rows[0]), len(rows[1])) == wanted
        assert not rows[0] & rows[1]
        assert not (rows[0] | rows[1]) & set(noisy.test.tolist())


def test_canaries_have_wrong_labels(noisy):
    changed = with_canaries(noisy.labelled, 30, 2, np.random.default_rng(0)).targets["label"]
    before = noisy.labelled.targets["label"]
    assert (changed[:30] != before[:30]).all()
    assert (changed[30:] == before[30:]).all()


def leak(auc, tpr):
    curve = roc(np.arange(4.0), np.arange(4) > 1)
    return Leakage({MAIN: Attacked(sum(auc) / 2, *auc, sum(tpr) / 2, *tpr)}, curve, 0.01, 100, 8)


@pytest.mark.parametrize(
    ("auc", "tpr", "verdict"),
    [
        ((0.51, 0.6), (0.0, 0.1), "LEAKS"),
        ((0.48, 0.51), (0.02, 0.1), "LEAKS"),
        ((0.48, 0.51), (0.0, 0.1), "NO LEAK FOUND"),
        ((0.48, 0.55), (0.0, 0.1), "UNDECIDED"),
    ],
)
def test_verdicts(auc, tpr, verdict):
    assert leak(auc, tpr).verdict() == verdict


def test_what_is_refused(noisy):
    with pytest.raises(InputError, match=r"takes 1,000 non-members, found \d+; .* raise models or examples"):
        SMALL.model_copy(update={"fpr": 0.01}).run(noisy)
    with pytest.raises(InputError, match=r"pool of 50 labelled examples leaves \d+ to attack; 50 are needed"):
        SMALL.run(subject(n=60))
    with pytest.raises(InputError, match=r"one class an example"):
        labels_of(object(), noisy.labelled)
    with pytest.raises(InputError, match=r"models"):
        PrivacyAudit.parse({"models": 2})
    assert AUDITS["privacy"] is PrivacyAudit
    assert ClassifySpec().kind == "classify"


def test_planted_cases():
    assert memorised(0, runs=1).passed
    assert never_seen(0, runs=20).passed


def test_private_training_resists():
    pytest.importorskip("opacus")
    (trial,) = privately_trained(0, runs=1)
    assert trial.figures["AUC"] < 0.56


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_said():
    trial = never_seen(1, runs=300)
    assert trial.right >= 0.92 * trial.runs, trial
