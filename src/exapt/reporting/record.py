"""The sections on what the evidence stands on: data, method, failures, each fit's file, and the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exapt.evidence.unit import count
from exapt.reporting import runs
from exapt.reporting.blocks import Block, Cell, Figure, Items, Ruled, Section, Table, Text, facts, row, value_text
from exapt.reporting.numbers import Plain, difference, unit_of, verdict_cell


def pretraining(data: Plain, title: str = "Pre-training", folded: bool = False) -> Section | None:
    """The loss of pre-training, and the facts of its run, perhaps folded away."""
    blocks: list[Block] = []
    drawn = runs.loss(data.get("curve") or [])
    if drawn:
        blocks.append(Figure(drawn, "Loss of the objective; what is held out was never trained on."))
    if data.get("curve"):
        blocks.append(_losses(data["curve"]))
    blocks += _battery(data)
    if data.get("facts"):
        found = facts(_without_battery(data["facts"]))
        lines = [row(name, value) for name, value in found.pairs]
        blocks.append(Table(["what", "value"], lines, "Every fact of the run", long=True) if folded else found)
    if data.get("specs"):
        rows = [row(key, value_text(value)) for key, value in data["specs"].items()]
        blocks.append(Table(["part", "description"], rows, "Every setting of the pre-training", long=True))
    return Section(title, blocks) if blocks else None


def _battery(data: Plain) -> list[Block]:
    """What each part of a battery did to the backbone."""
    found = ((data.get("facts") or {}).get("watched") or {}).get("battery")
    if not found:
        return []
    rows = [
        row(
            name,
            value_text(part["weight"]),
            *(f"{part[f'{when}_share']:.1%}" for when in ("first", "median", "last")),
            *(f"{part[f'{when}_loss']:.4g}".replace("-", "−") for when in ("first", "last")),
        )
        for name, part in found["parts"].items()
    ]
    head = ["part", "weight", "share at first", "median share", "last share", "loss at first", "last loss"]
    caption = (
        "The norm of each part's weighted gradient over the backbone, as a share of all parts' norms, and its loss, on "
        f"one fixed sample; steps between looks: {found['every']}"
    )
    drawn = runs.shares(data.get("curve") or [], list(found["parts"]))
    figure: list[Block] = (
        [Figure(drawn, "What each part of the battery pulls at the shared backbone.")] if drawn else []
    )
    said: list[Block] = [Ruled(a["state"], f"Step {a['step']}: {a['why']}.", "bad") for a in found["alarms"]]
    return [*figure, Table(head, rows, caption), *said]


def _without_battery(found: Plain) -> dict[str, Any]:
    """The facts of a run without what stands in the table of parts."""
    watched = {name: facts for name, facts in (found.get("watched") or {}).items() if name != "battery"}
    left = {name: value for name, value in found.items() if name != "watched"}
    return left | ({"watched": watched} if watched else {})


def corpus_and_split(data: Mapping[str, Any]) -> Section | None:
    """What was read, and how the test part was kept apart."""
    return Section("Data and split", [facts(data)]) if data else None


def method(sentences: Sequence[str], verdict: Plain) -> Section | None:
    """How it was measured: this study's sentences, then what every number means."""
    if not verdict.get("main"):
        return Section("How it was measured", [Items(list(sentences))]) if sentences else None
    overall, unit = verdict["main"]["overall"], unit_of(verdict)
    level, margin = f"{overall['confidence'] * 100:g} %", unit.margin(overall["margin"])
    general = [
        f"Every difference is paired: both arms of a seed see the same labels and split. Its {level} interval is "
        "Student's t over seeds.",
        f"HELPS: the interval lies above zero. HARMS: below. EQUIVALENT: inside ±{margin}. NON-INFERIOR: above "
        f"−{margin}. INCONCLUSIVE: none of these. Each is a one-sided test at {(1 - overall['confidence']) * 50:g} %.",
        "The exact p flips the signs of the paired differences in every way (one-sided, in the direction observed). "
        "Holm's correction over the budgets uses the paired t-test's one-sided p.",
        "Labels saved are read off the control's isotonic mean curve, never beyond its budgets; the power law is "
        "followed to twice the largest at most. Their intervals bootstrap whole seeds with Hesterberg's expanded "
        "percentiles.",
        "A fit that diverged keeps the score of chance and is counted; none is dropped.",
    ]
    return Section("How it was measured", [Items([*sentences, *general])])


def failures(verdict: Plain) -> Section | None:
    """Fits that diverged, and what the verdict would be without their seeds."""
    failed = verdict.get("failures")
    if not failed:
        return None
    rows = [row(f["arm"], count(f["budget"]), str(f["seed"]), str(f.get("why", "diverged"))) for f in failed]
    blocks: list[Block] = [Table(["arm", "labels", "seed", "what happened"], rows, "Kept at the score of chance")]
    without = verdict.get("without_failures")
    if without:
        said = f"{difference(without, unit_of(verdict)).words}, {verdict_cell(without).text}, n = {without['n']}"
        blocks.append(Text(f"Without the seeds in which one of the two arms failed: {said}."))
    return Section("Failures", blocks)


def every_number(fits: Sequence[Plain]) -> Section | None:
    """Each fit with the file that holds it."""
    if not fits:
        return None
    columns = ["arm", "budget", "seed", "score", "validation", "train", "valid", "test", "seconds", "diverged"]
    present = [name for name in columns if any(fit.get(name) is not None for fit in fits)]
    rows = [row(*(_fit_cell(fit, name) for name in present), _file_cell(fit.get("file"))) for fit in fits]
    caption = f"All {count(len(fits))} fits, each with its file"
    return Section("Every number", [Table([*present, "file"], rows, caption, long=True)])


def environment(data: Mapping[str, Any]) -> Section | None:
    """Versions, seeds, machine and commit."""
    return Section("Environment", [facts(data)]) if data else None


def _losses(curve: Sequence[Plain]) -> Table:
    """The numbers of the loss figure: first, last and best of each series."""
    rows = []
    for key, name in (("loss", "training loss"), ("held_out_loss", "held-out loss")):
        points = [(line["step"], line[key]) for line in curve if isinstance(line.get(key), int | float)]
        if points:
            best = min(points, key=lambda point: point[1])
            rows.append(
                row(name, *(f"{loss:.4g} at step {count(step)}" for step, loss in (points[0], best, points[-1])))
            )
    return Table(["", "first", "best", "last"], rows)


def _fit_cell(fit: Plain, name: str) -> str:
    value = fit.get(name)
    if name in ("score", "validation") and isinstance(value, int | float):
        return f"{value:.4f}".replace("-", "−")
    if name == "seconds" and isinstance(value, int | float):
        return f"{value:.1f}"
    return value_text(value)


def _file_cell(file: Any) -> Cell:
    return Cell(str(file).rsplit("/", 1)[-1], link=str(file)) if file else Cell("–")
