"""The alarm 'the loss falls while accuracy stands still', read off a run's evaluations.

A window of W evaluations is cut into halves A and B. The loss *falls* where Kendall's τ of B against time is below 0
with one-sided p < 0.01 and the median of B lies more than 2 % below that of A. Accuracy *stands still* where the upper
95 % bound of mean(B) − mean(A) is below the margin. Both in two windows running raise the alarm. A trend test on the
whole window instead raises it in half of all runs that have simply converged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.stats import t as student

WINDOW = 20
MARGIN = 0.01
"""The gain in accuracy that would count as one."""
FALL = 0.02
"""The share by which the median loss must have fallen."""
TREND = 0.01
"""One-sided p of Kendall's τ."""
SHRUNK = 0.8
"""Below this share of its running maximum the rank has collapsed."""

State = Literal["TOO FEW", "NO PROBE", "HEALTHY", "CONVERGED", "STAGNATION", "COLLAPSE"]


@dataclass(frozen=True)
class Outlook:
    """What the last evaluations say."""

    state: State
    why: str
    shrunk: float | None = None
    """The rank as a share of its running maximum."""

    @property
    def alarm(self) -> bool:
        return self.state in ("STAGNATION", "COLLAPSE")


def outlook(
    loss: Sequence[float],
    accuracy: Sequence[float],
    rank: Sequence[float],
    window: int = WINDOW,
    margin: float = MARGIN,
) -> Outlook:
    """Judge the latest of T evaluations; `rank` is centred RankMe. Needs window + 1 evaluations, and says so."""
    if len(loss) < window + 1:
        return Outlook("TOO FEW", f"too few evaluations: {len(loss)}, needs {window + 1}")
    falls = falling(np.asarray(loss, dtype=np.float64)[-window - 1 :], window)
    still = standing(np.asarray(accuracy, dtype=np.float64)[-window - 1 :], window, margin)
    shrunk = float(rank[-1] / max(*rank, 1e-12))
    if not falls[-1]:
        return Outlook("CONVERGED", "the loss no longer falls", shrunk)
    if not (falls & still).all():
        return Outlook("HEALTHY", "the loss falls and accuracy may still rise", shrunk)
    why = f"over {window} evaluations the loss fell and accuracy rose by less than {100 * margin:g} points"
    if shrunk < SHRUNK:
        return Outlook("COLLAPSE", f"{why}; the effective rank fell to {shrunk:.0%} of its maximum", shrunk)
    return Outlook("STAGNATION", f"{why}; the effective rank held", shrunk)


def alarms(loss: np.ndarray, accuracy: np.ndarray, window: int = WINDOW, margin: float = MARGIN) -> np.ndarray:
    """(R, T − window) whether the alarm stands after evaluation window + 1, window + 2, … of R runs (R, T)."""
    both = falling(loss, window) & standing(accuracy, window, margin)
    return both[..., 1:] & both[..., :-1]


def falling(loss: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """(…, T − window + 1) whether the loss (…, T) fell in each window."""
    first, second = _halves(loss, window)
    early, late = np.median(first, -1), np.median(second, -1)
    dropped = early - late > FALL * np.abs(early)
    return dropped & (p_falling(second) < TREND)


def standing(accuracy: np.ndarray, window: int = WINDOW, margin: float = MARGIN) -> np.ndarray:
    """(…, T − window + 1) whether the upper 95 % bound (Welch's t) of the gain in accuracy is below the margin."""
    first, second = _halves(accuracy, window)
    n = second.shape[-1]
    gain = second.mean(-1) - first.mean(-1)
    a, b = (half.var(-1, ddof=1) / n for half in (first, second))
    freedom = (a + b) ** 2 * (n - 1) / np.maximum(a**2 + b**2, 1e-300)
    bound = gain + student.ppf(0.95, np.maximum(freedom, n - 1)) * np.sqrt(a + b)
    return np.asarray(bound < margin)


def p_falling(values: np.ndarray) -> np.ndarray:
    """(…,) exact one-sided p of Kendall's τ < 0 of values (…, n) against their order; ties count half."""
    n = values.shape[-1]
    later, earlier = np.tril_indices(n, -1)
    rises = values[..., later] - values[..., earlier]
    inversions = (rises < 0).sum(-1) + 0.5 * (rises == 0).sum(-1)
    return _upper(n)[np.floor(inversions).astype(np.int64)]


@cache
def _upper(n: int) -> np.ndarray:
    """P(inversions ≥ i) for a random order of n, for i from 0 to n(n − 1)/2 (Mahonian numbers)."""
    counts = np.ones(1)
    for size in range(2, n + 1):
        counts = np.convolve(counts, np.ones(size)) / size
    return np.asarray(counts[::-1].cumsum()[::-1])


def _halves(values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The halves (…, T − window + 1, window / 2) of every window."""
    windows = np.lib.stride_tricks.sliding_window_view(values, window, axis=-1)
    return windows[..., : window // 2], windows[..., window // 2 :]
