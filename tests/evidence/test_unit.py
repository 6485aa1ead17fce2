import numpy as np
import pytest

from exapt.evidence.unit import Unit, count, p_text, times

POINTS = Unit("accuracy", True)
RAW = Unit("R²", False)


@pytest.mark.parametrize(
    ("metric", "scores", "points"),
    [
        ("accuracy", [0.1, 0.9], True),
        ("balanced accuracy", [0.1, 0.9], True),
        ("macro-F1", [0.1], True),
        ("AUC", [0.5], True),
        ("R²", [0.5], False),
        ("negative RMSE", [-2.0], False),
        ("accuracy", [3.0, 90.0], False),
        ("score", [0.5], False),
    ],
)
def test_points_are_for_shares_of_one(metric: str, scores: list[float], points: bool) -> None:
    assert Unit.of(metric, np.array(scores)).points is points
    assert Unit.of(metric, np.array(scores), points=not points).points is not points


def test_differences_in_words() -> None:
    assert POINTS.gain(0.0412, 1) == "+4.1 points of accuracy"
    assert POINTS.gain(-0.0412, 1) == "−4.1 points of accuracy"
    assert POINTS.gain(-0.0001, 1) == "0.0 points of accuracy"
    assert RAW.gain(-0.0312, 3) == "−0.031 in R²"
    assert RAW.number(12345.6, 0) == "12,346"


@pytest.mark.parametrize(("half", "points", "raw"), [(2.1, 1, 1), (21, 1, 0), (0.04, 2, 3), (0.0, 1, 1)])
def test_decimals_follow_the_interval(half: float, points: int, raw: int) -> None:
    assert POINTS.decimals(0.0, 2 * half / 100) == points
    assert RAW.decimals(0.0, 2 * half) == raw


def test_margins_counts_times_and_p() -> None:
    assert [POINTS.margin(m) for m in (0.01, 0.005, 0.02)] == ["1 point", "0.5 points", "2 points"]
    assert RAW.margin(0.01) == "0.01"
    assert [count(n) for n in (2048.0, 64, 7.25, 9.96, 4)] == ["2,048", "64", "7.2", "10", "4"]
    assert [times(r) for r in (3.34, 32.4, 0.47, 1.0, 0.996)] == ["3.3×", "32×", "0.47×", "1.0×", "1.0×"]
    said = [p_text(p) for p in (0.03125, 0.0004, 0.0502, 0.125, 1.0)]
    assert said == ["p = 0.031", "p < 0.001", "p = 0.050", "p = 0.125", "p = 1"]
