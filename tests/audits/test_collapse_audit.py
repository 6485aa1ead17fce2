"""The audit of collapse on a finished study, on networks made to collapse, and its mistakes."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from exapt.audits import CollapseAudit, Subject
from exapt.audits.collapse import live_history
from exapt.errors import InputError


def test_a_study_is_audited(subject: Subject) -> None:
    found = CollapseAudit(networks=2).run(subject)
    assert found.n == 160 and found.interval and found.effect
    assert found.interval[0] <= found.effect <= found.interval[1]
    assert [s.name for s in found.plots[0].series] == ["pre-trained", "random networks", "inputs"]
    assert len(live_history(subject.checkpoints[0])) == found.details["looks"] > 0
    assert live_history(subject.checkpoints[0])[-1]["step"] == 4  # the end of training is always looked at
    assert len(found.plots) == 1, "one look draws no line"
    json.dumps(found.plain())
    assert "times as many as 2 random networks" in found.sentence
    assert CollapseAudit(networks=2).run(subject) == found


def test_a_network_that_says_one_thing_has_collapsed(subject: Subject) -> None:
    with torch.no_grad():
        for parameter in subject.start.backbone.blocks[-1].parameters():
            parameter.zero_()  # the final norm's gain
    found = CollapseAudit(networks=2).run(subject)
    assert (found.verdict, found.level) == ("COLLAPSED", "bad")


def test_too_few_examples_are_refused(subject: Subject) -> None:
    few = dataclasses.replace(subject, pool=subject.pool[:10], test=subject.test[:20])
    with pytest.raises(InputError, match="audit collapse: 30 labelled examples say nothing of a spectrum; 64 would do"):
        CollapseAudit().run(few)


@pytest.mark.slow
def test_self_test() -> None:
    assert all(trial.passed for trial in CollapseAudit.self_test(0))
