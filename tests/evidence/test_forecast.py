import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.forecast import forecast

N = np.array([16, 32, 64, 128, 256])


def _arm(factor: float, seed: int, sd: float = 1e-5) -> np.ndarray:
    return 1 - (0.05 + 0.9 * (factor * N) ** -0.5) + np.random.default_rng(seed).normal(0, sd, (5, 5))


def test_default_target_is_the_controls_best() -> None:
    found = forecast(N, {"scratch": _arm(1, 0), "pretrained": _arm(4, 1)})
    assert found.arms["scratch"].labels.value == pytest.approx(256, rel=1e-3)
    assert found.arms["pretrained"].labels.value == pytest.approx(64, rel=1e-2)
    assert found.target == pytest.approx(1 - (0.05 + 0.9 / 16), abs=1e-4)
    assert found.why == "the best mean score of 'scratch'" and found.warnings == ()


def test_beyond_the_budgets_the_law_is_followed_twice_as_far_and_no_further() -> None:
    target = 1 - (0.05 + 0.9 * 400**-0.5)
    found = forecast(N, {"scratch": _arm(1, 0), "pretrained": _arm(4, 1), "poor": _arm(0.5, 2)}, target=target)
    assert found.arms["scratch"].labels.value == pytest.approx(400, rel=0.02)
    assert found.arms["scratch"].extrapolated and "scratch" in found.warnings[0]
    assert found.arms["pretrained"].labels.value == pytest.approx(100, rel=0.02)
    assert (found.arms["poor"].labels.value, found.arms["poor"].labels.bound) == (512, "at least")
    assert not found.arms["poor"].extrapolated and "poor" not in found.warnings[0]


def test_already_there_is_at_most_the_first_budget() -> None:
    need = forecast(N, {"scratch": _arm(1, 0)}, target=0.1).arms["scratch"]
    assert (need.labels.value, need.labels.bound) == (16, "at most")


def test_interval_holds_the_truth() -> None:
    hits = [
        (need := forecast(N, {"scratch": _arm(1, s, 0.01)}, target=_arm(1, 0)[0, 2], resamples=500).arms["scratch"])
        and need.labels.low <= 64 <= need.labels.high
        for s in range(100)
    ]
    assert np.mean(hits) == pytest.approx(0.9, abs=0.09)


def test_few_budgets_never_extrapolate() -> None:
    need = forecast(N[:3], {"scratch": _arm(1, 0)[:, :3]}, target=0.99).arms["scratch"]
    assert (need.labels.value, need.labels.bound, need.extrapolated) == (64, "at least", False)


def test_unknown_control_is_refused() -> None:
    with pytest.raises(InputError, match="control arm 'scratch'"):
        forecast(N, {"pretrained": _arm(1, 0)})
