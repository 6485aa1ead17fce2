"""The audit of the prior: planted curves, refusals, and what the finding says."""

from types import SimpleNamespace

import numpy as np
import pytest

from exapt.audits.prior import PriorAudit, law_finding
from exapt.errors import InputError

BUDGETS = [20, 40, 80, 160]


def scores(k, seed=0, seeds=5):
    rng = np.random.default_rng(seed)
    n = np.array(BUDGETS, dtype=float)
    return 0.95 - 20 / (n + k) + 0.01 * rng.standard_normal((seeds, len(n)))


def subject(scratch, pretrained, budgets=BUDGETS):
    arms = {"scratch": scratch, "pretrained": pretrained, "frozen": pretrained}
    fits = [
        {"arm": arm, "seed": s, "budget": b, "score": float(values[s, i])}
        for arm, values in arms.items()
        for s in range(len(values))
        for i, b in enumerate(budgets)
    ]
    return SimpleNamespace(fits=fits)


@pytest.mark.parametrize(
    ("k", "verdict", "words"),
    [(60, "HELPS", "is worth 4"), (15, "UNDECIDED", "may be worth nothing"), (4, "HARMS", "hurts: it costs 1")],
)
def test_planted_starts(k, verdict, words):
    finding = PriorAudit().run(subject(scores(15, seed=4), scores(k, seed=5)))
    assert finding.verdict == verdict and words in finding.sentence
    assert finding.effect == pytest.approx(k - 15, abs=6)
    assert finding.interval[0] <= finding.effect <= finding.interval[1]


def test_predicted_stands_beside_measured():
    finding = law_finding(BUDGETS, scores(15), scores(60, seed=1))
    assert "measured without a law" in finding.sentence
    assert [row[0] for row in finding.listings[0].rows] == ["20", "40", "80", "160"]
    flat, factor, seen = finding.plots[1].series
    assert set(flat.y) == {finding.effect} and len(factor.y) == 4
    measured = {e["labels"]: e["increment"]["value"] for e in finding.details["measured"]["equivalents"]}
    assert all(measured[n] == pytest.approx(y) for n, y in zip(seen.x, seen.y, strict=True))
    assert finding.plain()["details"]["better"] in ("additive", "multiplicative", "undecided")


def test_flat_curves_say_they_are_not_identified():
    falling = np.tile([0.9, 0.89, 0.88, 0.87], (4, 1)) + 1e-4 * np.random.default_rng(0).standard_normal((4, 4))
    finding = law_finding(BUDGETS, falling, falling)
    assert finding.verdict == "NOT IDENTIFIED" and finding.level == "unsure"
    assert "not identified: the curves do not fall" in finding.sentence


def test_refusals_say_what_would_suffice():
    with pytest.raises(InputError, match="audit prior: needs a study's fits"):
        PriorAudit().run(SimpleNamespace(fits=[]))
    with pytest.raises(InputError, match="needs 3 budgets and 3 seeds or more"):
        PriorAudit().run(subject(scores(15, seeds=2), scores(60, seeds=2)))
    with pytest.raises(InputError, match="arm 'stacked': not among the curves"):
        PriorAudit(treatment="stacked").run(subject(scores(15), scores(60)))


@pytest.mark.slow
def test_self_test_passes():
    assert all(trial.passed for trial in PriorAudit.self_test(1))
