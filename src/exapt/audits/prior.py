"""What the pre-trained start is worth, if it acts like the informative prior of theory; and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from exapt.audits.base import Audit, Subject, Trial
from exapt.evidence.curves import Curves
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.prior_law import PriorLaw, prior_law
from exapt.evidence.saved import LabelsSaved, labels_saved
from exapt.evidence.unit import count, times

LEVELS: dict[str, Level] = {"HELPS": "good", "HARMS": "bad"}
PLANTED = np.array([20, 40, 80, 160])
WORDS = {
    "additive": "A constant number of labels fits better than a constant factor",
    "multiplicative": "A constant factor fits better than a constant number of labels, so the number holds only near "
    "these budgets",
    "undecided": "Whether it adds a number of labels or multiplies them cannot be told",
}


class PriorAudit(Audit):
    """How many labels pre-training is worth by the theory of an informative prior, beside the labels measured."""

    asks: ClassVar[str] = "How many labels is the pre-trained start worth, as a prior?"
    kind: Literal["prior"] = "prior"
    treatment: str = "pretrained"
    """The arm whose start is judged."""
    control: str = "scratch"
    """The arm it is compared with."""

    def run(self, subject: Subject) -> Finding:
        """Judge the study's own curves; raises `InputError` without fits, or below 3 budgets or 3 seeds."""
        if not subject.fits:
            raise self.refuse("needs a study's fits; run `exapt run` first and give its folder")
        curves = Curves.of([fit for fit in subject.fits if fit["arm"] in (self.treatment, self.control)])
        scratch, treated = curves.of_arm(self.control), curves.of_arm(self.treatment)
        return law_finding(curves.budgets, scratch, treated)

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Curves drawn from the theory: a good start, one as far as scratch, a worse one; and curves that are flat."""
        cases = {
            "a start worth 45 labels": (60.0, 20.0, ("HELPS",), 0.85),
            "a start as far from the truth as scratch: nothing is claimed": (15.0, 20.0, ("UNDECIDED",), 0.8),
            "a start farther than scratch (D > D₀) hurts": (5.0, 20.0, ("HARMS",), 0.85),
            "flat curves: no worth is claimed": (15.0, 0.0, ("NOT IDENTIFIED", "UNDECIDED"), 0.9),
        }
        rng = np.random.default_rng(seed)
        return [_trial(what, *case, rng=rng) for what, case in cases.items()]


def law_finding(budgets: Sequence[int], scratch: np.ndarray, pretrained: np.ndarray) -> Finding:
    """The finding of scores (S, m) of two arms over rising budgets: `prior_law` beside `labels_saved`."""
    law, measured = prior_law(budgets, scratch, pretrained), labels_saved(budgets, scratch, pretrained)
    return Finding(
        name="prior",
        verdict=law.verdict,
        effect=law.worth,
        interval=(law.low, law.high),
        n=len(scratch),
        how=f"labels that the start is worth, Δn = k − k₀ of error = floor + v/(n + k) fitted to both mean curves over "
        f"{len(budgets)} budgets; 90 % jackknife t-interval over {len(scratch)} seeds",
        details=_details(law, measured),
        sentence=_sentence(law, measured),
        level=LEVELS.get(law.verdict, "unsure"),
        caveats=_caveats(law, measured),
        plots=[_curve_plot(law, scratch, pretrained), _worth_plot(law, measured)],
        listings=[_listing(law, measured)],
    )


def _sentence(law: PriorLaw, measured: LabelsSaved) -> str:
    seen = f"; measured without a law, {_measured(measured)}" if measured.headline else ""
    if law.doubts:
        return f"What the start is worth as a prior is not identified: {law.doubts[0]}{seen}."
    span = f"90 % interval {_signed(law.low)} to {_signed(law.high)}"
    what = {
        "HELPS": f"As a prior the pre-trained start is worth {count(law.worth)} labels ({span})",
        "HARMS": f"As a prior the pre-trained start hurts: it costs {count(-law.worth)} labels ({span})",
    }.get(law.verdict, f"As a prior the pre-trained start may be worth nothing: {_signed(law.worth)} labels ({span})")
    return f"{what}{seen}. {WORDS[law.better]}."


def _measured(saved: LabelsSaved) -> str:
    one = saved.headline
    assert one is not None
    bound = f"{one.worth.bound} " if one.worth.bound else ""
    return f"{count(one.labels)} labels do what {bound}{count(one.worth.value)} do from scratch"


def _signed(labels: float) -> str:
    return f"{'−' if labels < 0 else ''}{count(abs(labels))}"


def _details(law: PriorLaw, measured: LabelsSaved) -> dict[str, Any]:
    fit = law.additive
    return {
        "worth": law.worth,
        "doubts": law.doubts,
        "floor": fit.floor[0],
        "v": fit.slope[0],
        "labels of the scratch start": fit.scratch[0],
        "labels of the pre-trained start": fit.other[0],
        "multiplier": {"value": law.ratio, "low": law.ratio_low, "high": law.ratio_high},
        "additive fits better": law.additive_better,
        "better": law.better,
        "root mean square residual": {
            "additive": law.additive.loss[0] ** 0.5,
            "multiplicative": law.multiplicative.loss[0] ** 0.5,
        },
        "measured": measured.plain(),
    }


def _caveats(law: PriorLaw, measured: LabelsSaved) -> list[str]:
    said = [
        "The law is that of the squared error of a linear model with its best penalty; a network's error need not "
        "follow it. The figure shows how far it does.",
        "All seeds share one test part, and one checkpoint unless the study trained several.",
    ]
    off = law.additive.loss[0] ** 0.5
    said.append(f"The fitted curves miss the measured means by {off:.2g} in error (root mean square).")
    return [*said, *measured.rising_notes(), *(f"Not identified: {doubt}." for doubt in law.doubts)]


def _curve_plot(law: PriorLaw, scratch: np.ndarray, pretrained: np.ndarray) -> Plot:
    fine = np.geomspace(law.budgets[0], law.budgets[-1], 60)
    drawn = []
    for name, scores, curve in zip(
        ("scratch", "pre-trained"), (scratch, pretrained), law.additive.curves(fine), strict=True
    ):
        error = law.ceiling - scores
        se = error.std(0, ddof=1) / np.sqrt(len(error))
        mean = error.mean(0)
        drawn.append(
            Series(
                f"{name}, measured",
                law.budgets.tolist(),
                mean.tolist(),
                (mean - se).tolist(),
                (mean + se).tolist(),
                "points",
            )
        )
        drawn.append(Series(f"{name}, prior's law", fine.tolist(), curve[0].tolist()))
    return Plot(
        f"Mean error over {len(scratch)} seeds with its standard error (bars), and the law floor + v/(n + k) fitted to "
        "both at once (lines).",
        "labels",
        "error",
        drawn,
        log_x=True,
    )


def _worth_plot(law: PriorLaw, measured: LabelsSaved) -> Plot:
    n = law.budgets
    rows = [row for row in measured.equivalents if not row.worth.bound]
    gains = [row.increment for row in rows]
    flat = Series("by the prior's law", n.tolist(), [law.worth] * len(n), [law.low] * len(n), [law.high] * len(n))
    times_as_many = Series("by a constant factor", n.tolist(), ((law.ratio - 1) * n).tolist(), style="dashed")
    seen = Series(
        "measured",
        [row.labels for row in rows],
        [g.value for g in gains],
        [g.low for g in gains],
        [g.high for g in gains],
        "points",
    )
    return Plot(
        "Labels that pre-training is worth at each budget: measured on the isotonic curves (90 % intervals; budgets "
        "with only a bound are left out), and by both laws.",
        "labels with pre-training",
        "labels more from scratch",
        [flat, times_as_many, seen],
        log_x=True,
    )


def _listing(law: PriorLaw, measured: LabelsSaved) -> Listing:
    rows = []
    for row in measured.equivalents:
        gain = row.increment
        bound = f"{row.worth.bound} " if row.worth.bound else ""
        span = f"{_signed(gain.low)} to {'at least ' if gain.high_bound else ''}{_signed(gain.high)}"
        rows.append([count(row.labels), f"{bound}{_signed(gain.value)}", span, law.worth, (law.ratio - 1) * row.labels])
    head = ["labels", "measured Δn", "90 % interval", "prior's law", f"constant factor {times(law.ratio)}"]
    return Listing("Labels that pre-training is worth, measured and by each law", head, rows)


def _trial(
    what: str,
    labels: float,
    slope: float,
    wanted: tuple[str, ...],
    least: float,
    *,
    rng: np.random.Generator,
    runs: int = 20,
) -> Trial:
    """Five seeds with error 0.05 + v/(n + k), k₀ = 15, and one point of noise within a seed and one of its own."""
    right, found = 0, []
    for _ in range(runs):
        shared = rng.normal(0, 0.01, (5, 1))
        arms = [0.95 - slope / (PLANTED + k) + shared + rng.normal(0, 0.01, (5, len(PLANTED))) for k in (15.0, labels)]
        law = prior_law(PLANTED, *arms, resamples=50)
        right += law.verdict in wanted
        found.append(law.worth)
    return Trial(what, wanted, right, runs, least, {"Δn, median": float(np.median(found)), "planted": labels - 15})


__all__: list[Any] = ["PriorAudit", "law_finding"]
