"""The sections that carry the evidence: curves, differences, labels saved, and every arm."""

from __future__ import annotations

from exapt.evidence.unit import Unit, count
from exapt.reporting import curves as curve_figure
from exapt.reporting import figures
from exapt.reporting.blocks import Block, Cell, Facts, Figure, Items, Section, Table, Text, row
from exapt.reporting.numbers import (
    Plain,
    amount,
    difference,
    difference_head,
    p_value,
    score,
    score_range,
    unit_of,
    verdict_cell,
)


def learning(curves: Plain | None, verdict: Plain) -> Section | None:
    """Every arm's learning curve."""
    if not curves or not curves.get("arms"):
        return None
    looks = curve_figure.looks(list(curves["arms"]), verdict.get("treatment", ""), verdict.get("control", ""))
    caption = (
        f"Mean {curves['metric']} on the test set over {len(curves['seeds'])} seeds; bands are 90 % t-intervals "
        "of the mean. Arms share splits, labels and tuning budget, so the paired differences below are much surer than "
        "overlapping bands suggest."
    )
    arms_of = [curves["arms"][look.name] for look in looks]
    rows = [
        row(count(b), *(score_range(arm["mean"][i], arm["low"][i], arm["high"][i]) for arm in arms_of))
        for i, b in enumerate(curves["budgets"])
    ]
    head = ["labels", *(look.name for look in looks)]
    return Section(
        "Learning curves",
        [
            Figure(curve_figure.learning_curves(curves, looks), caption),
            Table(head, rows, f"Mean {curves['metric']} of every arm with its 90 % interval"),
        ],
    )


def by_budget(curves: Plain | None, verdict: Plain) -> Section | None:
    """Treatment against control at each budget and on average."""
    main = verdict.get("main")
    if not main:
        return None
    unit, arm, against = unit_of(verdict), main["arm"], main["against"]
    margin = unit.margin(main["overall"]["margin"])
    head = ["labels", arm, against, difference_head(unit), "verdict", "exact p", "t-test p after Holm"]
    rows = [
        row(
            count(line["budget"]),
            _mean(curves, arm, i),
            _mean(curves, against, i),
            difference(line, unit),
            verdict_cell(line),
            p_value(line["p_signflip"]),
            p_value(line["p_holm"]),
        )
        for i, line in enumerate(main["budgets"])
    ]
    overall = main["overall"]
    if len(rows) > 1:
        p = p_value(overall["p_signflip"])
        rows.append(row("mean", "", "", difference(overall, unit), verdict_cell(overall), p, ""))
    blocks: list[Block] = []
    if verdict.get("difference"):
        caption = (
            "Thick bars: 90 % interval of the paired difference at that budget. Thin lines: the band that holds at all "
            f"budgets at once. Both end where they leave the figure. Shaded: the margin set beforehand, ±{margin}."
        )
        blocks.append(Figure(figures.differences(main, verdict["difference"], unit), caption))
    blocks.append(Table(head, rows, f"{arm} minus {against} at each budget"))
    blocks.append(Facts(_more(overall, unit)))
    return Section(f"Difference from {against}", blocks)


def saved(verdict: Plain) -> Section | None:
    """Label equivalence and the forecast."""
    found = verdict.get("labels_saved")
    if not found:
        return None
    head = ["labels with it", "labels without", "times as many", "labels more", "by power law"]
    rows = [
        row(
            count(line["labels"]),
            amount(line["worth"]),
            amount(line["multiplier"], ratio=True),
            amount(line["increment"]),
            amount(line["worth_by_law"]),
        )
        for line in found["equivalents"]
    ]
    caption = (
        "How many labels the control needs to reach the score the treatment has with fewer. "
        "Arrows and open points: the answer lies beyond the budgets measured, so only a bound is given."
    )
    blocks: list[Block] = [
        Figure(figures.labels_saved(found), caption),
        Table(head, rows, "What labels are worth"),
        Facts(_pooled(found)),
        *(Text(warning) for warning in found["warnings"]),
    ]
    return Section("Labels saved", [*blocks, *_forecast(verdict)])


def pairs(verdict: Plain) -> Section | None:
    """Arms against each other, as the study asked."""
    found = verdict.get("pairs")
    if not found:
        return None
    unit = unit_of(verdict)
    head = ["arm", "minus", difference_head(unit), "verdict", "exact p", "t-test p after Holm"]
    rows = [row(v["arm"], v["against"], *_compared(v["overall"], unit), p_value(v["p_holm"])) for v in found]
    each = [
        row(v["arm"], v["against"], count(line["budget"]), *_compared(line, unit), p_value(line["p_holm"]))
        for v in found
        for line in v["budgets"]
    ]
    caption = f"Each pair on the mean over budgets; Holm's correction over {len(found)} comparisons"
    long = Table([*head[:2], "labels", *head[2:]], each, "Each pair at each budget", long=True)
    return Section("Arms against each other", [Items([v["sentence"] for v in found]), Table(head, rows, caption), long])


def _compared(c: Plain, unit: Unit) -> tuple[Cell, Cell, str]:
    return difference(c, unit), verdict_cell(c), p_value(c["p_signflip"])


def arms(curves: Plain | None, verdict: Plain) -> Section | None:
    """Every other arm against control and treatment."""
    others = verdict.get("with_control")
    if not others or not curves:
        return None
    main, unit = verdict["main"], unit_of(verdict)
    arm, against = main["arm"], main["against"]
    head = ["arm", "what it is", f"minus {against}", "verdict", f"{arm} minus it", "verdict "]
    rows = []
    for name, found in others.items():
        back = verdict["with_treatment"][name]["overall"]
        one = found["overall"]
        what = curves["arms"].get(name, {}).get("what", "")
        cells = difference(one, unit), verdict_cell(one), difference(back, unit), verdict_cell(back)
        rows.append(row(name, what or "–", *cells))
    blocks: list[Block] = [Table(head, rows, f"Differences averaged over the budgets ({_units(unit)})")]
    ahead = [
        row(name, count(line["budget"]), difference(line, unit), verdict_cell(line), p_value(line["p_holm"]))
        for name, found in verdict["with_treatment"].items()
        for line in found["budgets"]
    ]
    each = ["arm", "labels", f"{arm} minus it", "verdict", "t-test p after Holm"]
    blocks.append(Table(each, ahead, f"{arm} against every other arm at each budget", long=True))
    return Section("Every arm", blocks)


def _forecast(verdict: Plain) -> list[Block]:
    needs = verdict.get("forecast")
    if not needs:
        return []
    rows = [
        row(name, amount(need["labels"]), "by its power law, beyond the budgets" if need["extrapolated"] else "")
        for name, need in needs["arms"].items()
    ]
    caption = f"Labels each arm needs to reach {score(needs['target'])}, {needs['why']}"
    head = ["arm", "labels needed", "how"]
    if not any(need["extrapolated"] for need in needs["arms"].values()):
        head, rows = head[:2], [line[:2] for line in rows]
    return [
        Table(head, rows, caption),
        *(Text(warning) for warning in needs["warnings"]),
    ]


def _mean(curves: Plain | None, arm: str, place: int) -> str:
    if not curves or arm not in curves.get("arms", {}):
        return "–"
    return score(curves["arms"][arm]["mean"][place])


def _more(overall: Plain, unit: Unit) -> list[tuple[str, str]]:
    """What else is known of the main comparison."""
    best = overall["superiority"]
    pairs = [
        ("chance that it wins on a fresh seed", f"{best['estimate']:.2f} ({best['low']:.2f} to {best['high']:.2f})"),
        ("exact p, one-sided / two-sided", f"{p_value(overall['p_signflip'])} / {p_value(overall['p_two_sided'])}"),
        ("smallest one-sided p these seeds allow", p_value(overall["p_least"])),
        ("paired t-test, one-sided", p_value(min(overall["t_greater"], overall["t_less"]))),
    ]
    if overall.get("bca"):
        low, high = overall["bca"]
        d = unit.decimals(low, high)
        pairs.append(("BCa bootstrap interval", f"{unit.number(low, d)} to {unit.number(high, d)}"))
    if overall.get("seeds_needed"):
        pairs.append(("seeds to settle it (80 % power)", count(overall["seeds_needed"])))
    return pairs


def _pooled(found: Plain) -> list[tuple[str, str]]:
    pairs = []
    if found["multiplier"]:
        over = ", ".join(count(b) for b in found["pooled_over"])
        pairs.append(("multiplier, pooled", f"{amount(found['multiplier'], ratio=True).words} over budgets {over}"))
    if found["multiplier_by_law"]:
        pairs.append(("the same by power laws", amount(found["multiplier_by_law"], ratio=True).words))
    if found["pattern"]:
        p = found["pattern"]
        slope = f"slope {p['slope']:.2f} ({p['low']:.2f} to {p['high']:.2f})".replace("-", "−")
        pairs.append(("pattern", f"{PATTERNS[p['kind']]}; {slope}, additive would be {p['additive_slope']:.2f}"))
    for name, law in found["law"].items():
        pairs.append((f"power law of the {name}", f"error = {law['a']:.3g} + {law['b']:.3g} · n^−{law['c']:.3g}"))
    return [*pairs, ("error", found["errors"])]


PATTERNS = {
    "multiplicative": "labels are multiplied: the same factor at every budget",
    "additive": "labels are added: the same number at every budget",
    "undecided": "undecided between a constant factor and a constant number",
    "neither": "neither a constant factor nor a constant number",
}


def _units(unit: Unit) -> str:
    return f"points of {unit.metric}" if unit.points else unit.metric
