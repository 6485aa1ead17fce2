"""How many labels a start is worth on a real linear problem: its own precision against that of starting from zero.

With penalty λ and covariance eigenvalues cᵢ of the features the expected error of n labels is
R(n; λ) = σ² Σ cᵢ/(n cᵢ + λ), the mean posterior variance of a prediction. A start is worth the Δn labels that make
scratch as good as it is: R(n + Δn; λ₀) = R(n; λ). Where all cᵢ are equal this is pσ²(1/D² − 1/D₀²), at every n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from exapt.evidence.prior_evidence import Chosen, choose_by_evidence, project
from exapt.evidence.unit import count

FARTHEST = 1e6
"""Times the labels there are; a start worth more than that is said to be worth at least that."""


@dataclass(frozen=True)
class StartWorth:
    """What a start is worth against starting from zero."""

    labels: float
    """Δn at the n labels there are; ±infinity where the data only bound it."""
    low: float
    high: float
    """The 90 % interval."""
    n: int
    start: Chosen
    scratch: Chosen

    @property
    def told(self) -> bool:
        """Whether the data settle that the start helps or hurts."""
        return self.low > 0 or self.high < 0

    @property
    def sentence(self) -> str:
        """The outcome in plain words; a refusal where it cannot be told."""
        span = f"90 % interval {_said(self.low)} to {_said(self.high)}"
        if not self.told:
            return f"What this start is worth cannot be told from {self.n} labels ({span})."
        if self.high < 0:
            return f"This start hurts: it costs about {_said(-self.labels)} labels ({span}, from {self.n} labels)."
        if np.isinf(self.labels):
            return f"This start is worth at least {_said(self.low)} labels (5 % level, from {self.n} labels)."
        return f"This start is worth about {_said(self.labels)} labels ({span}, from {self.n} labels)."


def worth_of_start(
    features: np.ndarray,
    targets: np.ndarray,
    start: np.ndarray,
    *,
    unlabelled: np.ndarray | None = None,
    intercept: bool = True,
    confidence: float = 0.9,
) -> StartWorth:
    """What a start w0 (p,) is worth for targets (n,) on features (n, p), against w0 = 0.

    `unlabelled` features (N, p) tell their covariance better than the labelled ones can where n is near p; `intercept`
    takes the means out first. The interval joins the profile-likelihood intervals of both penalties (MOVER: Zou and
    Donner 2008). Raises `InputError` for shapes that do not fit, and for fewer than 8 labels.
    """
    x, y = np.asarray(features, dtype=float), np.asarray(targets, dtype=float)
    if intercept:
        x, y = x - x.mean(0), y - y.mean()
    ours = choose_by_evidence(project(x, y, start), confidence)
    zero = choose_by_evidence(project(x, y), confidence)
    spectrum = _covariance(x if unlabelled is None else np.asarray(unlabelled, dtype=float))
    n = len(y)

    def labels(penalty: float, other: float) -> float:
        return equivalent_labels(spectrum, n, penalty, other)

    middle = labels(ours.penalty, zero.penalty)
    least, most = labels(ours.low, zero.high), labels(ours.high, zero.low)
    if np.isfinite(middle):
        least = max(least, _end(middle, labels(ours.low, zero.penalty), labels(ours.penalty, zero.high), -1))
        most = min(most, _end(middle, labels(ours.high, zero.penalty), labels(ours.penalty, zero.low), 1))
    low, high = min(least, middle), max(most, middle)
    return StartWorth(middle, low, high, n, ours, zero)


def equivalent_labels(spectrum: np.ndarray, n: float, penalty: float, other: float) -> float:
    """Δn with R(n + Δn; other) = R(n; penalty); where the start is the worse one, minus what scratch is worth to it."""
    if penalty == other:
        return 0.0
    if penalty < other:
        return -equivalent_labels(spectrum, n, other, penalty)
    if np.isinf(penalty) or other == 0:
        return np.inf
    wanted = _risk(spectrum, n, penalty)
    if _risk(spectrum, FARTHEST * n, other) > wanted:
        return np.inf
    return float(optimize.brentq(lambda m: _risk(spectrum, m, other) - wanted, n, FARTHEST * n)) - n


def _risk(spectrum: np.ndarray, n: float, penalty: float) -> float:
    return float((spectrum / (n * spectrum + penalty)).sum())


def _covariance(features: np.ndarray) -> np.ndarray:
    """Eigenvalues of the covariance of centred features; those that vanish left out."""
    found = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2 / max(len(features) - 1, 1)
    return found[found > 1e-12 * found[0]]


def _end(middle: float, one: float, two: float, side: int) -> float:
    """An end of the interval from how far each penalty's own end moves the estimate."""
    return middle + side * float(np.hypot(one - middle, two - middle))


def _said(labels: float) -> str:
    if np.isinf(labels):
        return "no upper bound" if labels > 0 else "no lower bound"
    return f"{'−' if labels < 0 else ''}{count(abs(labels))}"
