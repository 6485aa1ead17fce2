"""The audit of invariance: coloured digits, and a finished study."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest
import torch

from exapt.audits import InvarianceAudit, Subject
from exapt.audits.blindness import Embed, embedded, plain_inputs
from exapt.audits.invariance import match
from exapt.audits.planted_colours import Coloured, coloured
from exapt.batch import Batch
from exapt.errors import InputError
from exapt.evidence.invariance import probe


def test_grey_fails_the_hue_task_passes_the_digit_task_and_is_warned_of_before() -> None:
    hue, digit = coloured("grey", "hue"), coloured("grey", "digit")
    before = match(hue.encode, hue.encode, hue.batches, hue.changes)  # no labels given
    assert "hue" in before.blind and before.verdict == "UNDECIDED" and not before.needs
    assert before.warning.startswith("The representation is (nearly) blind to hue")
    assert "if your task depends on it" in before.warning
    seen = before.features["hue"]
    assert seen.sweep[-1].plain.value == pytest.approx(1, abs=1e-3) == seen.sweep[-1].whitened
    assert seen.most.value < 0.05
    assert probe(embedded(hue.encode, hue.batches), hue.labels).right.mean() == pytest.approx(1 / 6, abs=0.06)
    assert probe(embedded(digit.encode, digit.batches), digit.labels).right.mean() > 0.9
    found = match(hue.encode, hue.encode, hue.batches, hue.changes, hue.labels)
    assert found.verdict == "MISMATCH" and "hue" in found.missed
    other = match(digit.encode, digit.encode, digit.batches, digit.changes, digit.labels)
    assert other.verdict == "FITS" and other.warning == before.warning


def test_raw_colours_are_nearly_invariant_and_yet_decodable() -> None:
    case = coloured("colour", "hue")
    found = match(case.encode, case.encode, case.batches, case.changes, case.labels)
    middle = found.features["colour"].sweep[1].plain.value
    assert middle > 0.85  # by invariance alone it would pass for blind
    assert found.features["colour"].sees and "colour" not in found.blind and "hue" not in found.blind
    assert probe(embedded(case.encode, case.batches), case.labels).right.mean() == pytest.approx(1, abs=0.01)
    assert found.verdict == "FITS"


def faint(case: Coloured, loud: float) -> Embed:
    """Brightness at length 1, and a whisper of the colour that noise of the picture's own half drowns."""
    middle = 0.15 * torch.randn(int(case.batches[0].inputs[0].numel()), 8, generator=torch.Generator().manual_seed(0))

    def encode(batch: Batch) -> torch.Tensor:
        grey = coloured("grey", "hue").encode(batch)
        light = batch.inputs.mean((2, 3))
        noise = torch.frac(1e3 * (batch.inputs.flatten(1) @ middle)[:, :3]) - 0.5
        return torch.cat([grey, 0.02 * (light / light.std() + noise / loud)], 1)

    return encode


def test_what_training_took_half_away_is_warned_of_as_dim() -> None:
    case = coloured("colour", "hue")
    hue = [change for change in case.changes if change.name == "hue"]
    found = match(faint(case, 0.2), case.encode, case.batches, hue)
    told = found.features["hue"].most.value
    assert 0.1 < told < 0.6 < min(found.random["hue"].most.value, found.inputs["hue"].most.value)
    assert found.dim == ["hue"] and not found.blind and found.verdict == "UNDECIDED"
    assert found.warning.startswith("The representation tells far less of hue than its inputs and random weights do")
    clear = match(faint(case, 20.0), case.encode, case.batches, hue)
    assert not clear.dim and not clear.blind and clear.verdict == "FITS" and not clear.warning
    # where random weights tell no more, training took nothing away
    alike = match(faint(case, 0.2), faint(case, 0.2), case.batches, hue)
    assert not alike.dim


@pytest.mark.slow
def test_self_test() -> None:
    assert all(trial.passed for trial in InvarianceAudit.self_test(0))


def test_a_study_is_audited(subject: Subject) -> None:
    found = InvarianceAudit(changes=["rotation", "flip", "noise"], examples=120).run(subject)
    assert found.verdict in ("FITS", "UNDECIDED", "MISMATCH", "POSSIBLE MISMATCH")
    assert [row[0] for row in found.listings[0].rows] == ["rotation", "flip", "noise"]
    assert all(len(row) == len(found.listings[0].head) for row in found.listings[0].rows)
    json.dumps(found.plain())
    assert found.sentence and found.n == 120
    assert InvarianceAudit(changes=["rotation", "flip", "noise"], examples=120).run(subject) == found


def test_mistakes(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'hues' is no transformation of this domain; .*valid: brightness"):
        InvarianceAudit(changes=["hues"]).run(subject)
    with pytest.raises(InputError, match="50 labelled examples in the pool are too few to probe; 100 would do"):
        InvarianceAudit().run(dataclasses.replace(subject, pool=subject.pool[:50]))

    def none(_self: object) -> Sequence[object]:
        return ()

    monkeypatch.setattr(type(subject.domain), "transformations", none)
    with pytest.raises(InputError, match="ImageDomain names no transformations to try"):
        InvarianceAudit().run(subject)


def test_the_inputs_of_nodes_are_their_features_and_their_neighbours() -> None:
    inputs = torch.tensor([[1.0], [3.0], [5.0], [9.0]])
    edges = torch.tensor([[1, 2, 0, 3], [0, 0, 1, 1]])
    linked = Batch(inputs, torch.tensor([0, 1, 2]), edges=edges, linked=True)
    assert plain_inputs(linked).tolist() == [[1, 4, 2], [3, 5, 2]]
    graphs = Batch(inputs, torch.tensor([0, 3, 4]), edges=edges[:, :3])
    assert plain_inputs(graphs)[1].tolist() == [9, 0, 0]
    torch.testing.assert_close(plain_inputs(graphs)[0], torch.tensor([3, 5 / 3, 1]))
