"""The theory of an informative prior as a finding: the closed form drawn beside the fits that check it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exapt.errors import InputError
from exapt.evidence.finding import Finding, Listing, Plot, Series
from exapt.evidence.prior import (
    Risk,
    Simulated,
    best_penalty,
    best_risk,
    hurts,
    ridge_risk,
    rotated,
    simulate_risk,
    worth,
)

DOMAIN = 50.0
"""Precisions from the best over this to the best times this are drawn."""
LIMIT = 3.5
"""Standard errors that a simulated risk may lie off the closed form, over the points drawn."""


@dataclass(frozen=True)
class PriorProblem:
    """A planted linear task: parameters, labels, noise σ, and how far the start and zero are from the truth."""

    dimension: int = 50
    labels: int = 40
    noise: float = 1.0
    distance: float = 0.5
    scratch_distance: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dimension", "labels", "noise", "distance", "scratch_distance"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"prior: {name.replace('_', '-')} {getattr(self, name)}; expected a number above 0")

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """A design (n, p) of independent normal features, and the start minus the truth (p,), of length `distance`."""
        rng = np.random.default_rng(self.seed)
        rng.standard_normal(self.dimension)  # the truth: only the start's difference from it matters
        difference = rng.standard_normal(self.dimension)
        design = rng.standard_normal((self.labels, self.dimension))
        return design, self.distance * difference / np.linalg.norm(difference)


def prior_finding(problem: PriorProblem, *, repeats: int = 2000, points: int = 7) -> Finding:
    """What a start is worth in theory, and whether fits of planted data agree with it."""
    design, difference = problem.draw()
    spectrum, turned = rotated(design, difference)
    best = best_penalty(problem.dimension, problem.noise, problem.distance)
    tried = best * np.geomspace(1 / DOMAIN, DOMAIN, points)
    rng = np.random.default_rng([problem.seed, 1])
    simulated = simulate_risk(design, difference, tried, problem.noise, rng, repeats)
    exact = ridge_risk(spectrum, turned, tried, problem.noise)
    off = float(np.max(np.abs(simulated.risk - exact.total) / simulated.error))
    gain = worth(problem.dimension, problem.noise, problem.distance, problem.scratch_distance)
    drawn = best * np.geomspace(1 / DOMAIN, DOMAIN, 80)
    worse = hurts(problem.distance, problem.scratch_distance)
    return Finding(
        name="prior",
        verdict="OFF" if off > LIMIT else "HURTS" if worse else "WORTH LABELS" if gain > 0 else "WORTH NOTHING",
        effect=gain,
        interval=None,
        n=repeats,
        how=f"pσ²(1/D² − 1/D₀²), exact for an orthonormal design at the best precision; the risk of ridge regression "
        f"towards the start in closed form, and from {repeats} fits of planted data (p = {problem.dimension}, "
        f"n = {problem.labels}, σ = {problem.noise:g}, seed {problem.seed})",
        details=_details(problem, best, off),
        sentence=_sentence(problem, gain, off),
        level="bad" if worse or off > LIMIT else "good" if gain > 0 else "unsure",
        caveats=[
            "Exact for a linear model with squared error and independent normal noise; a network follows it as far as "
            "its last steps are linear. `exapt audit prior` compares it with a study's own curves.",
        ],
        plots=[
            _precision_plot(problem, ridge_risk(spectrum, turned, drawn, problem.noise), drawn, tried, simulated),
            _label_plot(problem, gain),
        ],
        listings=[_listing(problem, tried, exact, simulated)],
    )


def _sentence(problem: PriorProblem, gain: float, off: float) -> str:
    where = (
        f"A start at distance {problem.distance:g} from the truth, against {problem.scratch_distance:g} from scratch,"
    )
    what = (
        f"is worth {gain:.4g} labels" if gain > 0 else f"costs {-gain:.4g} labels" if gain < 0 else "is worth no labels"
    )
    precision = problem.dimension / problem.distance**2
    agrees = "agrees with" if off <= LIMIT else "disagrees with"
    return (
        f"{where} {what} at any number of labels; its best precision is α = {precision:.4g}. The closed form {agrees} "
        f"simulation (largest difference {off:.1f} standard errors)."
    )


def _details(problem: PriorProblem, penalty: float, off: float) -> dict[str, float]:
    p, sigma, n = problem.dimension, problem.noise, problem.labels
    ours, zero = (best_risk(n, p, sigma, d) for d in (problem.distance, problem.scratch_distance))
    return {
        "best penalty": penalty,
        "best precision": p / problem.distance**2,
        "risk from the start": float(ours),
        "risk from scratch": float(zero),
        "one more label removes, from the start": float(ours) ** 2 / (p * sigma**2),
        "one more label removes, from scratch": float(zero) ** 2 / (p * sigma**2),
        "standard errors off": off,
    }


def _precision_plot(
    problem: PriorProblem, risk: Risk, penalties: np.ndarray, tried: np.ndarray, simulated: Simulated
) -> Plot:
    alpha, at = penalties / problem.noise**2, (tried / problem.noise**2).tolist()
    spread = 2 * simulated.error
    fits = Series(
        "risk, simulated",
        at,
        simulated.risk.tolist(),
        (simulated.risk - spread).tolist(),
        (simulated.risk + spread).tolist(),
        "points",
    )
    lines = [("bias²", risk.bias2), ("variance", risk.variance), ("risk", risk.total)]
    return Plot(
        f"Risk with {problem.labels} labels against the prior's precision: a strong prior has little variance and the "
        "bias of its start, a weak one the reverse. Points: mean of simulated fits ± 2 standard errors.",
        "precision α",
        "squared distance from the truth",
        [
            *(
                Series(name, alpha.tolist(), y.tolist(), style="dashed" if name != "risk" else "line")
                for name, y in lines
            ),
            fits,
        ],
        log_x=True,
    )


def _label_plot(problem: PriorProblem, gain: float) -> Plot:
    p, sigma = problem.dimension, problem.noise
    longest = 4 * max(problem.labels, abs(gain), 10.0)
    n = np.linspace(0, longest, 60)
    arms = [("from the start", problem.distance), ("from scratch", problem.scratch_distance)]
    curves = [Series(name, n.tolist(), best_risk(n, p, sigma, d).tolist()) for name, d in arms]
    moved = (
        best_risk(n + max(gain, 0), p, sigma, problem.scratch_distance)
        if gain >= 0
        else best_risk(n - gain, p, sigma, problem.distance)
    )
    which = "scratch" if gain >= 0 else "the start"
    shifted = Series(f"{which} with {abs(gain):.4g} labels more", n.tolist(), moved.tolist(), style="dashed")
    return Plot(
        "Risk at the best precision of each (orthonormal design): one curve is the other, moved by a number of labels.",
        "labels",
        "squared distance from the truth",
        [*curves, shifted],
        log_y=True,
    )


def _listing(problem: PriorProblem, tried: np.ndarray, exact: Risk, simulated: Simulated) -> Listing:
    parts = zip(
        tried / problem.noise**2, exact.bias2, exact.variance, exact.total, simulated.risk, simulated.error, strict=True
    )
    head = ["precision α", "bias²", "variance", "risk", "risk, simulated", "its standard error"]
    return Listing("Closed form and simulation", head, [[float(v) for v in row] for row in parts])
