import pytest
from hypothesis import given
from hypothesis import strategies as st

from exapt.evidence.verdict import Ruling, Verdict, judge

number = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [
        (0.011, 0.03, Ruling(Verdict.HELPS, (), True)),
        (0.001, 0.03, Ruling(Verdict.HELPS, (), False)),
        (0.001, 0.009, Ruling(Verdict.HELPS, (Verdict.EQUIVALENT,), False)),
        (-0.03, -0.011, Ruling(Verdict.HARMS, (), True)),
        (-0.03, -0.001, Ruling(Verdict.HARMS, (), False)),
        (-0.009, -0.001, Ruling(Verdict.HARMS, (Verdict.EQUIVALENT,), False)),
        (-0.009, 0.009, Ruling(Verdict.EQUIVALENT)),
        (-0.009, 0.02, Ruling(Verdict.NON_INFERIOR)),
        (-0.02, 0.009, Ruling(Verdict.INCONCLUSIVE)),
        (-0.02, 0.02, Ruling(Verdict.INCONCLUSIVE)),
        (0.0, 0.02, Ruling(Verdict.NON_INFERIOR)),
        (-0.01, 0.0, Ruling(Verdict.INCONCLUSIVE)),
    ],
)
def test_each_rule_and_its_border(low: float, high: float, ruling: Ruling) -> None:
    assert judge(low, high, 0.01) == ruling


@given(number, number, st.floats(0, 0.5))
def test_mirrored_intervals_swap_help_and_harm(a: float, b: float, margin: float) -> None:
    low, high = min(a, b), max(a, b)
    here, there = judge(low, high, margin), judge(-high, -low, margin)
    assert (here.verdict is Verdict.HELPS) == (there.verdict is Verdict.HARMS)
    assert (here.verdict is Verdict.EQUIVALENT) == (there.verdict is Verdict.EQUIVALENT)
    assert here.material == there.material


@given(number, number)
def test_nothing_is_equivalent_at_margin_zero(a: float, b: float) -> None:
    ruling = judge(min(a, b), max(a, b), 0.0)
    assert Verdict.EQUIVALENT not in (ruling.verdict, *ruling.also)


def test_only_a_settled_question_is_conclusive() -> None:
    assert [v for v in Verdict if v.conclusive] == [Verdict.HELPS, Verdict.HARMS, Verdict.EQUIVALENT]
