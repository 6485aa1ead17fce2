"""When to stop pre-training: a test that a checkpoint is worse for the target than the best before it.

Two mistakes make such a rule stop healthy runs. Looking at every checkpoint at 5 % is a chance of its own each time;
and a best checkpoint picked and tested on the same items looks better there than it is. So the best is picked on one
set of items and tested on another, by a bet (`betting.py`); the bets of all looks enter one fortune with weights that
sum to 1, which reaches 1/α with chance α at most if no checkpoint is worse than the best before it by over the margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exapt.evidence.betting import log_fortune

ORDERS = 16
"""Orders of the items whose fortunes are averaged, so that the verdict does not hang on one."""


@dataclass
class Stopping:
    """The looks at one run so far. Item scores lie in [0, 1]."""

    margin: float = 0.01
    alpha: float = 0.05
    best_step: int | None = None
    best_chosen: float = -np.inf
    """Mean score of the best on the items that choose it."""
    best_items: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n,) its scores on the items that test."""
    looks: int = 0
    fortune: float = 0.0
    """Σ w_c E_c over looks; 1/α stops."""

    @property
    def stopped(self) -> bool:
        return self.fortune >= 1 / self.alpha

    def look(self, step: int, choosing: np.ndarray, testing: np.ndarray) -> dict[str, Any]:
        """Take one checkpoint's item scores on the choosing and the testing items; returns the line of this look."""
        evidence = 0.0
        if self.best_step is not None:
            self.looks += 1
            evidence = worse(self.best_items - testing, self.margin)
            self.fortune += evidence / (self.looks * (self.looks + 1))  # these weights sum to 1
        best = float(choosing.mean()) >= self.best_chosen  # of equals the later
        if best:
            self.best_step, self.best_chosen, self.best_items = step, float(choosing.mean()), testing.copy()
        said = {"step": step, "choosing": float(choosing.mean()), "testing": float(testing.mean())}
        return said | {"evidence": evidence, "fortune": self.fortune, "best": best}

    def state(self) -> dict[str, Any]:
        """Plain data; floats survive JSON exactly."""
        chosen = None if self.best_step is None else self.best_chosen
        found = {"best_step": self.best_step, "best_chosen": chosen, "best_items": self.best_items.tolist()}
        return found | {"looks": self.looks, "fortune": self.fortune}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.best_step, self.looks, self.fortune = state["best_step"], state["looks"], state["fortune"]
        self.best_chosen = -np.inf if state["best_chosen"] is None else state["best_chosen"]
        self.best_items = np.array(state["best_items"], dtype=float)


def worse(differences: np.ndarray, margin: float, orders: int = ORDERS) -> float:
    """An e-value against a mean of differences (n,) in [−1, 1] of the margin at most; its mean is then at most 1."""
    rng = np.random.default_rng(len(differences))
    shuffled = np.stack([rng.permutation(differences) for _ in range(orders)])
    last = log_fortune(shuffled, margin)[:, -1]
    return float(np.exp(np.minimum(last, 700.0)).mean())
