"""The verdict rule: where a confidence interval lies with respect to zero and to the margin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What an interval of differences allows one to say."""

    HELPS = "HELPS"
    HARMS = "HARMS"
    EQUIVALENT = "EQUIVALENT"
    NON_INFERIOR = "NON-INFERIOR"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def conclusive(self) -> bool:
        """Whether the direction, or the absence of a difference that matters, is settled."""
        return self not in (Verdict.NON_INFERIOR, Verdict.INCONCLUSIVE)


@dataclass(frozen=True)
class Ruling:
    """A verdict, what else is true beside it, and whether the effect exceeds the margin."""

    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    """EQUIVALENT beside HELPS or HARMS: real but small. NON-INFERIOR beside HARMS: real, within the margin."""
    material: bool = False
    """The whole interval lies beyond the margin."""


def judge(low: float, high: float, margin: float) -> Ruling:
    """The verdict of an interval [low, high] against a margin set beforehand.

    HELPS: low > 0. HARMS: high < 0. EQUIVALENT: inside (−margin, margin), two one-sided tests (Schuirmann 1987).
    NON-INFERIOR: low > −margin. INCONCLUSIVE: none of these. A 90 % interval makes each a 5 % one-sided test.
    """
    not_worse = low > -margin
    small = not_worse and high < margin
    if low > 0:
        return Ruling(Verdict.HELPS, (Verdict.EQUIVALENT,) if small else (), low > margin)
    if high < 0:
        also = (Verdict.EQUIVALENT,) if small else (Verdict.NON_INFERIOR,) if not_worse else ()
        return Ruling(Verdict.HARMS, also, high < -margin)
    if small:
        return Ruling(Verdict.EQUIVALENT)
    return Ruling(Verdict.NON_INFERIOR if not_worse else Verdict.INCONCLUSIVE)
