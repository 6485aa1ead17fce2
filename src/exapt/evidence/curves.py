"""Learning curves of all arms over label budgets and seeds: the evidence of a study, before any verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from exapt.errors import InputError, nearest
from exapt.evidence.bands import band
from exapt.evidence.paired import seeds_allow
from exapt.evidence.unit import Unit
from exapt.files import jsonable


@dataclass(frozen=True)
class Failure:
    """A fit that diverged: it stays in the scores at the score of chance, and is counted."""

    arm: str
    budget: int
    seed: int
    why: str = "diverged"


@dataclass(frozen=True)
class Curves:
    """Scores of every arm on the same S seeds and m budgets; higher is better, none missing."""

    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: Mapping[str, np.ndarray]
    """(S, m) of each arm, paired: row s of every arm saw the same labels, split and order."""
    failures: tuple[Failure, ...] = ()
    what: Mapping[str, str] = field(default_factory=dict)
    """A few words on each arm for the report: 'k-mer + logistic regression'."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "budgets", tuple(int(b) for b in self.budgets))
        object.__setattr__(self, "seeds", tuple(int(s) for s in self.seeds))
        object.__setattr__(self, "scores", {k: np.array(v, dtype=float) for k, v in self.scores.items()})
        object.__setattr__(self, "failures", tuple(self.failures))
        self._check()

    @classmethod
    def of(cls, fits: Iterable[Mapping[str, Any]], what: Mapping[str, str] | None = None) -> Curves:
        """Curves from fit records with keys arm, budget, seed, score and, where a fit failed, a true `diverged`.

        Raises `InputError` naming the first arm, budget and seed that has no fit, or two.
        """
        records = list(fits)
        cells = {(r["arm"], int(r["budget"]), int(r["seed"])): r for r in records}
        if len(cells) < len(records):
            raise InputError(f"fits: {len(records) - len(cells)} fit(s) of an arm, budget and seed given twice")
        arms = list(dict.fromkeys(r["arm"] for r in records))
        budgets, seeds = (tuple(sorted({key[i] for key in cells})) for i in (1, 2))
        wanted = [(arm, b, s) for arm in arms for s in seeds for b in budgets]
        missing = [key for key in wanted if key not in cells]
        if missing:
            raise InputError("fits: none for arm '{}', budget {}, seed {}; arms must be paired".format(*missing[0]))
        scores = {a: np.array([[cells[a, b, s]["score"] for b in budgets] for s in seeds]) for a in arms}
        failed = [
            Failure(*key, why=str(cells[key].get("why", "diverged"))) for key in wanted if cells[key].get("diverged")
        ]
        return cls(budgets, seeds, scores, tuple(failed), what or {})

    def of_arm(self, arm: str) -> np.ndarray:
        """(S, m) scores; raises `InputError` naming the arms there are."""
        if arm not in self.scores:
            raise InputError(f"arm '{arm}': not among the curves; {nearest(arm, self.scores)}")
        return self.scores[arm]

    def plain(self, metric: str = "score", confidence: float = 0.9) -> dict[str, Any]:
        """JSON-able scores with both bands of each arm, cut where the metric ends."""
        every = np.concatenate([np.ravel(scores) for scores in self.scores.values()])
        ends = (0.0, 1.0) if Unit.of(metric, every).points else (-np.inf, np.inf)
        arms = {
            name: {"scores": scores, "what": self.what.get(name, "")}
            | {key: np.clip(values, *ends) for key, values in asdict(band(scores, confidence)).items()}
            for name, scores in self.scores.items()
        }
        return jsonable({"budgets": self.budgets, "seeds": self.seeds, "metric": metric, "arms": arms})

    def _check(self) -> None:
        shape = (len(self.seeds), len(self.budgets))
        if len(self.seeds) < 2:
            raise InputError(f"seeds: {seeds_allow(len(self.seeds))}")
        if not self.budgets or list(self.budgets) != sorted(set(self.budgets)):
            raise InputError(f"budgets: {list(self.budgets)}; expected rising counts of labels, each once")
        for name, scores in self.scores.items():
            if scores.shape != shape:
                raise InputError(f"arm '{name}': scores of shape {scores.shape}; expected {shape} (seeds, budgets)")
            if not np.isfinite(scores).all():
                s, b = np.argwhere(~np.isfinite(scores))[0]
                raise InputError(
                    f"arm '{name}', budget {self.budgets[b]}, seed {self.seeds[s]}: score {scores[s, b]}; "
                    "a diverged fit is kept at the score of chance and listed among the failures"
                )
