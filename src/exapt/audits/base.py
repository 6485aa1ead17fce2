"""What an audit is: a spec that looks at one subject and ends in a finding, and that can be tried on planted cases."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from exapt.adaptation import FinetuneSpec, ProbeSpec
from exapt.backbones.base import Backbone
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.evidence.finding import Finding
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.training.pretrained import Pretrained


@dataclass(frozen=True)
class Subject:
    """What is audited: a pre-trained network with its corpus and its labelled task, as a study holds them."""

    start: Pretrained
    """Domain, backbone and objective; the first checkpoint of the study."""
    fresh: Callable[[int], Backbone]
    """The same network with random weights, by seed: the floor to compare with."""
    corpus: Callable[[], Dataset]
    """The corpus as it was pre-trained on; raises `InputError` where the checkpoint was made outside the study."""
    labelled: Dataset
    """The labelled examples with encoded targets, repeats taken out."""
    pool: np.ndarray
    """Places in `labelled` that budgets are drawn from."""
    test: np.ndarray
    """Places in `labelled` that are only scored."""
    task: Task
    adapt: FinetuneSpec
    """How the study fine-tunes."""
    probe: ProbeSpec
    """How the study probes."""
    budgets: Sequence[int]
    seeds: int
    checkpoints: Sequence[Path] = ()
    """Every checkpoint of the study; their folders hold `metrics.jsonl` and `exapt.json`."""
    fits: Sequence[dict[str, Any]] = ()
    """The records of the study's fits (arm, seed, budget, score, file …)."""
    items: Callable[[dict[str, Any]], np.ndarray] | None = None
    """The scores of a fit's test examples, in the order of `test`; None where there are no fits."""
    cache: Path | None = None
    """A folder for what may be computed again."""

    @property
    def domain(self) -> Domain:
        return self.start.domain


@dataclass(frozen=True)
class Trial:
    """One planted case of a self-test, tried several times."""

    what: str
    """The case, and whether it is planted to be caught or to pass."""
    wanted: tuple[str, ...]
    """The verdicts that are right."""
    right: int
    """How many runs gave one of them."""
    runs: int
    least: float
    """The share of runs that must be right."""
    figures: dict[str, float] = field(default_factory=dict)
    """Estimates beside their planted truth, such as {'clean gain': 0.031, 'planted': 0.03}."""

    @property
    def passed(self) -> bool:
        return self.right >= self.least * self.runs


class Audit(Spec):
    """One question to a subject. Subclasses have a `kind` and their own keys, and are frozen like every spec."""

    asks: ClassVar[str] = ""
    """The question, for `exapt audit --help` and the docs."""

    @abstractmethod
    def run(self, subject: Subject) -> Finding:
        """The finding. Raises `InputError` that says what would suffice where the evidence does not."""

    @classmethod
    @abstractmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Planted failures that must be caught and clean controls that must pass: the audit's own error rates."""

    def refuse(self, why: str) -> InputError:
        """The error of an audit that cannot say anything here."""
        return InputError(f"audit {getattr(self, 'kind', '')}: {why}")
