"""The chance of each verdict: the formula against simulation, and the published table of small seed counts."""

import numpy as np
import pytest

from exapt.evidence import paired
from exapt.evidence.paired import compare
from exapt.evidence.power import conclusive_power, seeds_needed
from exapt.evidence.verdict import Verdict, judge

TABLE = {
    3: {"equivalent": 0.128, "non-inferior": 0.325, "false helps": 0.051, "helps": 0.327, "harms": 0.713},
    5: {"equivalent": 0.296, "non-inferior": 0.580, "false helps": 0.050, "helps": 0.583, "harms": 0.974},
    10: {"equivalent": 0.794, "non-inferior": 0.897, "false helps": 0.051, "helps": 0.898, "harms": 1.000},
}
"""sd 0.01, margin 0.01; true difference 0 (first three), +0.01 (helps), −0.02 (harms)."""


def _comparisons(n: int, truth: float, repeats: int, seed: int) -> list[paired.Comparison]:
    draws = np.random.default_rng(seed).normal(truth, 0.01, (repeats, n))
    return [compare(d, margin=0.01, resamples=0) for d in draws]


@pytest.mark.slow
@pytest.mark.parametrize("n", TABLE)
def test_power_table(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "seeds_needed", lambda *_: None)
    repeats = 8000
    null = _comparisons(n, 0.0, repeats, n)
    found = {
        "equivalent": np.mean([Verdict.EQUIVALENT in (c.verdict, *c.also) for c in null]),
        "non-inferior": np.mean([c.low > -c.margin for c in null]),
        "false helps": np.mean([c.verdict is Verdict.HELPS for c in null]),
        "helps": np.mean([c.verdict is Verdict.HELPS for c in _comparisons(n, 0.01, repeats, n + 100)]),
        "harms": np.mean([c.verdict is Verdict.HARMS for c in _comparisons(n, -0.02, repeats, n + 200)]),
    }
    assert found == pytest.approx(TABLE[n], abs=0.015), found
    assert found["false helps"] <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("truth", [0.0, 0.006, 0.01, -0.02])
def test_power_formula_is_the_simulated_one(n: int, truth: float) -> None:
    rng = np.random.default_rng(n)
    d = rng.normal(truth, 0.01, (4000, n))
    half = paired.stats.t.ppf(0.95, n - 1) * d.std(1, ddof=1) / np.sqrt(n)
    simulated = np.mean([judge(m - h, m + h, 0.01).verdict.conclusive for m, h in zip(d.mean(1), half, strict=True)])
    assert conclusive_power(np.array([n]), truth, 0.01, 0.01)[0] == pytest.approx(simulated, abs=0.025)


def test_seeds_needed_is_the_first_that_suffices() -> None:
    for mean, sd in [(0.0, 0.01), (0.02, 0.03), (0.005, 0.02), (0.01, 0.1)]:
        n = seeds_needed(mean, sd, 0.01)
        assert n is not None
        before, at = conclusive_power(np.array([n - 1, n]), mean, sd, 0.01)
        assert before < 0.8 <= at


def test_seeds_needed_grows_with_noise_and_gives_up() -> None:
    wanted = [seeds_needed(0.02, sd, 0.01) for sd in (0.01, 0.02, 0.05, 0.2)]
    assert wanted == sorted(wanted)
    assert seeds_needed(0.0, 10.0, 0.01) is None
    assert seeds_needed(0.0, 0.01, 0.0) is None
