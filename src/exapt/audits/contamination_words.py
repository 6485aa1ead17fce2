"""What the contamination audit says and shows: sentence, caveats, figures and the worst pairs."""

from __future__ import annotations

import numpy as np

from exapt.audits.overlap.found import Overlap
from exapt.evidence.clean_gain import CleanGain
from exapt.evidence.finding import Listing, Plot, Series

WORST = 20
CUT = 400
"""Characters of an excerpt that are shown."""


def sentence(found: Overlap, count: int, undecidable: int, gain: CleanGain | None, threshold: float) -> str:
    """The outcome in plain words."""
    said = f"{count} of {len(found)} evaluation examples ({count / len(found):.1%}) "
    said += f"overlap the corpus by {threshold:.0%} or more"
    said += f", {undecidable} are undecidable" if undecidable else ""
    if gain is None:
        return f"{said}."
    low, high = (100 * v for v in gain.interval)
    said += (
        f". Clean gain {100 * gain.gain:+.2f} points ({gain.level:.0%} interval {low:.2f} to {high:.2f}, "
        f"n = {gain.n} test examples, {gain.seeds} seeds); naive gain {100 * gain.naive:+.2f}"
    )
    if gain.explained is not None and gain.by == "line":
        said += f", of which overlap explains {gain.explained:.0%}"
    return f"{said}."


def caveats(found: Overlap, gain: CleanGain | None, why_not: str) -> list[str]:
    """How it could be wrong."""
    said = [_reach(found)]
    if why_not:
        said.append(f"No clean gain: {why_not}.")
    if found.undecidable.any():
        said.append("Undecidable examples are shorter than a run that counts, or all boilerplate, and equal no record.")
    if gain is None:
        return said
    if gain.by == "line":
        said.append("The clean gain assumes that what overlap adds grows in proportion to it.")
    if gain.nonlinear_p is not None and gain.nonlinear_p < 0.05:
        said.append(
            f"The bins depart from the line (p = {gain.nonlinear_p:.2g}): "
            "trust the mean over examples without overlap more."
        )
    if gain.by == "clean items":
        said.append(
            f"{gain.overlapping} examples overlap at all, too few for a line: the clean gain is the others' mean."
        )
    if gain.seeds == 1:
        said.append("One seed: the interval holds the spread between test examples only.")
    return said


def _reach(found: Overlap) -> str:
    if found.unit == "picture":
        tiny = found.facts.get("by") == "correlation alone"
        weak = "; pictures this small were compared by correlation alone, and only near-copies count" if tiny else ""
        return f"Crops, turned and strongly recoloured copies are not found{weak}."
    return "Paraphrases and translations are not found; common phrases can match by chance in short examples."


def plots(found: Overlap, gain: CleanGain | None, threshold: float) -> list[Plot]:
    """How overlap is distributed, and the difference against it."""
    levels = np.linspace(0, 1, 51)[1:]
    share = [float((found.score >= level).mean()) for level in levels]
    caption = (
        f"Share of the {len(found)} evaluation examples with at least so much overlap; {threshold:g} is the threshold."
    )
    drawn = [Plot(caption, "overlap", "share of examples", [Series("examples", levels.tolist(), share)])]
    return drawn + ([_against(gain)] if gain is not None and gain.bins else [])


def _against(gain: CleanGain) -> Plot:
    x = [b["overlap"] for b in gain.bins]
    y, error = ([100 * b[key] for b in gain.bins] for key in ("mean", "error"))
    low, high = ([v + s * 1.645 * e for v, e in zip(y, error, strict=True)] for s in (-1, 1))
    slope = gain.effect or 0.0
    line = Series("line", [0.0, 1.0], [100 * gain.gain, 100 * (gain.gain + slope)], style="dashed")
    counts = ", ".join(f"{b['n']:.0f}" for b in gain.bins)
    caption = (
        f"Pre-trained minus scratch by how much of an example the corpus holds, with 90 % intervals over the examples "
        f"of a bin ({counts}), and the fitted line; where it meets zero overlap is the clean gain."
    )
    return Plot(caption, "overlap", "points", [Series("bins", x, y, low, high, "points"), line])


def listings(found: Overlap, numbers: np.ndarray, gain: CleanGain | None) -> list[Listing]:
    """The worst pairs side by side, and the gains."""
    head = ["test example", "overlap", "run", "record of the corpus", "the example", "the record"]
    rows = [
        [
            int(numbers[pair.example]),
            pair.score,
            _run(found, pair.example, pair.how),
            f"{pair.record}{' (mirrored)' if found.unit == 'picture' and found.reverse[pair.example] else ''}",
            pair.text[:CUT],
            pair.found[:CUT],
        ]
        for pair in found.pairs(WORST)
    ]
    tables = (
        [Listing("The pairs that overlap most; numbers count from 0 in file order.", head, rows, long=True)]
        if rows
        else []
    )
    return tables + ([_gains(gain)] if gain is not None else [])


def _run(found: Overlap, example: int, how: str) -> str:
    if how == "near":
        return "similar as a whole"
    strand = ", other strand" if found.reverse[example] else ""
    return f"{found.longest[example]} of {found.length[example]} {found.unit}s, at {found.place[example]}{strand}"


def _gains(gain: CleanGain) -> Listing:
    def row(name: str, value: float | None, interval: tuple[float, float] | None) -> list[object]:
        ends = None if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
        return [name, None if value is None else 100 * value, ends]

    rows = [
        row("clean gain", gain.gain, gain.interval),
        row("clean gain, for these seeds alone", gain.gain, gain.items_interval),
        row("clean gain, bootstrap", gain.gain, gain.bootstrap),
        row("examples without overlap", gain.clean, gain.clean_interval),
        row("effect of full overlap", gain.effect, gain.effect_interval),
        row("naive gain", gain.naive, None),
    ]
    return Listing("Gains in points", ["what", "points", f"{gain.level:.0%} interval"], rows)
