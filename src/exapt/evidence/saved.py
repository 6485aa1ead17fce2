"""Labels saved: how many labels the control needs to do what the pre-trained arm does with n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from exapt.errors import InputError
from exapt.evidence.amount import Amount, amount, expanded_tail, seed_draws
from exapt.evidence.forecast import BEYOND, PARAMETERS
from exapt.evidence.shape import curve_weights, errors_from, fit_power, isotonic, reach
from exapt.files import jsonable

RISING = 0.05
"""Level of the test that calls a learning curve ill-behaved."""
STABLE = 0.95
"""A budget enters the pooled multiplier when this share of resamples can answer it without censoring."""


@dataclass(frozen=True)
class Equivalent:
    """What n labels are worth to the control: n_eq labels, ρ = n_eq / n times as many, Δ = n_eq − n more."""

    labels: int
    worth: Amount
    worth_by_law: Amount | None
    """The same from power laws fitted to both arms; None with fewer than four budgets."""

    @property
    def multiplier(self) -> Amount:
        """ρ(n)."""
        return self.worth.scaled(1 / self.labels)

    @property
    def increment(self) -> Amount:
        """Δ(n)."""
        return self.worth.shifted(-self.labels)

    def plain(self) -> dict[str, Any]:
        """The fields with multiplier and increment."""
        return asdict(self) | {"multiplier": asdict(self.multiplier), "increment": asdict(self.increment)}


@dataclass(frozen=True)
class Pattern:
    """Whether pre-training multiplies labels (slope 1 of log n_eq on log n) or adds a constant number of them."""

    kind: str
    """multiplicative, additive, undecided, or neither."""
    slope: float
    low: float
    high: float
    additive_slope: float
    """The slope that the observed median increment would give were it constant."""


@dataclass(frozen=True)
class LabelsSaved:
    """The label equivalence of two arms."""

    equivalents: tuple[Equivalent, ...]
    multiplier: Amount | None
    """ρ pooled (geometric mean) over `pooled_over`, the budgets it can be read off at; None if there are none."""
    multiplier_by_law: Amount | None
    pooled_over: tuple[int, ...]
    headline: Equivalent | None
    """The middle one of those budgets; failing them, the most telling censored one."""
    pattern: Pattern | None
    law: dict[str, dict[str, float]]
    """error = a + b n^−c of each arm's mean curve."""
    rising: tuple[str, ...]
    """Arms whose error significantly rises somewhere between budgets: their curves are ill-behaved."""
    errors: str
    warnings: tuple[str, ...]

    def rising_notes(self) -> list[str]:
        """A sentence for each ill-behaved arm."""
        return [
            f"The {arm}'s error rises with labels somewhere: read its curve, not a fitted law." for arm in self.rising
        ]

    def plain(self) -> dict[str, Any]:
        """JSON-able data."""
        rows = [equivalent.plain() for equivalent in self.equivalents]
        headline = self.headline.plain() if self.headline else None
        return jsonable(asdict(self) | {"equivalents": rows, "headline": headline})


def labels_saved(
    budgets: Sequence[int] | np.ndarray,
    scratch: np.ndarray,
    pretrained: np.ndarray,
    *,
    confidence: float = 0.9,
    resamples: int = 2000,
    seed: int = 0,
    ceiling: float | None = None,
) -> LabelsSaved:
    """Label equivalence from scores (S, m) of two arms over the same S seeds and m rising budgets.

    n_eq(n) is where the control's curve meets the pre-trained arm's error at n. Beyond the control's best score the
    answer is 'at least', below its worst 'at most'; the isotonic curve is never extrapolated, the power law to twice
    the largest budget at most and with a warning. Intervals bootstrap whole seeds with `expanded_tail` percentiles.
    `ceiling` is the best possible score, found from the scores by default. Raises `InputError` for unequal shapes.
    """
    n = _checked(budgets, scratch, pretrained)
    errors = errors_from(scratch, pretrained, ceiling=ceiling)
    arms = errors(scratch), errors(pretrained)
    tail = expanded_tail(len(scratch), confidence)
    chosen = seed_draws(len(scratch), resamples, seed)
    samples = [np.concatenate([arm.mean(0)[None], arm[chosen].mean(1)]) for arm in arms]
    worth = reach(n, isotonic(samples[0]), isotonic(samples[1]))
    by_law, law, warnings = _by_law(n, arms, samples)
    rows = tuple(
        Equivalent(
            int(n[k]),
            amount(worth[0, k], worth[1:, k], n[0], n[-1], tail),
            None if by_law is None else amount(by_law[0, k], by_law[1:, k], n[0], BEYOND * n[-1], tail),
        )
        for k in range(len(n))
    )
    stable = _stable(worth)
    rising = tuple(name for name, arm in zip(("control", "treatment"), arms, strict=True) if _rises(arm))
    return LabelsSaved(
        equivalents=rows,
        multiplier=_pooled(worth, n, stable, n[-1], tail),
        multiplier_by_law=None if by_law is None else _pooled(by_law, n, stable, BEYOND * n[-1], tail),
        pooled_over=tuple(int(b) for b in n[stable]),
        headline=_headline(rows, stable),
        pattern=_pattern(worth, n, stable, tail),
        law=law,
        rising=rising,
        errors=errors.how,
        warnings=tuple(warnings),
    )


def _checked(budgets: Sequence[int] | np.ndarray, scratch: np.ndarray, pretrained: np.ndarray) -> np.ndarray:
    n = np.asarray(budgets, dtype=float)
    shapes = np.shape(scratch), np.shape(pretrained)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][1] != len(n):
        raise InputError(f"labels saved: scores of shape {shapes[0]} and {shapes[1]}; expected (seeds, {len(n)}) twice")
    if len(n) < 2 or shapes[0][0] < 2:
        raise InputError(f"labels saved: {len(n)} budgets, {shapes[0][0]} seeds; expected 2 or more of each")
    if not (np.diff(n) > 0).all() or n[0] < 1:
        raise InputError(f"labels saved: budgets {list(budgets)}; expected rising counts of labels, each once")
    return n


def _by_law(
    n: np.ndarray, arms: tuple[np.ndarray, np.ndarray], samples: list[np.ndarray]
) -> tuple[np.ndarray | None, dict[str, dict[str, float]], list[str]]:
    """n_eq (1 + resamples, m) from power laws, the laws of the mean curves, and what must be said of them."""
    if len(n) < PARAMETERS:
        return (
            None,
            {},
            [f"{len(n)} budgets are too few for a power law (4 or more): only the isotonic answer is given."],
        )
    laws = [fit_power(n, sample, curve_weights(arm)) for sample, arm in zip(samples, arms, strict=True)]
    worth = laws[0].reach(laws[1](n))
    worth = np.where(worth < n[0], 0.0, np.where(worth > BEYOND * n[-1], np.inf, worth))
    law = {
        name: {"a": float(fit.a[0]), "b": float(fit.b[0]), "c": float(fit.c[0])}
        for name, fit in zip(("control", "treatment"), laws, strict=True)
    }
    beyond = [f"{b:.0f}" for b, w in zip(n, worth[0], strict=True) if n[-1] < w < np.inf]
    said = f"The power law of the control was followed beyond its largest budget, {n[-1]:.0f}, for {', '.join(beyond)}."
    return worth, law, [said] if beyond else []


def _stable(worth: np.ndarray) -> np.ndarray:
    """(m,) budgets answered without censoring by the estimate and by nearly all resamples."""
    known = np.isfinite(worth) & (worth > 0)
    return known[0] & (known[1:].mean(0) >= STABLE)


def _pooled(worth: np.ndarray, n: np.ndarray, stable: np.ndarray, ceiling: float, tail: float) -> Amount | None:
    """The geometric mean of ρ over stable budgets; a censored draw counts as its bound."""
    if not stable.any():
        return None
    bounded = np.clip(worth[:, stable], n[0], ceiling)
    draws = np.exp(np.log(bounded / n[stable]).mean(1))
    return amount(draws[0], draws[1:], 0.0, np.inf, tail)


def _headline(rows: tuple[Equivalent, ...], stable: np.ndarray) -> Equivalent | None:
    chosen = [row for row, ok in zip(rows, stable, strict=True) if ok]
    chosen = chosen or [row for row in rows if not row.worth.bound]
    if chosen:
        return chosen[(len(chosen) - 1) // 2]
    beyond = [row for row in rows if row.worth.bound == "at least"]
    return beyond[0] if beyond else rows[-1]


def _pattern(worth: np.ndarray, n: np.ndarray, stable: np.ndarray, tail: float) -> Pattern | None:
    """Slope of log n_eq on log n over the stable budgets (three or more)."""
    if stable.sum() < 3:
        return None
    x = np.log(n[stable])
    slopes = _slope(x, np.log(np.clip(worth[:, stable], n[0], n[-1])))
    low, high = np.quantile(slopes[1:], [tail, 1 - tail])
    increment = np.median(worth[0, stable] - n[stable])
    additive = float(_slope(x, np.log(np.maximum(n[stable] + increment, 1e-9))))
    fits = {"multiplicative": low <= 1 <= high, "additive": low <= additive <= high}
    held = [kind for kind, fit in fits.items() if fit]
    kind = held[0] if len(held) == 1 else "undecided" if held else "neither"
    return Pattern(kind, float(slopes[0]), float(low), float(high), additive)


def _slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centred = x - x.mean()
    return (y * centred).sum(-1) / (centred**2).sum()


def _rises(errors: np.ndarray) -> bool:
    """Whether the error (S, m) rises between neighbouring budgets: one-sided paired t-tests with Bonferroni."""
    steps = np.diff(errors, axis=1)
    se = steps.std(axis=0, ddof=1) / np.sqrt(len(steps))
    limit = float(stats.t.ppf(1 - RISING / steps.shape[1], len(steps) - 1))
    return bool((steps.mean(0) > limit * se + 1e-12).any())
