"""The largest harmless sparsity: a fixed sequence of one-sided tests, and the contrast of two starts."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.paired import compare
from exapt.evidence.tolerance import contrast, tolerance

S = [0.5, 0.7, 0.9]


def scores(drops: list[float], seed: int = 0, sd: float = 0.002) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    whole = rng.normal(0.9, 0.02, 6)
    return whole, whole[:, None] - np.array(drops) + rng.normal(0, sd, (6, len(drops)))


@pytest.mark.parametrize(
    ("drops", "largest", "verdict"),
    [
        ([0.0, 0.0, 0.0], 0.9, "PRUNABLE TO 90 %"),
        ([0.0, 0.0, 0.1], 0.7, "PRUNABLE TO 70 %"),
        ([0.0, 0.1, 0.0], 0.5, "PRUNABLE TO 50 %"),
        ([0.1, 0.0, 0.0], None, "FRAGILE"),
        ([-0.1, 0.2, 0.3], 0.5, "PRUNABLE TO 50 %"),
    ],
)
def test_it_stops_at_the_first_sparsity_that_costs(drops: list[float], largest: float | None, verdict: str) -> None:
    whole, pruned = scores(drops)
    found = tolerance(whole, pruned, S)
    assert (found.largest, found.verdict) == (largest, verdict)
    assert found.changes[1] == compare(pruned[:, 1] - whole, 0.01, resamples=0)
    assert found.plain()["largest"] == largest


def test_noise_is_inconclusive_and_equal_scores_are_harmless() -> None:
    whole, pruned = scores([0.0, 0.0, 0.0], sd=0.1)
    assert tolerance(whole, pruned, S).verdict == "INCONCLUSIVE"
    assert tolerance(whole, np.repeat(whole[:, None], 3, 1), S).largest == 0.9


def test_a_contrast_has_the_sign_of_who_loses_less() -> None:
    tough, weak = scores([0.0, 0.05, 0.1]), scores([0.0, 0.15, 0.4], seed=1)
    found = contrast(tough, weak)
    assert [c.mean for c in found.changes] == pytest.approx([0, 0.1, 0.3], abs=0.01)
    assert found.p[0] > 0.05 and max(found.p[1:]) < 0.05 and min(found.p_less[1:]) > 0.5
    back = contrast(weak, tough)
    assert back.p == pytest.approx(found.p_less) and len(found.plain()["changes"]) == 3


def test_mistakes_are_refused() -> None:
    whole, pruned = scores([0.0, 0.0, 0.0])
    with pytest.raises(InputError, match="ascending sparsities"):
        tolerance(whole, pruned, [0.5, 0.9, 0.7])
    with pytest.raises(InputError, match="one row a seed"):
        tolerance(whole, pruned.T, S)
    with pytest.raises(InputError, match="1 seed gives no interval"):
        tolerance(whole[:1], pruned[:1], S)
