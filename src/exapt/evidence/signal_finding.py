"""Two signals of different strength, and the labels each needs, as a finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exapt.errors import InputError, nearest
from exapt.evidence.finding import Finding, Listing, Plot, Series
from exapt.evidence.signal import RULES, Rule, bayes, labels_needed, least_of_weaker
from exapt.evidence.signal_simulated import simulate

SHOWN = (2, 4, 6, 8, 10, 20, 50, 100)
NAMES: dict[Rule, str] = {
    "nearest": "one nearest neighbour",
    "centroid": "nearest class mean",
    "known-zero": "threshold known to be 0",
}
LIMIT = 3.5
"""Standard errors that a simulation may lie off the exact value, over the points shown."""


@dataclass(frozen=True)
class SignalProblem:
    """A strong and a weak representation of the same ±1, under noise σ; the article's pair with σ = 0.52."""

    strong: float = 1.0
    weak: float = 0.6
    noise: float = 0.52
    labels: int = 10
    target: float = 0.95
    rule: Rule = "nearest"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError(f"signal: rule {self.rule}; {nearest(self.rule, RULES)}")
        if not self.strong > self.weak > 0:
            raise InputError(f"signal: strengths {self.strong:g} and {self.weak:g}; expected strong > weak > 0")

    @property
    def arms(self) -> list[tuple[str, float]]:
        """Names and strengths."""
        return [(f"a = {self.strong:g}", self.strong), (f"a = {self.weak:g}", self.weak)]

    def accuracy(self, strength: float, labels: int) -> float:
        """The exact expected accuracy with labels drawn by fair coins."""
        return RULES[self.rule](strength, self.noise, labels, "drawn")


def signal_finding(problem: SignalProblem, *, repeats: int = 10_000) -> Finding:
    """Accuracy against labels for both strengths, exactly and simulated; and the labels each needs for the target."""
    shown = sorted({*SHOWN, problem.labels})
    exact = {name: [problem.accuracy(a, m) for m in shown] for name, a in problem.arms}
    rng = np.random.default_rng(problem.seed)
    seen = {
        name: [simulate(problem.rule, a, problem.noise, m, rng, repeats=repeats) for m in shown]
        for name, a in problem.arms
    }
    needs = {name: labels_needed(problem.rule, problem.target, a, problem.noise) for name, a in problem.arms}
    off = max(
        abs(s.value - e) / max(s.error, 1 / repeats)
        for name in exact
        for s, e in zip(seen[name], exact[name], strict=True)
    )
    gap = problem.accuracy(problem.strong, problem.labels) - problem.accuracy(problem.weak, problem.labels)
    return Finding(
        name="signal",
        verdict="OFF" if off > LIMIT else "STRONGER SIGNAL, FEWER LABELS",
        effect=gap,
        interval=None,
        n=repeats,
        how=f"expected accuracy of the rule '{problem.rule}' learnt from labels drawn by fair coins, z = a·y + ε with "
        f"σ = {problem.noise:g}: exact, and from {repeats} simulated draws at each point (seed {problem.seed})",
        details={
            "standard errors off": off,
            "accuracy": {name: dict(zip(map(str, shown), values, strict=True)) for name, values in exact.items()},
            "labels needed": {name: need.labels for name, need in needs.items()},
            "limit": {name: need.limit for name, need in needs.items()},
        },
        sentence=_sentence(problem, [needs[name].why for name, _ in problem.arms]),
        level="bad" if off > LIMIT else "good",
        caveats=_caveats(problem),
        plots=[_plot(problem, shown, seen)],
        listings=[_listing(problem, shown, exact)],
    )


def _sentence(problem: SignalProblem, whys: Sequence[str]) -> str:
    strong, weak = (problem.accuracy(a, problem.labels) for _, a in problem.arms)
    return (
        f"With {problem.labels} labels a signal of a = {problem.strong:g} gives {100 * strong:.1f} % right answers, "
        f"one of {problem.weak:g} gives {100 * weak:.1f} % ({NAMES[problem.rule]}, σ = {problem.noise:g}). "
        f"The target of {100 * problem.target:g} % needs {whys[0]} with the stronger; with the weaker {whys[1]}."
    )


def _caveats(problem: SignalProblem) -> list[str]:
    floor = least_of_weaker(problem.target, problem.strong, problem.weak)
    pair = (
        f"Which rule learns matters: with one that comes near Bayes' limit (centroid, LDA, a known threshold) "
        f"{100 * problem.target:g} % for a = {problem.strong:g} forces at least {100 * floor:.1f} % for "
        f"a = {problem.weak:g} in the end, whatever σ is. One nearest neighbour, which never averages its noise away, "
        "stays below that."
    )
    return [pair, "One dimension, normal noise, equal classes. `exapt audit signal` measures a real representation."]


def _plot(problem: SignalProblem, shown: Sequence[int], seen: dict[str, list]) -> Plot:
    fine = np.unique(np.geomspace(shown[0], shown[-1], 30).astype(int)).tolist()
    series = []
    for name, a in problem.arms:
        series.append(Series(f"{name}, exact", fine, [problem.accuracy(a, m) for m in fine]))
        low, high = ([s.value + side * 2 * s.error for s in seen[name]] for side in (-1, 1))
        series.append(Series(f"{name}, simulated", shown, [s.value for s in seen[name]], low, high, "points"))
        series.append(
            Series(f"{name}, no rule does better", fine, [bayes(a, problem.noise)] * len(fine), style="dashed")
        )
    return Plot(
        f"Expected accuracy of '{problem.rule}' against the number of labels; points: simulated, ± 2 standard errors.",
        "labels",
        "accuracy",
        series,
        log_x=True,
    )


def _listing(problem: SignalProblem, shown: Sequence[int], exact: dict[str, list[float]]) -> Listing:
    rows = [[str(m), *(exact[name][i] for name in exact)] for i, m in enumerate(shown)]
    rows.append(["no rule does better", *(bayes(a, problem.noise) for _, a in problem.arms)])
    return Listing("Expected accuracy", ["labels", *exact], rows)
