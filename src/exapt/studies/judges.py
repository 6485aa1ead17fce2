"""Judging new sequences by what the network did not see: a family's profile, or an oracle fitted to measurements.

A high score says little by itself, so designs are always compared with controls: random mutants of the template with as
many letters changed at the same free places, or, without a template, their own letters in random order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from exapt.domains.base import Source
from exapt.domains.columns import numbers
from exapt.domains.tokens import PLAIN, TokenDomain
from exapt.errors import InputError
from exapt.evidence.paired import compare
from exapt.studies.constraints import Bound, spelled
from exapt.studies.oracle import Oracle
from exapt.studies.profile import Profile

MISSING = frozenset({"", "nan", "NaN", "NA"})
LEAST_FAMILY = 10


class Scorer(Protocol):
    """What gives every sequence (n,) a number; more is better."""

    def scores(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """(m,) of each; NaN where it has nothing to say."""
        ...


@dataclass(frozen=True)
class Judge:
    """A scorer, and what scores mean for it."""

    name: str
    scorer: Scorer
    about: dict[str, Any]
    """Facts: how many members or measurements, how good it is on those held out."""
    family: np.ndarray
    """(m,) scores of members held out, or the measurements themselves."""


def read_judge(path: str, label: str | None, domain: TokenDomain, bound: Bound, seed: int = 0) -> Judge:
    """A judge of a file: with `label`, the column of measurements, an oracle; without, a family's profile.

    Raises `InputError` where the file holds too little.
    """
    if not spelled(domain):
        raise InputError(f"--judge: judges compare letters, but a token of this checkpoint is a {domain.element}")
    dataset = domain.read(Source(path=path, label=label))
    rows = [np.asarray(dataset.store[int(row)], dtype=np.int64) for row in dataset.rows]
    if label is not None:
        values = numbers(label, dataset.column(label).tolist(), MISSING, lambda place: f"{path}: row {place + 1}")
        known = np.flatnonzero(~np.isnan(values))
        oracle = Oracle.learn([rows[i] for i in known], values[known], seed)
        about = {"measured": len(known), "held out": oracle.held_out, "spearman held out": oracle.spearman}
        return Judge(f"oracle of {Path(path).name}", oracle, about, values[known])
    return _profile_judge(path, rows, domain, bound, seed)


def _profile_judge(path: str, rows: Sequence[np.ndarray], domain: TokenDomain, bound: Bound, seed: int) -> Judge:
    """A profile of half the family, so that the other half says what a real member scores."""
    if len(rows) < LEAST_FAMILY:
        raise InputError(f"{path}: {len(rows)} members; a profile needs {LEAST_FAMILY} or more")
    order = np.random.default_rng(seed).permutation(len(rows))
    first, second = ([rows[i] for i in part] for part in np.array_split(order, 2))
    lengths = sorted(len(row) for row in first)
    middle = next(row for row in first if len(row) == lengths[len(lengths) // 2])
    reference = bound.templates[0] if bound.templates else middle
    profile = Profile.learn(first, np.asarray(reference), PLAIN, domain.inputs.vocabulary - PLAIN)
    about = {"members": len(first), "held out": len(second), "places": len(reference)}
    return Judge(f"profile of {Path(path).name}", profile, about, profile.scores(second))


def judged(judge: Judge, designs: Sequence[np.ndarray], bound: Bound, seed: int = 0) -> dict[str, Any]:
    """The scores of designs (n,) beside their controls' and the family's; paired differences with 90 % intervals."""
    rng = np.random.default_rng(seed)
    controls = [control(ids, bound, number, rng) for number, ids in enumerate(designs)]
    scores, others = judge.scorer.scores(designs), judge.scorer.scores(controls)
    known = ~np.isnan(scores) & ~np.isnan(others)
    found: dict[str, Any] = {"name": judge.name, **judge.about, "judged": int(known.sum())}
    if isinstance(judge.scorer, Oracle):
        found["outside the measurements"] = judge.scorer.outside(designs)
    if bound.templates:
        found["template"] = float(judge.scorer.scores(bound.templates[:1])[0])
    found |= {"designs": _about(scores[known]), "controls": _about(others[known]), "family": _about(judge.family)}
    if known.sum() > 1:
        paired = compare(scores[known] - others[known], margin=0.0)
        found["gain"] = {"mean": paired.mean, "low": paired.low, "high": paired.high}
        found["better than the control"] = float((scores[known] > others[known]).mean())
        found["above the family's mean"] = float((scores[known] > judge.family.mean()).mean())
    found["scores"] = scores.tolist()
    return found


def _about(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    return {"mean": float(values.mean()), "deviation": float(values.std()), "best": float(values.max())}


def control(ids: np.ndarray, bound: Bound, number: int, rng: np.random.Generator) -> np.ndarray:
    """A random sequence as far from the template as a design (n,) is; without a template its letters shuffled."""
    template = bound.template(number)
    if template is None or len(template) != len(ids):
        out = ids.copy()
        out[len(bound.start) :] = rng.permutation(out[len(bound.start) :])
        return out
    changed = int((template != ids).sum())
    out, free = template.copy(), bound.free(len(template))
    letters = np.setdiff1d(np.arange(PLAIN, bound.domain.inputs.vocabulary), bound.barred)
    for place in rng.permutation(free)[:changed]:
        out[place] = rng.choice(letters[letters != template[place]])
    return out
