"""Sequence logos: as tall as their numbers, inside the frame, marks where they say."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from exapt.evidence.finding import Finding, Logo
from exapt.reporting.audits import each
from exapt.reporting.blocks import Figure
from exapt.reporting.logo import HALF, LEFT, SHAPES, TOP, WIDTH, logo

PLACES = [-2, -1, 1, 2]
HEIGHTS = [[0.5, -0.1, -0.2, -0.2], [0, 0, 0, 0], [0.1, 0.3, -0.4, 0.0], [-0.2, 0.05, 0.05, 0.1]]


def plain(**changes: Any) -> dict[str, Any]:
    made = Logo(**({"caption": "c", "letters": "ACGT", "heights": HEIGHTS, "places": PLACES} | changes))
    return Finding("a", "b", None, None, 1, "how", logos=[made]).plain()["logos"][0]


def drawing(**changes: Any) -> ElementTree.Element:
    return ElementTree.fromstring(str(logo(plain(**changes))))


def boxes(svg: ElementTree.Element) -> dict[tuple[int, str], tuple[float, float]]:
    """(place, letter) to the top and bottom of its area, in shares of the tallest stack above the line."""
    found = {}
    for path in svg.iter("path"):
        points = np.array([[float(v) for v in p.split(",")] for p in re.findall(r"[-\d.]+,[-\d.]+", path.get("d", ""))])
        assert points[:, 0].min() >= LEFT
        assert points[:, 0].max() <= WIDTH
        at = int((points[:, 0].mean() - LEFT) // ((WIDTH - LEFT) / len(PLACES)))
        ends = (TOP + HALF - points[:, 1]) / HALF
        found[PLACES[at], str(path.get("class"))[5]] = (float(ends.max()), float(ends.min()))
    return found


def test_letters_are_as_tall_as_their_numbers() -> None:
    found = boxes(drawing())
    assert set(found) == {(-2, b) for b in "ACGT"} | {(1, "A"), (1, "C"), (1, "G")} | {(2, b) for b in "ACGT"}
    for (place, letter), (top, bottom) in found.items():
        assert top - bottom == pytest.approx(abs(HEIGHTS[PLACES.index(place)]["ACGT".index(letter)]) / 0.5, abs=2e-3)
    assert found[-2, "A"] == pytest.approx((1.0, 0.0), abs=2e-3)
    assert found[1, "C"] == pytest.approx((0.8, 0.2), abs=2e-3), "the taller one stands on the other"
    assert min(bottom for _, bottom in found.values()) == pytest.approx(-1.0, abs=2e-3)


def test_marks_lie_over_their_places() -> None:
    svg = drawing(marks={"-10": (-1, 1)})
    (zone,) = [r for r in svg.iter("rect") if r.get("class") == "zone"]
    wide = (WIDTH - LEFT) / 4
    assert float(str(zone.get("x"))) == pytest.approx(LEFT + wide, abs=0.1)
    assert float(str(zone.get("width"))) == pytest.approx(2 * wide, abs=0.1)
    assert "−10" in [t.text for t in svg.iter("text")]


def test_every_letter_has_a_shape_in_the_unit_square() -> None:
    for outlines in SHAPES.values():
        points = np.array([point for outline in outlines for point in outline])
        assert points.min() == 0
        assert points.max() == 1


def test_nothing_to_draw() -> None:
    assert logo(plain(heights=[[0.0] * 4] * 4)) is None
    assert logo(plain(letters="ACGX")) is None
    assert logo(plain(heights=[], places=[])) is None


def test_the_report_shows_it() -> None:
    finding = Finding("attribution", "LOCALISED", 1.0, None, 5, "how", logos=[Logo("seen", "ACGT", HEIGHTS, PLACES)])
    (section,) = each([finding.plain()])
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    assert figure.caption == "seen"
    assert "base-A" in figure.svg
