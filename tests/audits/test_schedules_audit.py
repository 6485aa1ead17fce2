"""The audit of schedules: its error rates, what it trains on, and what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_subject import ADAPT, tiny_subject

import exapt.audits.schedules as audit_file
from exapt.audits import AUDITS, SchedulesAudit, Subject
from exapt.audits.schedules import judge
from exapt.audits.schedules_display import sentence
from exapt.audits.variants import Variants
from exapt.errors import InputError
from exapt.evidence.ranking import agreement, rank

FEW: dict[str, Any] = {
    "pretraining": {"cosine": {"kind": "cosine"}, "wsd": {"kind": "wsd"}, "flat": {"kind": "constant"}},
    "tuning": {"linear": {"kind": "linear", "warmup": 0.1}, "step": {"kind": "step", "warmup": 0.1}},
    "steps": 3,
    "seeds": 3,
    "budget": 16,
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_subject(tmp_path_factory.mktemp("subject"))


def test_planted_cases() -> None:
    for trial in SchedulesAudit.self_test(1):
        assert trial.passed, trial
    assert AUDITS["schedules"] is SchedulesAudit


def test_every_cell_is_run_and_nothing_touches_the_test_part(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[set[int], int, str]] = []
    real = audit_file.fit

    def noting(adapt: Any, start: Any, task: Any, train: Any, valid: Any, seed: int) -> Any:
        fitted.append(({int(r) for r in (*train.rows, *valid.rows)}, seed, adapt.schedule.kind))
        return real(adapt, start, task, train, valid, seed)

    monkeypatch.setattr(audit_file, "fit", noting)
    finding = SchedulesAudit.parse(FEW).run(subject)
    test = {int(r) for r in subject.labelled.subset(subject.test).rows}
    assert len(fitted) == 3 * 2 * 3 and all(not rows & test for rows, _, _ in fitted)
    assert {kind for _, _, kind in fitted} == {"linear", "step"}
    for seed in range(3):
        assert len({frozenset(rows) for rows, s, _ in fitted if s == seed}) == 1, "one draw of labels a seed"
    assert np.shape(finding.details["losses"]) == (3, 3) and np.shape(finding.details["scores"]) == (3, 3, 2)
    assert finding.n == 3 and len(finding.listings) == 3 and len(finding.plots) == 1
    ranked = judge(list(FEW["pretraining"]), list(FEW["tuning"]), np.array(finding.details["scores"]))
    assert finding.verdict == ranked.verdict and finding.plain()


def test_what_is_scored_is_neither_tuned_on_nor_of_the_test_part(subject: Subject) -> None:
    train, valid, judged = SchedulesAudit.parse(FEW)._parts(subject, 1)
    used = {int(r) for r in (*train.rows, *valid.rows)}
    scored = {int(r) for r in judged.rows}
    assert not scored & used and not scored & {int(r) for r in subject.labelled.subset(subject.test).rows}
    assert len(scored) == len(subject.pool) - 16


def test_one_kind_alone_can_be_compared(subject: Subject) -> None:
    alone = FEW | {"pretraining": {"flat": {"kind": "constant"}}}
    finding = SchedulesAudit.parse(alone).run(subject)
    assert finding.details["pre-training"] is None and finding.details["loss and score"] is None
    assert finding.sentence.lower().startswith("for fine-tuning")


def test_variants_share_all_but_what_is_changed(subject: Subject) -> None:
    variants = Variants(subject)
    one, again = (variants.make(0, steps=3) for _ in range(2))
    other, seeded = variants.make(0, steps=3, weight_decay=0.9), variants.make(1, steps=3)
    assert one.loss == again.loss and one.loss not in (other.loss, seeded.loss)
    longer = variants.make(0, steps=60, lr=0.005)
    assert longer.loss < one.loss - 0.01
    wild = variants.make(0, steps=30, lr=1e6, clip=0.0, schedule={"kind": "constant", "warmup": 0})
    assert wild.diverged and wild.loss == float("inf")


def test_a_diverged_pretraining_counts_as_knowing_nothing(subject: Subject) -> None:
    from exapt.audits.variants import Variant

    audit = SchedulesAudit.parse(FEW)
    parts = audit._parts(subject, 0)
    schedule = audit.tuning["linear"]
    broken = Variant(subject.start.backbone, float("inf"))
    score = audit._score(subject, broken, schedule, parts, 0)
    assert score == subject.task.chance(subject.task.truth(parts[2])) and 0.4 < score < 0.6


def test_an_unknown_corpus_or_too_few_examples_is_said(subject: Subject) -> None:
    def gone() -> Any:
        raise InputError("the checkpoint was made outside this study")

    with pytest.raises(InputError, match="made outside"):
        SchedulesAudit.parse(FEW).run(replace(subject, corpus=gone))
    with pytest.raises(InputError, match="does not say how it was trained"):
        SchedulesAudit.parse(FEW).run(replace(subject, start=replace(subject.start, record={})))
    with pytest.raises(InputError, match=r"audit schedules: 40 labelled examples are left .* at most 110"):
        SchedulesAudit.parse(FEW | {"budget": 120}).run(subject)


def test_names_of_verdicts() -> None:
    rng = np.random.default_rng(0)
    noise = 0.001 * rng.normal(size=(5, 2, 2))
    noise -= noise.mean(0)

    def verdict(before: float, after: float, sd: float = 1.0) -> str:
        scores = 0.8 + sd * noise + before * np.array([[0], [1]]) + after * np.array([[0, 1]])
        return judge(["cosine", "wsd"], ["linear", "step"], scores).verdict

    assert verdict(0.1, 0.0) == "WSD IS BEST" and verdict(-0.1, 0.0) == "COSINE IS BEST"
    assert verdict(0.0, 0.1) == "STEP IS BEST FOR TUNING" and verdict(0.1, 0.1) == "WSD, THEN STEP IS BEST"
    assert verdict(0.0, 0.0) == "ALL WITHIN THE MARGIN" and verdict(0.0, 0.0, 50) == "NO SCHEDULE STANDS OUT"


def test_the_sentence_warns_of_a_loss_that_does_not_tell() -> None:
    scores = 0.8 + np.array([0.0, 0.02, 0.04]) + 0.001 * np.random.default_rng(0).normal(size=(5, 3))
    found = rank(["a", "b", "c"], scores)
    assert "as the score does" in sentence(found, None, "accuracy", 5, agreement(scores, scores))
    assert "the other way round" in sentence(found, None, "accuracy", 5, agreement(-scores, scores))
    shuffled = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 1, 2], [2, 1, 0]], dtype=float)
    assert "do not choose by it" in sentence(found, None, "accuracy", 5, agreement(shuffled, scores))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"pretraining": {"a": {}}, "tuning": {"b": {}}}, "leaves nothing to compare"),
        ({"seeds": 2}, "seeds"),
        ({"tuning": {"a": {"kind": "step", "warmup": 4}, "b": {}}}, "tuning.a.warmup 4 counts steps"),
        ({"steps": 5, "pretraining": {"a": {"warmup": 5}, "b": {}}}, "leaves none of 5 steps"),
        ({"pretraining": {"a": {"kind": "cosin"}, "b": {}}}, "cosine"),
        ({"pretraining": {"a": {"kind": "wsd", "decay": 0}, "b": {}}}, "decay"),
    ],
)
def test_mistakes_are_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SchedulesAudit.parse(keys)


def test_the_adaptation_of_the_study_keeps_its_other_keys(tmp_path: Path) -> None:
    changed = ADAPT.model_copy(update={"schedule": SchedulesAudit().tuning["step"], "warmup": 0.1})
    assert changed.training(0.01, 10, 0).schedule.kind == "step" and changed.rates == ADAPT.rates
