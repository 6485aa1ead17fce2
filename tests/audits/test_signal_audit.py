"""The audit of signal strength: on a real small study, on planted features, and where it must refuse."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "studies"))
from study_standins import pictures, study_file

import exapt
from exapt.audits.signal import Measured, SignalAudit, measured_accuracy, planted, signal_finding
from exapt.errors import InputError
from exapt.evidence.strength import fit_gaussians, held_out_scores, predicted_accuracy, strength
from exapt.studies.auditing import subject_of
from exapt.studies.runner import _reopened, records
from exapt.tasks.base import Task

BUDGETS = np.array([16, 64])


def measured(ratio, seed):
    rng = np.random.default_rng(seed)
    x, y = planted(ratio, 400, 8, rng)
    model = fit_gaussians(x, y)
    predicted = np.array([predicted_accuracy(model, m, rng) for m in BUDGETS])
    return Measured(
        strength(held_out_scores(x, y), y, resamples=200), model, predicted, np.stack([predicted] * 3) - 0.02
    )


@pytest.mark.parametrize(
    ("one", "two", "verdict"), [(1.5, 0.7, "STRONGER"), (0.7, 1.5, "WEAKER"), (1.0, 1.0, "UNDECIDED")]
)
def test_planted_strengths_are_told_apart(one, two, verdict):
    finding = signal_finding({"pre-trained": measured(one, 0), "random": measured(two, 1)}, BUDGETS, 0.75)
    assert finding.verdict == verdict
    assert finding.details["off by"]["random"] == pytest.approx(0.02)
    assert "off by 2.0 and 2.0 points" in finding.sentence
    needs = finding.details["labels to reach it"]
    assert verdict == "UNDECIDED" or (needs["pre-trained"] < needs["random"]) == (one > two)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    place = tmp_path_factory.mktemp("signal")
    study = study_file(place, pictures(place / "pics.npz"), arms=["pretrained", "scratch", "frozen"], budgets=[8, 16])
    exapt.run(study, out=place / "run", workers=1)
    prepared = _reopened(place / "run")
    return subject_of(prepared, records(prepared))


def test_a_study_is_judged_with_its_own_frozen_fits(subject):
    finding = SignalAudit(target=0.6).run(subject)
    assert finding.verdict in ("STRONGER", "WEAKER", "UNDECIDED")
    assert set(finding.details["strength"]) == {"pre-trained", "random"}
    assert len(finding.listings[0].rows) == 2 and finding.plain()["plots"]


def test_measured_accuracy_is_the_fits_or_probes_made_now(subject):
    from exapt.adaptation.fitted import Start

    start = Start(subject.domain, subject.start.backbone)
    by_fits = measured_accuracy(subject, "pre-trained", start)
    by_probes = measured_accuracy(replace(subject, fits=[]), "pre-trained", start)
    assert by_fits.shape == by_probes.shape == (2, 2)
    scores = [f["score"] for f in sorted(subject.fits, key=lambda f: (f["seed"], f["budget"])) if f["arm"] == "frozen"]
    assert by_fits.ravel() == pytest.approx(scores)
    assert ((by_probes >= 0) & (by_probes <= 1)).all()


def test_other_tasks_are_refused(subject):
    with pytest.raises(InputError, match="audit signal: needs a task of one class an example"):
        SignalAudit().run(replace(subject, task=Task))


def test_few_examples_are_refused(subject):
    with pytest.raises(InputError, match="in the smallest class; needs two classes or more of 20 each"):
        SignalAudit(examples=30).run(subject)


@pytest.mark.slow
def test_self_test_passes():
    assert all(trial.passed for trial in SignalAudit.self_test(1))
