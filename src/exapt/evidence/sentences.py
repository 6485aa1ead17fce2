"""The verdict in words: the first sentence of every report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from exapt.evidence.amount import Amount
from exapt.evidence.paired import Comparison
from exapt.evidence.saved import Equivalent, LabelsSaved
from exapt.evidence.unit import Unit, count, p_text, times
from exapt.evidence.verdict import Verdict

if TYPE_CHECKING:
    from exapt.evidence.versus import Versus

ARMS = {
    "pretrained": "the pre-trained arm",
    "scratch": "training from scratch",
    "random-frozen": "the frozen random network",
    "classical": "the classical baseline",
    "frozen": "the probe of the frozen pre-trained network",
    "stacked": "the stacked arm",
}


def arm_name(arm: str, what: Mapping[str, str] | None = None) -> str:
    """An arm in running text: 'the classical baseline (k-mer + logistic regression)'."""
    known = ARMS.get(arm, f"the arm '{arm}'")
    detail = (what or {}).get(arm, "")
    return f"{known} ({detail})" if detail and arm not in ("pretrained", "scratch") else known


def headline(
    main: Versus,
    unit: Unit,
    budgets: Sequence[int],
    *,
    saved: LabelsSaved | None,
    rivals: Sequence[Versus],
    what: Mapping[str, str],
) -> str:
    """The verdict, its size and certainty; labels saved where it is settled; and any untrained arm that does better."""
    first = _verdict(main, unit, budgets)
    c = main.overall
    if c.verdict in (Verdict.HELPS, Verdict.HARMS) and saved and saved.headline:
        first += f"; {labels_sentence(saved.headline)}"
    elif not c.verdict.conclusive:
        first += f"; {wanted(c)}"
    also = [_rival(rival, unit, len(budgets), c.verdict, what) for rival in rivals]
    return " ".join([f"{first}.", *filter(None, also)])


def how(c: Comparison, unit: Unit, budgets: int) -> str:
    """The method of the main comparison, in a sentence."""
    over = f" averaged over {budgets} budgets" if budgets > 1 else ""
    return (
        f"Paired differences of {unit.metric} on the test set,{over or ' at one budget'}, one a seed; "
        f"two-sided {c.confidence:.0%} t-interval".replace("%", " %")
        + f" against a margin of {unit.margin(c.margin)}; exact sign-flip test."
    )


def labels_sentence(e: Equivalent) -> str:
    """'64 labels with it do what 210 do without (3.3× fewer, 2.4× to 4.1×)', or what can be said of it."""
    n, worth, rho = count(e.labels), count(e.worth.value), e.multiplier
    if rho.bound == "at least":
        sure = f", {range_text(rho)}" if not rho.low_bound and rho.low < rho.value else ""
        return f"{n} labels with it do better than all {worth} do without (at least {times(rho.value)} fewer{sure})"
    if rho.bound == "at most":
        return f"{n} labels with it do less than {worth} do without"
    if rho.value >= 1:
        return f"{n} labels with it do what {worth} do without ({times(rho.value)} fewer, {range_text(rho)})"
    return f"{n} labels with it do only what {worth} do without ({times(rho.value)}, {range_text(rho)})"


def range_text(ratio: Amount) -> str:
    """'2.4× to 4.1×', 'from 2.4× up', 'up to 4.1×'."""
    if ratio.low_bound == ratio.high_bound == "":
        return f"{times(ratio.low)} to {times(ratio.high)}"
    if ratio.low_bound == "":
        return f"from {times(ratio.low)} up"
    return f"up to {times(ratio.high)}" if ratio.high_bound == "" else "no limit either way"


def _verdict(main: Versus, unit: Unit, budgets: Sequence[int]) -> str:
    c = main.overall
    subject = "pre-training" if main.arm == "pretrained" else arm_name(main.arm)
    opening = _opening(c, subject, f"the margin of {unit.margin(c.margin)}")
    control = arm_name(main.against)
    word = "over" if c.verdict is Verdict.HELPS else "against"
    gain = unit.gain(c.mean, unit.decimals(c.low, c.high))
    over = f"on average over {len(budgets)} budgets" if len(budgets) > 1 else f"with {count(budgets[0])} labels"
    return f"{opening[0].upper()}{opening[1:]}: {gain} {word} {control} {over} ({certainty(c, unit)})"


def _opening(c: Comparison, subject: str, margin: str) -> str:
    small = f", but by less than {margin}" if Verdict.EQUIVALENT in c.also else ""
    return {
        Verdict.HELPS: f"{subject} helped{small}",
        Verdict.HARMS: f"{subject} hurt{small}",
        Verdict.EQUIVALENT: f"{subject} made no difference beyond {margin}",
        Verdict.NON_INFERIOR: f"{subject} did no harm beyond {margin}, but whether it helped is undecided",
        Verdict.INCONCLUSIVE: f"undecided whether {subject} helped",
    }[c.verdict]


def certainty(c: Comparison, unit: Unit) -> str:
    """'90 % interval 2.0 to 6.3, n = 5 seeds, one-sided p = 0.031'."""
    if c.low == c.high:
        return f"the same in all {c.n} seeds"
    d = unit.decimals(c.low, c.high)
    interval = f"{c.confidence * 100:g} % interval {unit.number(c.low, d)} to {unit.number(c.high, d)}"
    return f"{interval}, n = {c.n} seeds, {_p(c)}"


def _p(c: Comparison) -> str:
    if c.verdict not in (Verdict.HELPS, Verdict.HARMS):
        return f"two-sided {p_text(c.p_two_sided)}"
    weak = c.p_least > (1 - c.confidence) / 2
    least = f", {'the least' if c.p_signflip <= c.p_least else f'at least {c.p_least:.2g}'} with {c.n} seeds"
    return f"one-sided {p_text(c.p_signflip)}{least if weak else ''}"


def wanted(c: Comparison) -> str:
    """How many seeds would settle it."""
    if c.seeds_needed is None:
        return "not even 10,000 seeds would be likely to settle it"
    return f"about {count(c.seeds_needed)} seeds would settle it"


def _rival(rival: Versus, unit: Unit, budgets: int, verdict: Verdict, what: Mapping[str, str]) -> str:
    """A sentence where an untrained arm is ahead of the best pre-trained one, overall or at some budget."""
    c = rival.overall
    ahead = sum(row.comparison.verdict is Verdict.HELPS for row in rival.budgets)
    if c.verdict is not Verdict.HELPS and not ahead and c.mean <= 0:
        return ""
    name = arm_name(rival.arm, what)
    subject = f"{name[0].upper()}{name[1:]}"
    gain = unit.gain(c.mean, unit.decimals(c.low, c.high))
    still = " still" if verdict is Verdict.HELPS else ""
    best = (
        "the best pre-trained arm"
        if rival.against == "pretrained"
        else f"{arm_name(rival.against)}, the best pre-trained arm"
    )
    at = f" at {ahead} of {budgets} budgets" if budgets > 1 else ""
    if c.verdict is Verdict.HELPS:
        tail = f", ahead{at}" if at else ""
        return f"{subject} is better{still}: {gain} over {best} ({certainty(c, unit)}){tail}."
    if ahead:
        return f"{subject} is better{still}{at}." if still else f"{subject} is better than {best}{at}."
    return f"{subject} scores higher than {best} on average ({gain}), but not beyond doubt ({certainty(c, unit)})."
