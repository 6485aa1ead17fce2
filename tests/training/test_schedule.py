"""Schedules against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exapt.errors import InputError
from exapt.training.schedule import ScheduleSpec, factor
from exapt.training.spec import TrainingSpec


def walk(total: int, **spec: object) -> list[float]:
    parsed = ScheduleSpec.parse(spec)
    return [factor(parsed, step, total) for step in range(1, total + 1)]


def test_constant() -> None:
    assert walk(4, kind="constant", warmup=0) == [1, 1, 1, 1]


def test_warmup_in_steps_and_as_a_share() -> None:
    assert walk(8, kind="constant", warmup=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert walk(8, kind="constant", warmup=0.5) == walk(8, kind="constant", warmup=4)


def test_warmup_longer_than_the_run() -> None:
    assert walk(3, kind="linear", warmup=10) == pytest.approx([1 / 3, 2 / 3, 1])


def test_cosine() -> None:
    expected = [1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 - math.cos(math.pi / 4))]
    assert walk(4, kind="cosine", warmup=0) == pytest.approx(expected)
    assert walk(4, kind="cosine", warmup=0, final=0.2)[2] == pytest.approx(0.6)


def test_linear() -> None:
    assert walk(5, kind="linear", warmup=1) == pytest.approx([1, 1, 0.75, 0.5, 0.25])


def test_exponential() -> None:
    assert walk(4, kind="exponential", warmup=0, final=0.0625) == pytest.approx([1, 0.5, 0.25, 0.125])
    assert walk(2, kind="exponential", warmup=0)[1] == pytest.approx(0.1)


def test_step() -> None:
    expected = [1, 1, 0.5, 0.25]
    assert walk(4, kind="step", warmup=0, milestones=[0.5, 0.75], gamma=0.5) == pytest.approx(expected)


def test_wsd_decays_by_one_minus_the_root() -> None:
    expected = [0.5, 1, 1, 1, 1, 1, 1, 1 - math.sqrt(0.25), 1 - math.sqrt(0.5), 1 - math.sqrt(0.75)]
    got = walk(10, kind="wsd", warmup=2, decay=0.4)
    assert got == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, *expected[7:]])


@given(
    st.sampled_from(["constant", "cosine", "exponential", "step", "linear", "wsd"]),
    st.integers(1, 300),
    st.floats(0, 50),
)
def test_every_schedule_stays_positive_and_at_most_one(kind: str, total: int, warmup: float) -> None:
    assume(kind != "wsd" or not 0.8 < warmup < 1)
    factors = walk(total, kind=kind, warmup=warmup)
    assert all(0 < value <= 1 for value in factors)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "cosine", "decay": 0.3}, "decay does nothing when kind is 'cosine'"),
        ({"kind": "constant", "final": 0.1}, "final does nothing"),
        ({"kind": "linear", "gamma": 0.2}, "gamma does nothing"),
        ({"kind": "exponential", "final": 0.0}, "never reaches"),
        ({"kind": "cosin"}, "'cosine'"),
        ({"warm_up": 3}, "did you mean 'warmup'"),
        ({"warmup": -1}, "warmup"),
        ({"kind": "wsd", "decay": 0}, "decay"),
        ({"kind": "wsd", "decay": 1.5}, "decay"),
        ({"kind": "wsd", "warmup": 0.5, "decay": 0.6}, "together are more than the whole run"),
        ({"kind": "cosine", "final": 1.0}, "final"),
        ({"kind": "cosine", "final": -0.1}, "final"),
        ({"kind": "step", "milestones": [0.75, 0.5]}, "milestones must rise"),
        ({"kind": "step", "milestones": []}, "milestones"),
        ({"kind": "step", "milestones": [1.0]}, "milestones"),
        ({"kind": "step", "gamma": 1.0}, "gamma"),
    ],
)
def test_mistakes_are_refused(spec: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ScheduleSpec.parse(spec)


def test_a_resolved_spec_parses_again() -> None:
    spec = ScheduleSpec.parse({"kind": "wsd", "decay": 0.3})
    assert ScheduleSpec.parse(spec.plain()) == spec


def at(t: float, **spec: object) -> float:
    """The factor where t of 1000 steps are done: 100 of warm-up, then the shape's own value at t."""
    parsed = ScheduleSpec.parse({"warmup": 0.1} | spec)
    return factor(parsed, int(t) if t <= 100 else int(t) + 1, 1000)


@pytest.mark.parametrize(("t", "wanted"), [(50, 0.5), (500, 1.0), (850, 0.5), (900, 0.29289), (1000, 0.0)])
def test_wsd_at_published_places(t: int, wanted: float) -> None:
    """Hägele et al. 2024: T = 1000, w = 100, cooldown 200 of the form 1 − √."""
    assert at(t, kind="wsd", decay=0.2) == pytest.approx(wanted, abs=1e-5)


def test_cosine_and_linear_at_published_places() -> None:
    assert at(550, kind="cosine", final=0.1) == pytest.approx(0.55)
    assert at(1000, kind="cosine", final=0.1) == pytest.approx(0.1), "the floor"
    assert at(550, kind="linear") == pytest.approx(0.5)
    assert at(1000, kind="linear") == 0


def test_step_decay_for_tuning() -> None:
    assert [at(t, kind="step", warmup=0, milestones=[0.5, 0.75], gamma=0.1) for t in (499, 501, 749, 751)] == (
        pytest.approx([1, 0.1, 0.1, 0.01])
    )


def test_a_cooldown_that_meets_the_warmup_starts_after_it() -> None:
    assert walk(4, kind="wsd", warmup=3, decay=0.9) == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert walk(4, kind="wsd", warmup=2, decay=0.9) == pytest.approx([0.5, 1, 1, 1 - math.sqrt(0.5)])


def test_a_warmup_as_long_as_the_run_is_refused() -> None:
    with pytest.raises(InputError, match=r"schedule\.warmup 10 leaves none of the 10 steps at the full rate"):
        TrainingSpec.parse({"steps": 10, "schedule": {"warmup": 10}})
    assert TrainingSpec.parse({"steps": 11, "schedule": {"warmup": 10}}).schedule.warmup_steps(11) == 10
