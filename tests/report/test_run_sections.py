"""The report of a study with several pre-trainings: pairs of arms, each start, and a battery's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exapt.evidence.conclude import conclude
from exapt.evidence.curves import Curves
from exapt.reporting import runs
from exapt.reporting.page import render

MakeReport = Callable[..., dict[str, Any]]
SHARES = [{"step": s, "masked.share": 0.7, "<b>.share": 0.3} for s in (10, 20, 30)]
PARTS = {
    name: {
        "weight": 1.0,
        "first_share": share,
        "median_share": share,
        "last_share": share,
        "first_loss": 2.0,
        "last_loss": -0.5,
    }
    for name, share in (("masked", 0.7), ("<b>", 0.3))
}
ALARM = {"step": 30, "state": "DEAD TERM", "why": "part 'feather': its share stayed below 1%"}


def with_starts(report: dict[str, Any], alarms: list[dict[str, Any]]) -> dict[str, Any]:
    battery = {"every": 10, "parts": PARTS, "alarms": alarms}
    start = {"name": "both", "curve": SHARES, "facts": {"steps": 30, "watched": {"battery": battery}}, "specs": {}}
    return report | {"starts": [start]}


def test_pairs_are_sentences_and_a_table_in_both_forms(make_report: MakeReport) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0.6, 0.02, (5, 2))
    arms = {"pretrained": 0.03, "scratch": 0.0, "views": 0.06}
    scores = {arm: base + by + rng.normal(0, 0.003, base.shape) for arm, by in arms.items()}
    done = conclude(Curves((8, 16), tuple(range(5)), scores), pairs=[("views", "pretrained"), ("views", "scratch")])
    page, text = render(make_report() | {"verdict": done.plain()})
    assert "Arms against each other" in page and "## Arms against each other" in text
    assert "The arm &#39;views&#39; is better than the pre-trained arm: +" in page
    assert "after Holm's correction over 2 comparisons" in text
    assert text.count("| views | pretrained |") == 1 + 2  # on the mean, and at each budget


def test_without_pairs_or_starts_there_are_no_such_sections(make_report: MakeReport) -> None:
    page, _ = render(make_report())
    assert "Arms against each other" not in page and "Pre-training: " not in page


def test_a_start_shows_its_parts_their_shares_and_its_alarms(make_report: MakeReport) -> None:
    page, text = render(with_starts(make_report(), [ALARM]))
    assert "Pre-training: both" in page and "share of the gradient" in page
    assert "| masked | 1 | 70.0% | 70.0% | 70.0% | 2 | −0.5 |" in text
    assert "**DEAD TERM.** Step 30: part 'feather': its share stayed below 1%" in text
    assert "<b>" not in page.split("Pre-training: both")[1].split("</section>")[0]
    assert "watched" not in text


def test_the_figure_of_shares_is_left_out_where_none_was_measured() -> None:
    assert runs.shares([{"step": 1, "loss": 2.0}], ["masked"]) is None
    drawn = str(runs.shares(SHARES, ["masked", "<b>"]))
    assert "&lt;b&gt;" in drawn and "<b>" not in drawn and "nan" not in drawn


@pytest.mark.parametrize("count", [1, 3])
def test_every_start_has_a_section(make_report: MakeReport, count: int) -> None:
    report = with_starts(make_report(), [])
    starts = [report["starts"][0] | {"name": f"start-{i}"} for i in range(count)]
    page, _ = render(report | {"starts": starts})
    assert sum(f"Pre-training: start-{i}" in page for i in range(count)) == count
