import json

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.amount import Amount, amount, expanded_tail
from exapt.evidence.saved import LabelsSaved, labels_saved

N = 10 * 2 ** np.arange(7)


def _score(labels: np.ndarray) -> np.ndarray:
    """The planted curve: error 0.05 + 0.9 n^−½."""
    return 1 - (0.05 + 0.9 * np.asarray(labels, dtype=float) ** -0.5)


def _planted(worth: np.ndarray, seed: int, seeds: int = 8, sd: float = 0.01) -> LabelsSaved:
    """An arm whose n labels do exactly what `worth` labels do for the control."""
    noise = np.random.default_rng(seed).normal(0, sd, (2, seeds, len(N)))
    return labels_saved(N, _score(N) + noise[0], _score(worth) + noise[1], resamples=1000)


def test_a_clean_factor_of_four_is_read_off_and_censored() -> None:
    found = _planted(4 * N, seed=0, sd=1e-6)
    assert [e.worth.value for e in found.equivalents] == pytest.approx([40, 80, 160, 320, 640, 640, 640], rel=1e-3)
    assert [e.worth.bound for e in found.equivalents[:4]] == [""] * 4
    assert [e.worth.bound for e in found.equivalents[5:]] == ["at least"] * 2
    assert found.equivalents[5].multiplier.value == pytest.approx(2)
    assert found.equivalents[0].increment.value == pytest.approx(30, rel=1e-2)
    assert found.multiplier is not None and found.multiplier.value == pytest.approx(4, rel=1e-3)
    assert found.pattern is not None and found.pattern.kind == "multiplicative"
    assert found.law["control"] == pytest.approx({"a": 0.05, "b": 0.9, "c": 0.5}, rel=0.02)
    assert found.equivalents[5].worth_by_law is not None
    assert found.equivalents[5].worth_by_law.value == pytest.approx(1280, rel=0.02)
    assert found.headline is not None and found.headline.labels == 20


def test_a_constant_number_of_labels_is_called_additive() -> None:
    found = _planted(N + 100, seed=1, sd=0.002)
    assert found.pattern is not None and found.pattern.kind == "additive"
    assert found.pattern.slope == pytest.approx(found.pattern.additive_slope, abs=0.1)
    assert found.equivalents[2].increment.value == pytest.approx(100, rel=0.2)


def test_worse_than_the_controls_worst_is_at_most() -> None:
    found = _planted(N / 4, seed=2, sd=1e-6)
    assert found.equivalents[0].worth == Amount(10, 10, 10, "at most", "at most", "at most")
    assert found.equivalents[3].multiplier.value == pytest.approx(0.25, rel=0.02)
    assert found.headline is not None and found.headline.multiplier.value < 1


def test_a_pretrained_arm_above_everything_gives_the_first_budgets_bound() -> None:
    found = _planted(10_000 * N, seed=3, sd=1e-6)
    assert found.multiplier is None and found.pattern is None
    assert found.headline is not None
    assert (found.headline.labels, found.headline.multiplier.value) == (10, 64)
    assert found.headline.multiplier.bound == "at least"
    assert all(e.worth_by_law is not None and e.worth_by_law.value <= 1280 for e in found.equivalents)


def test_the_law_is_followed_beyond_only_with_a_warning() -> None:
    assert any("beyond its largest budget" in w for w in _planted(1.5 * N, seed=4, sd=1e-4).warnings)
    assert not any("beyond" in w for w in _planted(N / 1.5, seed=4, sd=1e-4).warnings)


def test_rising_errors_are_flagged() -> None:
    scores = np.random.default_rng(0).normal(0, 0.002, (5, 7)) + _score(N)
    bent = scores - np.array([0, 0, 0, 0.1, 0.1, 0, 0])
    found = labels_saved(N, bent, scores)
    assert found.rising == ("control",) and "control" in found.rising_notes()[0]
    assert labels_saved(N, scores, scores - 0.01).rising == ()


def test_few_budgets_give_no_law_and_say_so() -> None:
    scores = np.random.default_rng(0).normal(0, 0.01, (5, 3)) + _score(N[:3])
    found = labels_saved(N[:3], scores, scores + 0.05)
    assert found.law == {} and found.multiplier_by_law is None and found.equivalents[0].worth_by_law is None
    assert "too few" in found.warnings[0]


def test_unbounded_scores_give_the_same_answer_in_any_unit() -> None:
    noise = np.random.default_rng(5).normal(0, 0.01, (2, 5, 7))
    scratch, pretrained = _score(N) + noise[0], _score(2 * N) + noise[1]
    one = labels_saved(N, 100 * scratch, 100 * pretrained)
    two = labels_saved(N, 100 * scratch + 40, 100 * pretrained + 40)
    assert one.multiplier is not None and two.multiplier is not None
    assert one.multiplier.value == pytest.approx(two.multiplier.value)
    assert one.multiplier.value == pytest.approx(2, rel=0.25)
    assert "no upper limit" in one.errors


def test_intervals_hold_their_estimate_and_repeat() -> None:
    first, again = _planted(3 * N, seed=6), _planted(3 * N, seed=6)
    assert first == again
    for e in first.equivalents:
        assert e.worth.low <= e.worth.value <= e.worth.high
    text = json.dumps(first.plain())
    assert "multiplier" in json.loads(text)["equivalents"][0]


@pytest.mark.parametrize(
    ("budgets", "shape", "message"),
    [
        ([10, 20], (5, 3), "expected"),
        ([10], (5, 1), "2 or more"),
        ([10, 20], (1, 2), "2 or more"),
        ([20, 10], (5, 2), "rising"),
        ([0, 10], (5, 2), "rising"),
    ],
)
def test_bad_shapes_are_refused(budgets: list[int], shape: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        labels_saved(budgets, np.zeros(shape), np.zeros(shape))


def test_amounts_censor_each_end_by_itself() -> None:
    draws = np.array([0.0] * 5 + [50.0] * 90 + [np.inf] * 5)
    assert amount(50, draws, 10, 100, 0.03) == Amount(50, 10, 100, "", "at most", "at least")
    assert amount(50, draws, 10, 100, 0.10) == Amount(50, 50, 50)
    assert amount(np.inf, draws, 10, 100, 0.10) == Amount(100, 50, 100, "at least", "", "at least")
    assert Amount(50, 10, 100, "", "at most").scaled(2).shifted(1) == Amount(101, 21, 201, "", "at most")


def test_expanded_percentiles() -> None:
    assert expanded_tail(8, 0.9) == pytest.approx(0.0214, abs=5e-4)
    assert expanded_tail(1000, 0.9) == pytest.approx(0.05, abs=1e-3)


@pytest.mark.slow
def test_planted_factor_of_four_is_estimated_and_covered() -> None:
    """Mean 4.02 ± 0.29 over repetitions by either reading; the 90 % interval holds the truth nine times in ten."""
    runs = [_planted(4 * N, seed) for seed in range(300)]
    pooled = [run.multiplier for run in runs if run.multiplier]
    by_law = [run.multiplier_by_law for run in runs if run.multiplier_by_law]
    assert len(pooled) == len(by_law) == 300
    for found in (pooled, by_law):
        values = np.array([f.value for f in found])
        assert values.mean() == pytest.approx(4.02, abs=0.1)
        assert values.std() == pytest.approx(0.29, abs=0.08)
    assert np.mean([f.low <= 4 <= f.high for f in pooled]) == pytest.approx(0.9, abs=0.05)
    assert np.mean([f.low <= 4 <= f.high for f in by_law]) >= 0.82


@pytest.mark.slow
def test_no_gain_is_a_factor_of_one() -> None:
    runs = [_planted(1 * N, seed) for seed in range(200)]
    found = [run.multiplier for run in runs if run.multiplier]
    assert np.mean([f.value for f in found]) == pytest.approx(1, abs=0.03)
    assert np.mean([f.low <= 1 <= f.high for f in found]) == pytest.approx(0.9, abs=0.06)
