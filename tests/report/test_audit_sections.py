"""The sections of the audits: every figure well-formed and inside its frame, hostile words escaped; no browser."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from exapt.evidence.finding import Finding, Listing, Plot, Series
from exapt.reporting.audits import each, overview
from exapt.reporting.blocks import Figure, Items, Ruled, Table, Text
from exapt.reporting.page import render
from exapt.reporting.plots import plot

HOSTILE = "<script>alert('x')</script> & \"quoted\" | pipe"
STEPS = [1.0, 10.0, 100.0]


def planted(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": "transfer",
        "verdict": "HARMS SOME",
        "effect": 0.0312345678,
        "interval": (-0.01, 0.07),
        "n": 5,
        "how": "paired by seed",
        "sentence": "One class of ten lost.",
        "level": "bad",
    }
    return Finding(**(settings | changes)).plain()


def drawn(*series: Series, **settings: Any) -> str:
    found = plot(Finding("a", "b", None, None, 1, "c", plots=[Plot("c", "steps", "loss", series, **settings)]).plain()
                 ["plots"][0])  # fmt: skip
    return "" if found is None else str(found)


def wide(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<two>{markup}</two>")[0]


def ticks(svg: ElementTree.Element, anchor: str) -> list[str]:
    texts = [t for t in svg.iter("text") if t.get("class") == "tick" and t.get("text-anchor") == anchor]
    return [str(t.text) for t in texts]


SHAPES = {
    "line": (Series("a", STEPS, [1, 2, 3]),),
    "band": (Series("a", STEPS, [1, 2, 3], [0, 1, 2], [2, 3, 4]), Series("b", STEPS, [3, 2, 1], style="dashed")),
    "points": (Series("a", STEPS, [1, -2, 3], [0, -9, 2], [2, 3, 4], "points"),),
    "one point": (Series("a", [3.0], [7.0]),),
    "flat": (Series("a", STEPS, [0, 0, 0]),),
    "many": tuple(Series(f"arm {i} " + "long " * 12, STEPS, [i, i, i]) for i in range(9)),
    "huge": (Series("a", STEPS, [1e9, 2e12, 3e15]),),
}


@pytest.mark.parametrize("logs", [{}, {"log_x": True}, {"log_y": True}, {"log_x": True, "log_y": True}])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_plot_is_well_formed_and_inside_its_frame(shape: str, logs: dict[str, bool]) -> None:
    markup = drawn(*SHAPES[shape], **logs)
    if not markup:
        assert shape == "flat" and "log_y" in logs  # zero has no place on a logarithmic axis
        return
    for svg in ElementTree.fromstring(f"<two>{markup}</two>"):
        _, _, width, height = (float(v) for v in svg.attrib["viewBox"].split())
        numbers = [float(v) for p in svg.iter() for pair in p.get("points", "").split() for v in pair.split(",")]
        assert all(math.isfinite(v) for v in numbers) and "nan" not in markup
        for element in svg.iter():
            assert all(-1 <= float(element.attrib[k]) <= width + 1 for k in ("x1", "x2", "cx") if k in element.attrib)
            assert all(-1 <= float(element.attrib[k]) <= height + 1 for k in ("y1", "y2", "cy") if k in element.attrib)


def test_a_logarithmic_axis_is_even_in_ratios() -> None:
    svg = wide(drawn(Series("a", STEPS, [1.0, 10.0, 100.0]), log_x=True, log_y=True))
    line = next(e for e in svg.iter("polyline"))
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, p.split(","))) for p in line.attrib["points"].split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert {"1", "10", "100"} <= set(ticks(svg, "middle"))


def test_values_that_cannot_be_drawn_are_left_out() -> None:
    some = Series("a", [1, 2, 3, 4], [1.0, math.nan, math.inf, 4.0])
    assert wide(drawn(some)).find("polyline").attrib["points"].count(",") == 2  # type: ignore[union-attr]
    below = Series("a", [0, 1, 2], [1.0, 0.0, 4.0])
    assert wide(drawn(below, Series("b", [1, 2], [1, 2]), log_x=True, log_y=True)) is not None
    assert drawn(below, log_x=True, log_y=True).count("<polyline") == 2  # wide and narrow, one point each


@pytest.mark.parametrize("series", [(), (Series("a", [], []),), (Series("a", [1], [math.nan]),)])
def test_nothing_to_draw_draws_nothing(series: tuple[Series, ...]) -> None:
    assert drawn(*series) == ""
    data = planted(plots=[Plot("caption", "x", "y", series)])
    assert not any(isinstance(block, Figure) for block in each([data])[0].blocks)


def test_places_of_classes_have_whole_ticks() -> None:
    assert ticks(wide(drawn(Series("a", [1, 2], [0.1, 0.2], style="points"))), "middle") == ["1", "2"]


def test_an_overview_has_a_row_an_audit_and_the_sections_the_rest() -> None:
    data = planted(
        caveats=["One checkpoint."],
        plots=[Plot("what is seen", "x", "y", [Series("a", STEPS, [1, 2, 3])])],
        listings=[Listing("Each class", ["class", "points", "n"], [["cat", -1.23456, 3], ["dog", None, 2000]])],
    )
    table = overview([data]).blocks[0]  # type: ignore[union-attr]
    assert isinstance(table, Table)
    assert [cell.words for cell in table.rows[0]] == ["transfer", "HARMS SOME", "0.03123", "−0.01 to 0.07", "5"]
    assert table.rows[0][1].mark == "bad"
    section = each([data])[0]
    assert [type(block) for block in section.blocks] == [Ruled, Figure, Table, Text, Text, Items]
    listed = section.blocks[2]
    assert isinstance(listed, Table)
    assert [[cell.words for cell in line] for line in listed.rows] == [["cat", "−1.235", "3"], ["dog", "–", "2,000"]]


def test_no_audits_no_section() -> None:
    assert overview([]) is None and each([]) == []


def test_the_dust_of_sums_is_shown_as_nought() -> None:
    row = overview([planted(effect=-8.7e-19)]).blocks[0].rows[0]  # type: ignore[union-attr]
    assert row[2].words == "0"
    alone = overview([planted(effect=-8.7e-19, interval=None)]).blocks[0].rows[0]  # type: ignore[union-attr]
    assert (alone[2].words, alone[3].words) == ("−8.7e−19", "–")


def test_a_finding_without_number_or_interval_is_shown() -> None:
    row = overview([planted(effect=None, interval=None, n=0)]).blocks[0].rows[0]  # type: ignore[union-attr]
    assert [cell.words for cell in row][2:] == ["–", "–", "0"]


def test_hostile_words_are_escaped_everywhere(make_report: Any) -> None:
    finding = planted(
        name=HOSTILE,
        verdict=HOSTILE,
        sentence=HOSTILE,
        how=HOSTILE,
        caveats=[HOSTILE],
        plots=[Plot(HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, STEPS, [1, 2, 3]), Series("b", STEPS, [1, 2, 3])])],
        listings=[Listing(HOSTILE, [HOSTILE, "n"], [[HOSTILE, 3]])],
    )
    shown, plain = render(make_report() | {"audits": [finding]})
    assert "<script>alert" not in shown and "&lt;script&gt;alert" in shown
    assert "<script>" not in plain


def test_the_page_holds_the_audits_in_order(make_report: Any) -> None:
    shown, _ = render(make_report() | {"audits": [planted(), planted(name="forgetting")]})
    assert re.search(r"Audits</h2>.*Audit: transfer</h2>.*Audit: forgetting</h2>", shown, re.S)
