"""Contamination: how much of the test part the corpus already holds, and what pre-training gains without it.

Overlap is scored by the longest common run as a share of the example (ConTAM, arXiv 2411.03923) or by similarity as a
whole; the clean gain is `exapt.evidence.clean_gain`. `exapt run` takes examples equal to a test example out of the
corpus, so partial and near-duplicates are what remains.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.contamination_words import caveats, listings, plots, sentence
from exapt.audits.overlap.fields import Settings, compare
from exapt.audits.overlap.found import Overlap
from exapt.audits.transfer import paired_items
from exapt.domains.base import Dataset, Source
from exapt.errors import InputError
from exapt.evidence.clean_gain import CleanGain, clean_gain
from exapt.evidence.finding import Finding, Level

LEVELS: dict[str, Level] = {"CLEAN": "good", "CONTAMINATED": "bad", "UNDECIDED": "unsure"}


class ContaminationAudit(Audit):
    """Whether the corpus holds test examples, whole or in part, and what the gain is without them."""

    asks: ClassVar[str] = "Does the corpus hold the test examples, and what is gained without them?"
    kind: Literal["contamination"] = "contamination"
    corpus: Source | None = None
    """The corpus; None takes the study's own, as it was pre-trained on."""
    against: Source | None = None
    """Evaluation examples; None takes the test part of the study. With others there is no clean gain."""
    n: int | None = Field(default=None, ge=2, le=1000)
    """The shortest common run that counts, in words, bases, residues or tokens; None: 8 words (13 characters in
    scripts without spaces), 24 bases, 12 residues, 8 other tokens. Longer runs miss more (13 is GPT-3's choice)."""
    near: bool = True
    """Whether to look for near-duplicates of whole examples too (MinHash; the extra `audit`); of pictures, always."""
    similarity: float = Field(default=0.7, gt=0, le=1)
    """The Jaccard index of n-grams from which two examples are near-duplicates."""
    bits: int = Field(default=10, ge=0, le=64)
    """Pictures: in how many of 64 bits perceptual hashes may differ."""
    correlation: float = Field(default=0.8, gt=0, le=1)
    """Pictures: the least correlation of small grey versions."""
    boilerplate: float = Field(default=0.01, ge=0, le=1)
    """n-grams that stand in more than this share of the evaluation examples (and in more than five) do not count."""
    threshold: float = Field(default=0.2, gt=0, le=1)
    """The score (longest common run over the example's length, or similarity) from which an example overlaps."""
    tolerance: float = Field(default=0.01, ge=0, lt=1)
    """The share of overlapping examples up to which the evaluation is still called clean."""

    def run(self, subject: Subject) -> Finding:
        """Compare and, where the study has fits, estimate the clean gain."""
        corpus = self.corpus if self.corpus is not None else subject.corpus()
        tests = subject.labelled.subset(subject.test)
        evaluation = self.against if self.against is not None else tests
        found = compare(subject.domain, corpus, evaluation, self._settings(subject))
        numbers = tests.rows if self.against is None else np.arange(len(found))
        return self.finding(found, numbers, *self._gain(subject, found))

    def finding(self, found: Overlap, numbers: np.ndarray, gain: CleanGain | None = None, why_not: str = "") -> Finding:
        """The finding of an overlap; `numbers` (E,) name the examples, `why_not` says why there is no clean gain."""
        overlapping = found.overlapping(self.threshold)
        count, open_ = int(overlapping.sum()), int(found.undecidable.sum())
        verdict = self.verdict(count, open_, len(found))
        share = count / len(found)
        measured = "common runs" if found.n else "similarity"
        return Finding(
            name="contamination",
            verdict=verdict,
            effect=share if gain is None else gain.gain,
            interval=None if gain is None else gain.interval,
            n=len(found),
            how=_how(found, gain, measured, self.threshold),
            details={
                "overlapping": count,
                "share": share,
                "undecidable": open_,
                "of": len(found),
                "n": found.n,
                "unit": found.unit,
                "corpus": dict(found.facts),
                "scores": found.score.tolist(),
                "clean gain": None if gain is None else gain.plain(),
            },
            sentence=sentence(found, count, open_, gain, self.threshold),
            level=LEVELS[verdict],
            caveats=caveats(found, gain, why_not),
            plots=plots(found, gain, self.threshold),
            listings=listings(found, numbers, gain),
        )

    def verdict(self, overlapping: int, undecidable: int, of: int) -> str:
        """CONTAMINATED above the tolerance, CLEAN where it cannot be reached, else UNDECIDED."""
        if overlapping > self.tolerance * of:
            return "CONTAMINATED"
        return "CLEAN" if overlapping + undecidable <= self.tolerance * of else "UNDECIDED"

    def _settings(self, subject: Subject) -> Settings:
        return Settings(
            n=self.n,
            near=self.similarity if self.near else None,
            boilerplate=self.boilerplate,
            bits=self.bits,
            correlation=self.correlation,
            cache=subject.cache,
        )

    def _gain(self, subject: Subject, found: Overlap) -> tuple[CleanGain | None, str]:
        """The clean gain, or why there is none."""
        if self.against is not None:
            return None, "these evaluation examples are not the ones that the study scored"
        if not subject.fits or subject.items is None:
            return None, "the study has no fits"
        differences, _ = paired_items(subject)
        if differences.shape[1] != len(found):
            return None, "scores belong to elements, not to examples"
        try:
            return clean_gain(differences, found.score, clusters_of(found, subject.labelled.subset(subject.test))), ""
        except InputError as error:
            return None, str(error)

    @classmethod
    def self_test(cls, seed: int = 0) -> list[Trial]:
        """Planted copies, parts and edits among clean examples, and gains with a planted effect of overlap."""
        from exapt.audits.contamination_trials import trials

        return trials(cls(), seed)


def clusters_of(found: Overlap, tests: Dataset) -> np.ndarray | None:
    """(E,) which examples are not independent: those of one group, else those that overlap one record; None if none."""
    groups = tests.roles.get("group", ())
    if groups:
        return np.unique(tests.column(groups[0]).astype(str), return_inverse=True)[1].reshape(-1)
    source = found.source
    shared = (found.score > 0) & (source >= 0)
    return np.where(shared, source, source.max(initial=0) + 1 + np.arange(len(source))) if shared.any() else None


def _how(found: Overlap, gain: CleanGain | None, measured: str, threshold: float) -> str:
    size = f"{found.facts.get('records', 0)} records"
    runs = f"longest common run of at least {found.n} {found.unit}s over the example's length" if found.n else measured
    said = f"{runs}, {len(found)} evaluation examples against {size}; an example overlaps from {threshold:g}"
    if gain is None:
        return f"share of overlapping examples: {said}"
    return (
        f"clean gain (α of difference = α + β · overlap) in the score of a test example, pre-trained minus scratch, "
        f"mean over budgets and {gain.seeds} seeds: {said}; HC3 by source, with the spread between seeds"
    )
