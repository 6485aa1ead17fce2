"""The mean over seeds and items: moments against a loop, and coverage where both are drawn anew."""

import numpy as np
import pytest
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.twoway import two_way


def test_the_moments_are_those_of_the_table():
    d = np.random.default_rng(0).normal(size=(4, 7)) + np.arange(7) - np.arange(4)[:, None]
    m = d.mean()
    a = 7 * sum((row.mean() - m) ** 2 for row in d) / 3
    b = 4 * sum((column.mean() - m) ** 2 for column in d.T) / 6
    rest = sum((d[s, i] - d[s].mean() - d[:, i].mean() + m) ** 2 for s in range(4) for i in range(7)) / 18
    found = two_way(d)
    assert found.se == pytest.approx(np.sqrt((a + b - rest) / 28))
    df = (a + b - rest) ** 2 / (a**2 / 3 + b**2 / 6 + rest**2 / 18)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.95, df) * found.se)
    assert found.p_less == pytest.approx(stats.t.cdf(m / found.se, df))
    assert (found.se_seeds, found.se_items) == pytest.approx((np.sqrt(a / 28), np.sqrt(b / 28)))


def test_the_interval_covers_what_fresh_seeds_and_items_would_give():
    rng, seeds_only, both = np.random.default_rng(1), 0, 0
    for _ in range(400):
        d = rng.normal(0, 0.02, (5, 1)) + rng.normal(0, 0.3, (1, 60)) + rng.normal(0, 0.3, (5, 60))
        found = two_way(d)
        both += found.low <= 0 <= found.high
        half = stats.t.ppf(0.95, 4) * d.mean(1).std(ddof=1) / np.sqrt(5)
        seeds_only += abs(d.mean()) <= half
    assert both / 400 > 0.86  # wanted: 0.90
    assert seeds_only / 400 < 0.8  # seeds alone say nothing of other items


def test_nothing_varies():
    found = two_way(np.full((3, 4), -0.5))
    assert (found.mean, found.low, found.high, found.p_less) == (-0.5, -0.5, -0.5, 0.0)
    assert two_way(np.zeros((3, 4))).p_less == 1.0


def test_unknown_items_are_left_out_and_too_little_is_refused():
    d = np.random.default_rng(0).normal(size=(3, 5))
    holed = d.copy()
    holed[1, 2] = np.nan
    assert two_way(holed) == two_way(np.delete(d, 2, axis=1))
    with pytest.raises(InputError, match="1 seeds × 5 items; expected at least 2 of each"):
        two_way(d[:1])
