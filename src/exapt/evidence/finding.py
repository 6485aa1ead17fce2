"""What every audit and every comparison ends in: a verdict, and whatever shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from exapt.files import jsonable

Level = Literal["good", "bad", "unsure"]
"""How a verdict is to be read: nothing wrong, something wrong, or not settled."""


@dataclass(frozen=True)
class Series:
    """One line of a plot, with a band if `low` and `high` are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: Literal["line", "dashed", "points"] = "line"


@dataclass(frozen=True)
class Plot:
    """A drawing as plain data; the report draws it."""

    caption: str
    """What is seen, how many repetitions it is over, and what the bands are."""
    x: str
    """Title of the x axis, with its unit."""
    y: str
    series: Sequence[Series]
    log_x: bool = False
    log_y: bool = False
    """Values that are not positive are left out of a logarithmic axis."""
    names: Sequence[str] = ()
    """What stands at x = 1, 2, …, where x is no number."""


@dataclass(frozen=True)
class Listing:
    """A table as plain data: numbers are rounded by the report, not here."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """Text, numbers or None; the first cell names the row."""
    long: bool = False
    """Fold it away."""


@dataclass(frozen=True)
class Logo:
    """A sequence logo as plain data: letters stacked at places, upwards what speaks for a class, downwards against."""

    caption: str
    letters: str
    heights: Sequence[Sequence[float]]
    """(places, letters) how tall each letter is."""
    places: Sequence[int]
    """What each place is called."""
    marks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Stretches by name: what their first and last place are called."""


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
    """Every further number, plain."""
    sentence: str = ""
    """The outcome in plain words, with its number, interval and n."""
    level: Level = "unsure"
    caveats: Sequence[str] = ()
    """How it could be wrong, a sentence each."""
    plots: Sequence[Plot] = ()
    listings: Sequence[Listing] = ()
    logos: Sequence[Logo] = ()

    def plain(self) -> dict[str, Any]:
        """JSON-able data; NaN and infinities are null."""
        plain: dict[str, Any] = jsonable(asdict(self))
        return plain
