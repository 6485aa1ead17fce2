"""The betting test: its fortune item by item, its error rates, and the sequence of intervals that comes of it."""

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.betting import bet, confidence_sequence, log_fortune


def naive_fortune(differences, over=0.0):
    """The definition, one item at a time: every stake looks at earlier items only."""
    fortune, out, before = 1.0, [], []
    for value in differences:
        seen = [v - over for v in before]
        mean = sum(seen) / (len(seen) + 1)
        variance = max((0.25 + sum(v * v for v in seen)) / (len(seen) + 1) - mean**2, 1e-12)
        stake = min(max(mean / (variance + mean**2), 0.0), 0.5)
        fortune *= 1 + stake * (value - over)
        out.append(fortune)
        before.append(value)
    return np.array(out)


def discordant(rng, gap, runs, items=2000, share=0.3):
    """(runs, items) of −1, 0 and 1: 30 % of the items differ, with a mean of `gap`."""
    u = rng.random((runs, items))
    return (u < (share + gap) / 2).astype(float) - ((u >= (share + gap) / 2) & (u < share))


@pytest.mark.parametrize("over", [0.0, 0.02, -0.3])
def test_the_fortune_is_the_product_of_its_stakes(over):
    values = np.random.default_rng(3).uniform(-1, 1, 200).clip(-1, 1)
    assert np.exp(log_fortune(values, over)) == pytest.approx(naive_fortune(values, over), rel=1e-9)


def test_a_stake_does_not_know_its_own_item():
    values = np.random.default_rng(0).uniform(-1, 1, 50)
    changed = values.copy()
    changed[30:] = -changed[30:]
    assert log_fortune(values)[:30] == pytest.approx(log_fortune(changed)[:30], abs=0)


def test_it_may_be_looked_at_after_every_item():
    fortunes = log_fortune(discordant(np.random.default_rng(0), 0.0, 2000))
    alarms = (fortunes >= np.log(20)).any(1).mean()
    assert 0.005 < alarms <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2000)  # 4.75 % is the bound's neighbourhood


@pytest.mark.parametrize(("gap", "power", "stop"), [(0.02, 0.16, 818), (0.05, 0.84, 714), (0.10, 1.0, 199)])
def test_its_power_at_gaps_of_2_5_and_10_points(gap, power, stop):
    hits = log_fortune(discordant(np.random.default_rng(1), gap, 600)) >= np.log(20)
    found = hits.any(1)
    assert found.mean() == pytest.approx(power, abs=0.06)
    assert np.median(hits[found].argmax(1) + 1) == pytest.approx(stop, rel=0.35)


def test_a_bet_says_when_it_was_won():
    values = discordant(np.random.default_rng(2), 0.2, 1)[0]
    found = bet(values)
    first = int(np.argmax(naive_fortune(values) >= 20)) + 1
    assert found.rejected and found.stop == first and found.n == 2000
    assert found.evidence == pytest.approx(naive_fortune(values).max())
    lost = bet(-values)
    assert not lost.rejected and lost.stop is None and lost.evidence <= 20


def test_over_moves_the_question():
    values = discordant(np.random.default_rng(2), 0.1, 1)[0]
    assert bet(values, over=0.0).rejected and not bet(values, over=0.1).rejected


def test_the_sequence_of_intervals_holds_at_all_times_together():
    rng, missed = np.random.default_rng(4), 0
    for values in discordant(rng, 0.1, 60, items=300):
        low, high = confidence_sequence(values, alpha=0.1, step=0.02)
        missed += bool(((low > 0.1) | (high < 0.1)).any())
        assert (np.diff(low) >= 0).all() and (np.diff(high) <= 0).all()
    assert missed <= 60 * 0.1 + 2 * np.sqrt(60 * 0.1 * 0.9)
    assert low[-1] > -0.3 and high[-1] < 0.5


@pytest.mark.parametrize(
    ("values", "keys", "message"),
    [
        ([0.1, 1.5], {}, r"1\.5 found; expected values between -1 and 1"),
        ([0.1, np.nan], {}, "NaN found"),
        ([], {}, "none found"),
        ([[0.1, 0.2]], {}, r"shape \(1, 2\); expected one an item"),
        ([0.1], {"alpha": 0.0}, "alpha: 0.0; expected between 0 and 1"),
        ([0.1], {"over": 2.0}, "over: 2.0; expected between -1 and 1"),
    ],
)
def test_mistakes_are_one_line(values, keys, message):
    with pytest.raises(InputError, match=message):
        bet(np.array(values), **keys)
