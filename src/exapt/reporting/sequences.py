"""The page of generated sequences: likelihood, novelty and diversity, what judges say, and the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exapt.files import write_json, write_text
from exapt.reporting.blocks import Block, Page, Section, Table, Text, facts, row
from exapt.reporting.markdown import markdown
from exapt.reporting.page import html
from exapt.studies.generating_sequences import sentence

SHOWN = 24
FIGURES = (
    "tried",
    "count",
    "different",
    "letters",
    "score",
    "identity to the template",
    "identity to the nearest",
    "identity of pairs",
)
JUDGING = (
    "A control is a random mutant of the template with as many letters changed at the same free places; without a "
    "template, the design's own letters in random order. The gain is the mean paired difference with its 90 % interval "
    "over designs, of one trained network. The oracle knows measurements alone, the profile the family alone; neither "
    "is an experiment."
)


def write_designs(out: Path, found: Mapping[str, Any]) -> None:
    """Write `out` (.html), and beside it the same as Markdown and JSON."""
    page = build(found)
    write_text(out, html(page))
    write_text(out.with_suffix(".md"), markdown(page))
    write_json(out.with_suffix(".json"), dict(found))


def build(found: Mapping[str, Any]) -> Page:
    """The page of the record that `generate_sequences` gives."""
    rows = [row(name, _number(found[name])) for name in FIGURES if found[name] is not None]
    rows += [row(f"refused: {why}", _number(n)) for why, n in found["refused"].items()]
    sections = [Section("Figures", [Table(["", ""], rows, f"The score is a {found['score is']} in nats a token.")])]
    if found["judges"]:
        sections.append(Section("Judges", _judges(found["judges"])))
    sections += [Section("Sequences", _shown(found["sequences"])), Section("What was drawn", [facts(found["drawn"])])]
    return Page(
        title="Generated sequences",
        about="",
        sentence=f"{sentence(dict(found))}.",
        verdict="MEASURED",
        notes=[found["note"]] if found["note"] else [],
        sections=sections,
    )


def _judges(judges: list[dict[str, Any]]) -> list[Block]:
    head = ["judge", "designs", "controls", "family", "template", "gain over controls", "better than control"]
    rows = []
    for judge in judges:
        gain = judge.get("gain")
        said = f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" if gain else "–"
        means = [_mean(judge[whose]) for whose in ("designs", "controls", "family")]
        better = f"{judge['better than the control']:.1%}" if gain else "–"
        rows.append(row(judge["name"], *means, _number(judge.get("template")), said, better))
    notes = [Text(f"{j['name']}: rank correlation {j['spearman held out']:.2f} with {j['held out']} measurements held "
                  f"out; {j['outside the measurements']} designs lie outside what was measured.")
             for j in judges if "spearman held out" in j]  # fmt: skip
    return [Table(head, rows, "Mean ± deviation."), *notes, Text(JUDGING)]


def _shown(sequences: list[dict[str, Any]]) -> list[Block]:
    names = ("text", "score", "identity", "changes", "nearest", "complexity")
    rows = [row(*(_number(one[name]) for name in names)) for one in sequences[:SHOWN]]
    return [Table(names, rows, f"The first {len(rows)}, none picked out.", long=True)] if rows else [Text("None.")]


def _mean(about: Mapping[str, float] | None) -> str:
    return f"{about['mean']:.3f} ± {about['deviation']:.3f}" if about else "–"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
