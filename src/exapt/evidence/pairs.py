"""Arms against each other beside the main comparison, such as two ways of pre-training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from exapt.evidence.curves import Curves
from exapt.evidence.paired import Comparison, holm
from exapt.evidence.sentences import arm_name, certainty, wanted
from exapt.evidence.unit import Unit, p_text
from exapt.evidence.verdict import Verdict
from exapt.evidence.versus import Versus, versus


@dataclass(frozen=True)
class Pair:
    """One arm minus another, and its one-sided t-test p after Holm over all pairs, in the direction observed."""

    versus: Versus
    p_holm: float
    alike: bool
    """Whether both were adapted in the same way, so that only their starts differ."""
    sentence: str

    @property
    def holds(self) -> bool:
        """Whether HELPS or HARMS survives the correction for many pairs."""
        return _holds(self.versus.overall, self.p_holm)

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        found = {"p_holm": self.p_holm, "holds": self.holds, "alike": self.alike, "sentence": self.sentence}
        return self.versus.plain() | found


def compare_pairs(
    curves: Curves,
    wanted: Sequence[tuple[str, str]],
    unit: Unit,
    margin: float,
    confidence: float = 0.9,
    unlike: Collection[tuple[str, str]] = (),
) -> tuple[Pair, ...]:
    """Compare each pair (a, b), a minus b, on the mean over budgets; Holm's correction is over the pairs.

    Raises `InputError` for arms that are not there.
    """
    found = [versus(curves, a, b, margin, confidence) for a, b in wanted]
    gains, losses = (holm([getattr(v.overall, side) for v in found]) for side in ("t_greater", "t_less"))
    pairs = []
    for v, gain, loss in zip(found, gains, losses, strict=True):
        p, alike = float(gain if v.overall.mean >= 0 else loss), (v.arm, v.against) not in unlike
        said = _sentence(v, unit, len(curves.budgets), p, len(found), alike)
        pairs.append(Pair(v, p, alike, said))
    return tuple(pairs)


def _holds(c: Comparison, p: float) -> bool:
    return c.verdict in (Verdict.HELPS, Verdict.HARMS) and p <= (1 - c.confidence) / 2


def _sentence(v: Versus, unit: Unit, budgets: int, p: float, of: int, alike: bool) -> str:
    c = v.overall
    opening = _opening(c, arm_name(v.arm), arm_name(v.against), unit.margin(c.margin))
    over = f" on average over {budgets} budgets" if budgets > 1 else ""
    said = f"{opening[0].upper()}{opening[1:]}: {unit.gain(c.mean, unit.decimals(c.low, c.high))}{over}"
    said += f" ({certainty(c, unit)})"
    if not c.verdict.conclusive:
        said += f"; {wanted(c)}"
    elif c.verdict in (Verdict.HELPS, Verdict.HARMS) and of > 1:
        kept = "holds" if _holds(c, p) else "does not hold"
        said += f"; it {kept} after Holm's correction over {of} comparisons ({p_text(p)})"
    mixed = "" if alike else " They were not adapted alike, so this is no difference of their starts alone."
    return f"{said}.{mixed}"


def _opening(c: Comparison, arm: str, against: str, margin: str) -> str:
    small = f", but by less than {margin}" if Verdict.EQUIVALENT in c.also else ""
    return {
        Verdict.HELPS: f"{arm} is better than {against}{small}",
        Verdict.HARMS: f"{arm} is worse than {against}{small}",
        Verdict.EQUIVALENT: f"{arm} and {against} differ by no more than {margin}",
        Verdict.NON_INFERIOR: f"{arm} is not worse than {against} beyond {margin}, but not known to be better",
        Verdict.INCONCLUSIVE: f"undecided whether {arm} is better than {against}",
    }[c.verdict]
