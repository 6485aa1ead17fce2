import numpy as np
import pytest
from scipy import stats

from exapt.evidence.bands import band
from exapt.evidence.curves import Curves


def test_pointwise_band_is_the_t_interval() -> None:
    v = np.random.default_rng(0).normal(size=(5, 4))
    b = band(v)
    for k in range(4):
        expected = stats.ttest_1samp(v[:, k], 0).confidence_interval(0.9)
        assert (b.low[k], b.high[k]) == pytest.approx((expected.low, expected.high))
    assert b.mean == pytest.approx(v.mean(0))
    assert (b.low_all < b.low).all() and (b.high_all > b.high).all()


def test_one_budget_needs_no_widening_and_agreeing_budgets_little() -> None:
    v = np.random.default_rng(1).normal(size=(20, 1))
    one, copies, apart = band(v), band(np.repeat(v, 6, axis=1)), band(np.random.default_rng(2).normal(size=(20, 6)))
    widening = [float(((b.high_all - b.mean) / (b.high - b.mean))[0]) for b in (one, copies, apart)]
    assert widening[0] == pytest.approx(1, abs=0.06)
    assert widening[0] < widening[1] < 1.25 < widening[2]


def test_seeds_that_agree_have_no_width() -> None:
    b = band(np.array([[0.5, 0.1], [0.5, 0.2], [0.5, 0.3]]))
    assert b.low[0] == b.high_all[0] == 0.5
    assert b.high_all[1] > b.high[1] - 1e-12
    flat = band(np.full((3, 2), 0.5))
    assert flat.high_all.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_simultaneous_band_holds_everywhere_at_once(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    runs = [band(rng.normal(size=(seeds, 6)), resamples=500) for _ in range(400)]
    pointwise = np.mean([((b.low <= 0) & (b.high >= 0)).all() for b in runs])
    together = np.mean([((b.low_all <= 0) & (b.high_all >= 0)).all() for b in runs])
    assert pointwise < 0.75
    assert together == pytest.approx(0.9, abs=0.06)


def test_a_band_of_shares_ends_where_they_do() -> None:
    scores = {"a": np.array([[0.99, 0.5], [0.90, 0.5], [0.99, 0.5]])}
    curves = Curves(budgets=(10, 20), seeds=range(3), scores=scores)
    assert band(scores["a"]).high[0] > 1
    assert curves.plain("accuracy")["arms"]["a"]["high"][0] == 1
    assert curves.plain("loss")["arms"]["a"]["high"][0] > 1
