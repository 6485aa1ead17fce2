"""What a training spec accepts."""

from __future__ import annotations

import pytest

from exapt.errors import InputError
from exapt.training.spec import TrainingSpec


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "either steps or epochs"),
        ({"steps": 3, "epochs": 2}, "either steps or epochs.*steps = 3 and epochs = 2"),
        ({"steps": 3, "batch": 2, "batch_elements": 9}, "either batch .*found 2 and 9"),
        ({"steps": 0}, "steps"),
        ({"steps": 1, "lr": 0}, "lr"),
        ({"steps": 1, "betas": (0.9, 1.0)}, "betas"),
        ({"steps": 1, "precision": "float16"}, "precision"),
        ({"steps": 1, "learning_rate": 1}, "unknown key 'learning_rate'"),
        ({"steps": 1, "schedule": {"kind": "wsd", "dekay": 1}}, "did you mean 'decay'"),
    ],
)
def test_mistakes(spec: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainingSpec.parse(spec)


def test_batch_elements_is_the_default() -> None:
    assert TrainingSpec(epochs=1).batch_elements == 8192
    assert TrainingSpec(epochs=1, batch=4).batch_elements is None


@pytest.mark.parametrize(("epochs", "per_epoch", "steps"), [(1, 10, 10), (0.5, 9, 5), (2.0, 7, 14), (0.01, 10, 1)])
def test_epochs_count_steps_of_the_first_pass(epochs: float, per_epoch: int, steps: int) -> None:
    assert TrainingSpec(epochs=epochs).total_steps(per_epoch) == steps


def test_keys_that_change_nothing_are_not_part_of_the_trajectory() -> None:
    one, other = TrainingSpec(steps=9), TrainingSpec(steps=9, keep=5, checkpoint_every=1, tensorboard=True)
    assert one.trajectory() == other.trajectory()
    assert one.trajectory() != TrainingSpec(steps=9, lr=0.5).trajectory()


def test_a_resolved_spec_parses_again() -> None:
    spec = TrainingSpec(epochs=2, batch=3)
    assert TrainingSpec.parse(spec.plain()) == spec
