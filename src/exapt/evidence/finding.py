"""What every audit and every comparison ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exapt.files import jsonable


@dataclass(frozen=True)
class Finding:
    """A verdict with the number behind it and how that number was come by."""

    name: str
    """What was asked, in a word or two: 'transfer', 'contamination', …"""
    verdict: str
    effect: float | None
    """The estimate the verdict rests on, in the units `how` names; None where there is none."""
    interval: tuple[float, float] | None
    n: int
    """Independent repetitions behind the interval (seeds, examples … as `how` says)."""
    how: str
    """One sentence: what was measured, on what, by which test."""
    details: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """JSON-able data; NaN and infinities are null."""
        interval = None if self.interval is None else list(self.interval)
        return jsonable({**vars(self), "interval": interval, "details": dict(self.details)})
