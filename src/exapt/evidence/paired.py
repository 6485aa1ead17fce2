"""Paired comparison of two arms over seeds: interval, verdict, exact p, and the seeds it would take to settle it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.power import seeds_needed
from exapt.evidence.signflip import SignFlip, sign_flip
from exapt.evidence.verdict import Ruling, Verdict, judge
from exapt.files import jsonable

CLAIM = 0.75
"""γ of Bouthillier et al. 2021: the least probability of superiority worth a claim."""


@dataclass(frozen=True)
class Superiority:
    """P(treatment > control) on a fresh pair, ties counting half, with its exact interval."""

    estimate: float
    low: float
    high: float

    @property
    def claim(self) -> bool:
        """Bouthillier et al. 2021: claim only if the interval is above one half and the estimate at least γ."""
        return self.low > 0.5 and self.estimate >= CLAIM


@dataclass(frozen=True)
class Comparison:
    """Treatment minus control, in the score's own units; higher is better."""

    verdict: Verdict
    also: tuple[Verdict, ...]
    material: bool
    mean: float
    low: float
    high: float
    sd: float
    n: int
    margin: float
    confidence: float
    p_signflip: float
    """Exact, one-sided, in the direction observed: the companion of the interval's two one-sided tests."""
    p_two_sided: float
    p_greater: float
    p_less: float
    p_least: float
    """The smallest one-sided p that n seeds can give at all."""
    t_greater: float
    """One-sided p of the paired t-test that the interval inverts, for a gain …"""
    t_less: float
    """… and for a loss; Holm's correction over many comparisons uses these."""
    bca: tuple[float, float] | None
    superiority: Superiority
    seeds_needed: int | None
    """Total seeds for 80 % power to settle it; None when it is settled, or when 10,000 would not do."""
    note: str

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        return jsonable(asdict(self) | {"superiority": asdict(self.superiority) | {"claim": self.superiority.claim}})


def compare(
    differences: Sequence[float] | np.ndarray,
    margin: float = 0.01,
    confidence: float = 0.9,
    *,
    test_to_train: float | None = None,
    resamples: int = 1999,
    seed: int = 0,
) -> Comparison:
    """Judge paired differences (n,), one a seed, by their two-sided t-interval against a margin set beforehand.

    `test_to_train` is for cross-validation folds, which share training examples: n_test / n_train of one fold widens
    the interval by Nadeau & Bengio's (2003) correction. `resamples=0` leaves out the bootstrap interval.
    Raises `InputError` for fewer than two seeds, a NaN, or a margin or confidence that makes no sense.
    """
    d = _checked(differences, margin, confidence)
    flips = sign_flip(d, seed)
    mean, sd = float(d.mean()), float(d.std(ddof=1))
    constant = bool(np.ptp(d) <= 1e-12 * max(1.0, float(np.abs(d).max())))
    scale = np.sqrt(1 / len(d) + (test_to_train or 0.0))
    half = 0.0 if constant else float(stats.t.ppf((1 + confidence) / 2, len(d) - 1)) * sd * scale
    low, high = mean - half, mean + half
    ruling = judge(low, high, margin)
    if constant:
        ruling = _judge_constant(mean, margin, flips, (1 - confidence) / 2)
    t_greater, t_less = (flips.greater, flips.less) if constant else _t_tails(mean / (sd * scale), len(d))
    return Comparison(
        verdict=ruling.verdict,
        also=ruling.also,
        material=ruling.material,
        mean=mean,
        low=low,
        high=high,
        sd=0.0 if constant else sd,
        n=len(d),
        margin=margin,
        confidence=confidence,
        p_signflip=flips.greater if mean >= 0 else flips.less,
        p_two_sided=flips.two_sided,
        p_greater=flips.greater,
        p_less=flips.less,
        p_least=flips.least,
        t_greater=t_greater,
        t_less=t_less,
        bca=bootstrap(d, confidence, resamples, seed) if resamples else None,
        superiority=superiority(d, confidence),
        seeds_needed=_wanted(ruling.verdict, d, constant, margin, confidence),
        note=_note(d, constant, flips, ruling.verdict, confidence, test_to_train),
    )


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down adjusted p-values, in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def superiority(differences: np.ndarray, confidence: float = 0.9) -> Superiority:
    """P(d > 0) + ½ P(d = 0) with the Clopper–Pearson interval (ties enter as half a win)."""
    d = np.asarray(differences, dtype=float)
    n, wins = len(d), float(np.sum(d > 0) + 0.5 * np.sum(d == 0))
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, wins, n - wins + 1) if wins > 0 else 0.0
    high = stats.beta.ppf(1 - tail, wins + 1, n - wins) if wins < n else 1.0
    return Superiority(wins / n, float(low), float(high))


def bootstrap(values: np.ndarray, confidence: float = 0.9, resamples: int = 1999, seed: int = 0) -> tuple[float, float]:
    """BCa interval (Efron 1987) of the mean; the percentile interval where BCa is undefined."""
    d = np.asarray(values, dtype=float)
    if np.ptp(d) == 0:
        return float(d[0]), float(d[0])
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                (d,),
                np.mean,
                confidence_level=confidence,
                n_resamples=resamples,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite(found.low) and np.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def seeds_allow(n: int, level: float = 0.05) -> str:
    """What n seeds can and cannot show, in a sentence; empty where there is nothing to warn of."""
    if n < 2:
        return f"{n} seed gives no interval and so no verdict; 2 seeds are the least, 5 let the exact test reject"
    if 0.5**n <= level:
        return ""
    return (
        f"With {n} seeds the exact sign-flip test can never reject at {level:.0%}".replace("%", " %")
        + f" (its smallest one-sided p is {0.5**n:.3g}); 5 seeds or more can."
    )


def _checked(differences: Sequence[float] | np.ndarray, margin: float, confidence: float) -> np.ndarray:
    d = np.asarray(differences, dtype=float)
    if d.ndim != 1:
        raise InputError(f"differences: shape {d.shape}; expected one paired difference a seed, shape (n,)")
    if len(d) < 2:
        raise InputError(f"differences: {seeds_allow(len(d))}")
    if not np.isfinite(d).all():
        place = int(np.argmin(np.isfinite(d)))
        raise InputError(f"differences[{place}] is {d[place]}; a diverged fit is kept at the score of chance, not NaN")
    if not margin >= 0:
        raise InputError(f"margin: {margin}; expected 0 or more, in the units of the score")
    if not 0 < confidence < 1:
        raise InputError(f"confidence: {confidence}; expected between 0 and 1, such as 0.9")
    return d


def _judge_constant(mean: float, margin: float, flips: SignFlip, level: float) -> Ruling:
    """Differences that are all alike have no t-interval: a direction then needs the exact test to reject.

    That nothing matters needs as many seeds as the exact test would: two alike may well be chance, or both failed.
    """
    ruling = judge(mean, mean, margin)
    if flips.least > level:
        return Ruling(Verdict.INCONCLUSIVE)
    if min(flips.greater, flips.less) <= level or ruling.verdict not in (Verdict.HELPS, Verdict.HARMS):
        return ruling
    return Ruling(next(iter(ruling.also), Verdict.NON_INFERIOR if mean > -margin else Verdict.INCONCLUSIVE))


def _t_tails(t: float, n: int) -> tuple[float, float]:
    return float(stats.t.sf(t, n - 1)), float(stats.t.cdf(t, n - 1))


def _wanted(verdict: Verdict, d: np.ndarray, constant: bool, margin: float, confidence: float) -> int | None:
    if verdict.conclusive:
        return None
    if constant:
        return int(np.ceil(-np.log2((1 - confidence) / 2)))
    found = seeds_needed(float(d.mean()), float(d.std(ddof=1)), margin, confidence)
    return None if found is None else max(found, len(d) + 1)


def _note(
    d: np.ndarray, constant: bool, flips: SignFlip, verdict: Verdict, confidence: float, test_to_train: float | None
) -> str:
    level, parts = (1 - confidence) / 2, []
    p = {Verdict.HELPS: flips.greater, Verdict.HARMS: flips.less}.get(verdict, 0.0)
    if constant:
        alike = "the scores are identical" if abs(d[0]) < 1e-12 else "the differences are all the same"
        parts.append(f"{alike[0].upper()}{alike[1:]} in all {len(d)} seeds, so no t-interval exists.")
    if flips.least > level:
        parts.append(seeds_allow(len(d), level))
    elif p > level:
        parts.append(
            f"The exact sign-flip test alone does not reject (p = {p:.2g}): the verdict rests on the t-interval."
        )
    if test_to_train:
        parts.append("Folds share training examples: the interval is corrected for it, the exact p is not.")
    return " ".join(parts)
