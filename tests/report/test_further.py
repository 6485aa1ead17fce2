"""Figures beside the metric, from fits to the report."""

from exapt.reporting import further
from exapt.studies.conclude import further_figures


def fit(arm: str, budget: int, **figures: object) -> dict:
    return {"arm": arm, "budget": budget, "figures": figures}


def test_means_at_the_largest_budget_of_what_is_one_number():
    found = [fit("a", 8, x=1.0), fit("a", 16, x=1.0, table={"y": 2.0}), fit("a", 16, x=3.0, table={}), fit("b", 16)]
    assert further_figures(found) == [
        {"arm": "a", "budget": 16, "seeds": 2, "figures": {"x": {"mean": 2.0, "deviation": 1.0}}}
    ]


def test_no_figures_no_section():
    assert further.figures([]) is None and further_figures([]) == []


def test_a_row_an_arm_and_a_dash_for_what_is_not_there():
    lines = [
        {"arm": "a", "budget": 16, "seeds": 2, "figures": {"x": {"mean": 2.0, "deviation": 1.0}}},
        {"arm": "b", "budget": 16, "seeds": 2, "figures": {"y": {"mean": 0.5, "deviation": 0.0}}},
    ]
    table = further.figures(lines).blocks[0]
    assert table.head == ["arm", "x", "y"]
    assert [cell.text for cell in table.rows[0]] == ["a", "2 ± 1", "–"]
