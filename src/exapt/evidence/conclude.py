"""From learning curves to a verdict: paired comparisons of the arms, labels saved, and the sentence that says it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exapt.evidence import sentences
from exapt.evidence.bands import Band, band
from exapt.evidence.curves import Curves
from exapt.evidence.finding import Finding
from exapt.evidence.forecast import Forecast, forecast
from exapt.evidence.paired import Comparison, compare, seeds_allow
from exapt.evidence.pairs import Pair, compare_pairs
from exapt.evidence.saved import LabelsSaved, labels_saved
from exapt.evidence.unit import Unit
from exapt.evidence.verdict import Verdict
from exapt.evidence.versus import AtBudget, Versus, versus
from exapt.files import jsonable

__all__ = ["AtBudget", "Conclusion", "Versus", "conclude", "versus"]

UNTRAINED = ("classical", "random-frozen")
"""Arms that know nothing of the corpus: pre-training that loses to one of them must say so."""
MIXED = ("stack", "stacked")
"""Arms that hold a baseline beside the pre-trained features: never the pre-trained arm a baseline is held against."""


@dataclass(frozen=True)
class Conclusion:
    """What a study's curves show. `sentence` is the report's first."""

    sentence: str
    main: Versus
    with_control: dict[str, Versus]
    """Every other arm against the control …"""
    with_treatment: dict[str, Versus]
    """… and the treatment against every other arm."""
    difference: Band
    saved: LabelsSaved | None
    needs: Forecast | None
    without_failures: Comparison | None
    """The main comparison without seeds in which a fit of the two arms failed; None if none did or too few are left."""
    curves: Curves
    unit: Unit
    notes: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()
    """Other arms against each other, as asked for."""

    @property
    def verdict(self) -> Verdict:
        """The main comparison's."""
        return self.main.overall.verdict

    @property
    def overall(self) -> Comparison:
        """The main comparison, on the mean over budgets."""
        return self.main.overall

    def plain(self) -> dict[str, Any]:
        """JSON-able data: the report's `verdict`."""
        return jsonable(
            {
                "sentence": self.sentence,
                "verdict": self.verdict,
                "treatment": self.main.arm,
                "control": self.main.against,
                "unit": asdict(self.unit),
                "main": self.main.plain(),
                "with_control": {k: v.plain() for k, v in self.with_control.items()},
                "with_treatment": {k: v.plain() for k, v in self.with_treatment.items()},
                "difference": asdict(self.difference),
                "labels_saved": self.saved.plain() if self.saved else None,
                "forecast": asdict(self.needs) if self.needs else None,
                "failures": [asdict(failure) for failure in self.curves.failures],
                "without_failures": self.without_failures.plain() if self.without_failures else None,
                "notes": self.notes,
                "pairs": [pair.plain() for pair in self.pairs],
            }
        )

    def finding(self) -> Finding:
        """The same as one `Finding`, beside the audits'."""
        overall = self.main.overall
        how = sentences.how(overall, self.unit, len(self.curves.budgets))
        interval = (overall.low, overall.high)
        return Finding("transfer", overall.verdict, overall.mean, interval, overall.n, how, self.main.plain())


def conclude(
    curves: Curves,
    treatment: str = "pretrained",
    control: str = "scratch",
    margin: float = 0.01,
    metric: str = "accuracy",
    *,
    confidence: float = 0.9,
    points: bool | None = None,
    target: float | None = None,
    ceiling: float | None = None,
    condition: str | None = None,
    baselines: tuple[str, ...] = UNTRAINED,
    resamples: int = 2000,
    pairs: Sequence[tuple[str, str]] = (),
    unlike: Collection[tuple[str, str]] = (),
) -> Conclusion:
    """Judge a treatment arm against its control on paired learning curves.

    The verdict rests on each seed's difference averaged over the budgets; each budget has its own, with Holm's
    correction. `margin` is in the metric's raw units (0.01 is one point of accuracy) and is set before looking.
    `target` is the score the forecast asks labels for (default the control's best mean); `condition` is a sentence on
    what the verdict is conditional on, such as one single checkpoint. `pairs` are other arms to compare, each minus the
    other, with Holm's correction over them; `unlike` those of them that were not adapted alike. Raises `InputError` for
    arms that are not there.
    """
    pair = curves.of_arm(treatment), curves.of_arm(control)
    unit = Unit.of(metric, np.concatenate([np.ravel(s) for s in curves.scores.values()]), points)
    others = [name for name in curves.scores if name not in (treatment, control)]
    main = versus(curves, treatment, control, margin, confidence, bootstrap=True)
    with_control = {name: versus(curves, name, control, margin, confidence) for name in others}
    with_treatment = {name: versus(curves, treatment, name, margin, confidence) for name in others}
    budgets = np.array(curves.budgets)
    several = len(budgets) > 1
    settings: dict[str, Any] = {"confidence": confidence, "resamples": resamples, "ceiling": ceiling}
    saved = labels_saved(budgets, pair[1], pair[0], **settings) if several else None
    needs = forecast(budgets, curves.scores, control, target, **settings) if several else None
    rivals = _rivals(curves, treatment, control, baselines, margin=margin, confidence=confidence)
    return Conclusion(
        sentence=sentences.headline(main, unit, curves.budgets, saved=saved, rivals=rivals, what=curves.what),
        main=main,
        with_control=with_control,
        with_treatment=with_treatment,
        difference=band(pair[0] - pair[1], confidence),
        saved=saved,
        needs=needs,
        without_failures=_without_failures(curves, treatment, control, margin, confidence),
        curves=curves,
        unit=unit,
        notes=_notes(curves, main, saved, needs, condition),
        pairs=compare_pairs(curves, pairs, unit, margin, confidence, unlike),
    )


def _rivals(
    curves: Curves, treatment: str, control: str, baselines: tuple[str, ...], *, margin: float, confidence: float
) -> list[Versus]:
    """Each baseline against the best purely pre-trained arm (the highest mean over budgets)."""
    aside = {control, *baselines, *MIXED} - {treatment}
    trained = [name for name in curves.scores if name not in aside]
    best = max(trained, key=lambda name: float(curves.scores[name].mean()))
    present = [name for name in baselines if name in curves.scores and name not in (treatment, control)]
    return [versus(curves, name, best, margin, confidence) for name in present]


def _without_failures(
    curves: Curves, treatment: str, control: str, margin: float, confidence: float
) -> Comparison | None:
    failed = {f.seed for f in curves.failures if f.arm in (treatment, control)}
    kept = [i for i, seed in enumerate(curves.seeds) if seed not in failed]
    if not failed or len(kept) < 2:
        return None
    d = (curves.scores[treatment] - curves.scores[control])[kept].mean(axis=1)
    return compare(d, margin, confidence)


def _notes(
    curves: Curves, main: Versus, saved: LabelsSaved | None, needs: Forecast | None, condition: str | None
) -> tuple[str, ...]:
    notes = [condition, main.overall.note or seeds_allow(len(curves.seeds))]
    if curves.failures:
        arms = ", ".join(dict.fromkeys(f.arm for f in curves.failures))
        n = len(curves.failures)
        kept = f"{n} fits that diverged ({arms}) are" if n > 1 else f"1 fit that diverged ({arms}) is"
        notes.append(f"{kept} kept at the score of chance and counted.")
    if saved is None:
        notes.append("One budget alone gives no learning curve: labels saved and the forecast need two or more.")
    notes += [*(saved.rising_notes() if saved else ()), *(needs.warnings if needs else ())]
    return tuple(note for note in notes if note)
