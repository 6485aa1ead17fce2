"""How strong the task's signal is in frozen features, and whether it predicts a linear probe's learning curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt

from exapt.adaptation.fitted import Start
from exapt.adaptation.probe import fit_probes
from exapt.audits.base import Audit, Subject, Trial
from exapt.evidence.finding import Finding, Level, Listing, Plot, Series
from exapt.evidence.strength import (
    Gaussians,
    Strength,
    calibrate,
    fit_gaussians,
    held_out_accuracy,
    held_out_scores,
    labels_to_reach,
    predicted_accuracy,
    strength,
)
from exapt.evidence.unit import count
from exapt.tasks.classify import ClassifyTask
from exapt.tasks.splits import draw_budget

ARMS = {"pre-trained": "frozen", "random": "random-frozen"}
"""The representations, and the study's arms that probe them."""
LEVELS: dict[str, Level] = {"STRONGER": "good", "WEAKER": "bad"}


@dataclass(frozen=True)
class Measured:
    """One representation: its strength, its predicted curve and its measured one; (m,) over budgets."""

    strength: Strength
    model: Gaussians
    predicted: np.ndarray
    accuracy: np.ndarray
    """(S, m) shares of right test answers."""

    @property
    def off(self) -> float:
        """Mean absolute difference of prediction and measurement."""
        return float(np.abs(self.predicted - self.accuracy.mean(0)).mean())


class SignalAudit(Audit):
    """The strength a/σ of the classes in frozen features, pre-trained and random, and the probe's curve it predicts."""

    asks: ClassVar[str] = "How strong is the task's signal in the frozen features, and how many labels does it need?"
    kind: Literal["signal"] = "signal"
    target: float | None = Field(default=None, gt=0, lt=1)
    """The accuracy to count labels for; None: what the random network's probe is predicted to reach with the largest
    budget."""
    examples: PositiveInt = 2000
    """At most so many labelled examples of the pool are looked at."""
    seed: int = 0
    """Of the folds, the resampling and the prediction."""

    def run(self, subject: Subject) -> Finding:
        """Compare both representations; raises `InputError` unless the task is one class an example, 20 of each."""
        if not isinstance(subject.task, ClassifyTask):
            raise self.refuse("needs a task of one class an example (task.kind classify with one label column)")
        found = {name: self._measure(subject, name) for name in ARMS}
        return signal_finding(found, np.array(subject.budgets), self.target, self.seed)

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Normal features of known a/σ: recovered, stronger than a weaker twin, and nothing claimed of two equals."""
        rng = np.random.default_rng(seed)
        return [
            _trial("a/σ = 1.5 beside 0.8", 1.5, 0.8, ("STRONGER",), 0.9, rng),
            _trial("a/σ = 0.8 beside 1.5", 0.8, 1.5, ("WEAKER",), 0.9, rng),
            _trial("the same a/σ twice: no difference is claimed", 1.2, 1.2, ("UNDECIDED",), 0.75, rng),
            *_prediction_trials(rng),
        ]

    def _measure(self, subject: Subject, name: str) -> Measured:
        network = subject.start.backbone if name == "pre-trained" else subject.fresh(0)
        start = Start(subject.domain, network)
        rng = np.random.default_rng(self.seed)
        pool = subject.pool[subject.task.labelled(subject.labelled)[subject.pool]]
        chosen = subject.labelled.subset(np.sort(rng.permutation(pool)[: self.examples]))
        features = subject.probe.features(start, subject.task, chosen)
        classes = np.unique(subject.task.truth(chosen), return_inverse=True)[1]
        held_out = held_out_scores(features, classes, seed=self.seed)
        accuracy = held_out_accuracy(features, classes, seed=self.seed)
        model = calibrate(fit_gaussians(features, classes), accuracy, 4 * len(classes) // 5, self.seed)
        predicted = np.array([predicted_accuracy(model, m, rng) for m in subject.budgets])
        return Measured(
            strength(held_out, classes, seed=self.seed), model, predicted, measured_accuracy(subject, name, start)
        )


def measured_accuracy(subject: Subject, name: str, start: Start) -> np.ndarray:
    """(S, m) shares of right test answers: of the study's own fits of this arm, or of probes fitted now."""
    fits = {(f["seed"], f["budget"]): f for f in subject.fits if f["arm"] == ARMS[name]}
    cells = [(s, b) for s in range(subject.seeds) for b in subject.budgets]
    if subject.items is not None and all(cell in fits for cell in cells):
        right = [float(np.nanmean(subject.items(fits[cell]))) for cell in cells]
    else:
        right = _probed(subject, start, cells)
    return np.array(right).reshape(subject.seeds, len(subject.budgets))


def _probed(subject: Subject, start: Start, cells: list[tuple[int, int]]) -> list[float]:
    data, task = subject.labelled, subject.task
    drawn = [draw_budget(data, task, subject.pool, budget, seed, 0.2) for seed, budget in cells]
    probes = fit_probes(subject.probe, start, task, [(data.subset(t), data.subset(v)) for t, v in drawn])
    test = data.subset(subject.test)
    return [float(np.nanmean(task.item_scores(p.predict(test), task.truth(test)))) for p in probes]


def signal_finding(found: dict[str, Measured], budgets: np.ndarray, target: float | None, seed: int = 0) -> Finding:
    """The finding of two representations, the pre-trained one first."""
    ours, other = found.values()
    difference = ours.strength.value - other.strength.value
    low, high = np.quantile(ours.strength.draws - other.strength.draws, [0.05, 0.95])
    verdict = "STRONGER" if low > 0 else "WEAKER" if high < 0 else "UNDECIDED"
    goal = float(other.predicted[-1]) if target is None else target
    rng = np.random.default_rng([seed, 2])
    needs = {name: labels_to_reach(one.model, goal, int(10 * budgets[-1]), rng) for name, one in found.items()}
    off = {name: one.off for name, one in found.items()}
    return Finding(
        name="signal",
        verdict=verdict,
        effect=difference,
        interval=(float(low), float(high)),
        n=len(ours.strength.draws),
        how="a/σ of each class against the rest along cross-fitted linear discriminants, mean over classes, "
        "pre-trained minus random features; 90 % interval from resampled examples, directions as they are",
        details={
            "strength": {name: vars(one.strength) | {"draws": None} for name, one in found.items()},
            "off by": off,
            "target": goal,
            "labels to reach it": needs,
        },
        sentence=_sentence(found, (difference, float(low), float(high)), goal, needs, int(budgets[-1])),
        level=LEVELS.get(verdict, "unsure"),
        caveats=_caveats(off),
        plots=[_plot(found, budgets)],
        listings=[_listing(found, budgets)],
    )


def _sentence(
    found: dict[str, Measured],
    gap: tuple[float, float, float],
    goal: float,
    needs: dict[str, int | None],
    largest: int,
) -> str:
    ours, other = found.values()
    needed = [f"about {count(m)}" if m else f"more than {count(10 * largest)}" for m in needs.values()]
    return (
        f"The classes stand a/σ = {ours.strength.value:.2f} from the rest in the pre-trained features and "
        f"{other.strength.value:.2f} in random ones (difference {gap[0]:+.2f}, "
        f"90 % interval {gap[1]:.2f} to {gap[2]:.2f}), with all labels of the pool. "
        f"To be right {100 * goal:.0f} % of the time a well-chosen linear probe should need {needed[0]} labels on the "
        f"one and {needed[1]} on the other; predicted accuracy was off by {100 * ours.off:.1f} and "
        f"{100 * other.off:.1f} points."
    ).replace("-0", "−0")


def _caveats(off: dict[str, float]) -> list[str]:
    worst = 100 * max(off.values())
    return [
        "Prediction takes the classes for normal clouds of one shape and the probe's penalty for the best; with few "
        "labels the penalty is chosen badly and the probe does worse. Here it was off by up to "
        f"{worst:.1f} points on average.",
        "a/σ is the limit of many labels: a representation may be weaker there and still need fewer labels at first, "
        "where its signal lies in few directions.",
        "a/σ is what a linear rule sees; fine-tuning may use more. One checkpoint and one random network are compared.",
    ]


def _plot(found: dict[str, Measured], budgets: np.ndarray) -> Plot:
    series, x = [], budgets.tolist()
    for name, one in found.items():
        mean = one.accuracy.mean(0)
        se = one.accuracy.std(0, ddof=1) / np.sqrt(len(one.accuracy)) if len(one.accuracy) > 1 else 0 * mean
        series.append(Series(f"{name}, predicted", x, one.predicted.tolist()))
        series.append(
            Series(f"{name}, measured", x, mean.tolist(), (mean - se).tolist(), (mean + se).tolist(), "points")
        )
    seeds = len(next(iter(found.values())).accuracy)
    return Plot(
        f"Accuracy of a linear probe on frozen features: predicted from the strength of the signal, and measured (mean "
        f"of {seeds} seeds, bars are standard errors).",
        "labels",
        "share of right test answers",
        series,
        log_x=True,
    )


def _listing(found: dict[str, Measured], budgets: np.ndarray) -> Listing:
    head = ["labels", *(f"{name}, {what}" for name in found for what in ("predicted", "measured"))]
    columns = [column for one in found.values() for column in (one.predicted, one.accuracy.mean(0))]
    rows = [[count(b), *(float(c[i]) for c in columns)] for i, b in enumerate(budgets)]
    return Listing("Predicted and measured accuracy", head, rows)


def planted(ratio: float, n: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, width) of two classes a/σ = `ratio` apart from their midpoint, variances falling like 1/i."""
    spread = 1 / np.sqrt(np.arange(1, width + 1.0))
    direction = rng.standard_normal(width)
    classes = rng.permutation(np.arange(n) % 2)
    means = np.outer(2.0 * classes - 1, ratio * direction / np.linalg.norm(direction))
    return (means + rng.standard_normal((n, width))) * spread, classes


def _trial(
    what: str,
    one: float,
    two: float,
    wanted: tuple[str, ...],
    least: float,
    rng: np.random.Generator,
    *,
    runs: int = 12,
) -> Trial:
    right, seen = 0, []
    for _ in range(runs):
        draws = []
        for ratio in (one, two):
            x, y = planted(ratio, 600, 16, rng)
            draws.append(strength(held_out_scores(x, y), y, resamples=200, seed=int(rng.integers(2**31))))
        low, high = np.quantile(draws[0].draws - draws[1].draws, [0.05, 0.95])
        right += ("STRONGER" if low > 0 else "WEAKER" if high < 0 else "UNDECIDED") in wanted
        seen.append(draws[0].value)
    return Trial(what, wanted, right, runs, least, {"a/σ, mean": float(np.mean(seen)), "planted": one})


def _prediction_trials(rng: np.random.Generator, runs: int = 6) -> list[Trial]:
    """Whether the prediction for 100 labels lies within 3 points of probes fitted to as many."""
    import torch

    from exapt.adaptation.linear import probe_many

    right, gaps = 0, []
    for _ in range(runs):
        x, y = planted(1.2, 2600, 16, rng)
        tests = slice(600, None)
        rows = [rng.permutation(600)[:100] for _ in range(8)]
        probes = probe_many(x[:600], y[:600], [(r[20:], r[:20]) for r in rows], kind="classes", outputs=2)
        seen = np.mean([(p(torch.as_tensor(x[tests])).argmax(1).numpy() == y[tests]).mean() for p in probes])
        gaps.append(predicted_accuracy(fit_gaussians(x[:600], y[:600]), 100, rng) - seen)
        right += abs(gaps[-1]) <= 0.03
    what = "a probe of 100 labels does within 3 points what is predicted"
    return [
        Trial(what, ("within 3 points",), right, runs, 0.8, {"predicted minus measured, mean": float(np.mean(gaps))})
    ]


__all__: list[Any] = ["SignalAudit", "measured_accuracy", "planted", "signal_finding"]
