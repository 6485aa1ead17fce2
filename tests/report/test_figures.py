import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exapt.reporting import figures, runs
from exapt.reporting.axes import Scale, decimals, limits, ticks
from exapt.reporting.curves import learning_curves, looks
from exapt.reporting.numbers import unit_of

MakeReport = Callable[..., dict[str, Any]]


LONG = {"names": {"frozen": "a name that " * 12}}


def _drawn(data: dict[str, Any]) -> dict[str, str]:
    verdict = data["verdict"]
    arms = looks(list(data["curves"]["arms"]), "pretrained", "scratch")
    made = {
        "curves": learning_curves(data["curves"], arms),
        "differences": figures.differences(verdict["main"], verdict["difference"], unit_of(verdict)),
        "loss": runs.loss(data["pretraining"]["curve"]) or "",
    }
    if verdict["labels_saved"]:
        made["labels"] = figures.labels_saved(verdict["labels_saved"])
    return {name: str(svg) for name, svg in made.items()}


@pytest.mark.parametrize(
    "settings",
    [{}, {"effect": -0.2}, {"budgets": (16,)}, {"budgets": (16, 20, 1000)}, {"seeds": 2}, {"effect": 0.3}, LONG],
)
def test_figures_are_well_formed_and_inside_their_frame(make_report: MakeReport, settings: dict[str, Any]) -> None:
    for name, markup in _drawn(make_report(**settings)).items():
        pair = ElementTree.fromstring(f"<two>{markup}</two>")
        assert [svg.get("class") for svg in pair] == ["wide", "narrow"], name
        for svg in pair:
            _, _, width, height = (float(v) for v in svg.attrib["viewBox"].split())
            assert svg.get("role") == "img" and svg.get("aria-label")
            xs, ys = _coordinates(svg)
            assert min(xs) >= -1 and max(xs) <= width + 1, name
            assert min(ys) >= -1 and max(ys) <= height + 1, name


def _coordinates(svg: ElementTree.Element) -> tuple[list[float], list[float]]:
    xs: list[float] = []
    ys: list[float] = []
    for element in svg.iter():
        for pair in element.get("points", "").split():
            x, y = pair.split(",")
            xs.append(float(x))
            ys.append(float(y))
        if element.get("class") == "card":
            xs.append(float(element.attrib["x"]) + float(element.attrib["width"]))
        xs += [float(element.attrib[key]) for key in ("x", "x1", "x2", "cx") if key in element.attrib]
        ys += [float(element.attrib[key]) for key in ("y", "y1", "y2", "cy") if key in element.attrib]
    return xs, ys


def test_every_arm_has_its_own_look_and_its_name(make_report: MakeReport) -> None:
    data = make_report()
    arms = looks(list(data["curves"]["arms"]), "pretrained", "scratch")
    assert [look.place for look in arms[:2]] == [0, 1]
    assert len({look.place for look in arms}) == len(arms) == 6
    drawn = _drawn(data)["curves"]
    assert all(drawn.count(f">{look.name}</text>") == 2 for look in arms)
    assert len(set(looks(["a", "b", "frozen", "c", "d"], "a", "b"))) == 5


def test_names_at_the_line_ends_do_not_overlap(make_report: MakeReport) -> None:
    data = make_report(effect=0.001)
    for arm in data["curves"]["arms"].values():
        arm["mean"][-1] = 0.9
    wide = ElementTree.fromstring(f"<two>{_drawn(data)['curves']}</two>")[0]
    ys = sorted(float(t.attrib["y"]) for t in wide.iter("text") if (t.get("class") or "").startswith("name"))
    assert len(ys) == 6 and all(b - a >= 16 for a, b in pairwise(ys))
    assert ys[-1] < 400


def test_censored_answers_are_open_points_with_arrows(make_report: MakeReport) -> None:
    drawn = _drawn(make_report(effect=0.3))["labels"]
    assert "dot open" in drawn and "arrow" in drawn
    assert "worth at least" in drawn


def test_points_tell_their_numbers(make_report: MakeReport) -> None:
    data = make_report()
    arm = data["curves"]["arms"]["scratch"]
    assert f"{arm['mean'][0]:.3f} ({arm['low'][0]:.3f} to {arm['high'][0]:.3f})" in _drawn(data)["curves"]


def test_loss_is_drawn_only_where_there_is_one() -> None:
    assert runs.loss([]) is None
    assert runs.loss([{"step": 1, "seconds": 3.0}]) is None
    assert "training loss" in str(runs.loss([{"step": 1, "loss": 3.0}]))
    long = [{"step": i, "loss": 1.0 + 1 / (i + 1)} for i in range(5000)]
    assert len(str(runs.loss(long))) < 20_000


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    high = low + width
    at = ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert len(at) <= 12 and all(low - slack <= v <= high + slack for v in at)


def test_ticks_and_decimals() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(3, 3) == [3]
    assert [decimals(v) for v in ([0.25, 0.5], [0.5, 1], [20, 40], [0.025], [])] == [2, 1, 0, 3, 0]
    assert limits([1.0]) == (0.5, 1.5) and limits([0.0]) == (-1.0, 1.0)


def test_scales() -> None:
    assert Scale(10, 1000, 0, 100, log=True)(100) == pytest.approx(50)
    assert Scale(5, 5, 0, 100)(5) == 50
    assert not re.search(r"\d\.\d{2}", str(runs.loss([{"step": 1, "loss": 3.0}, {"step": 3, "loss": 1.0}]) or ""))
