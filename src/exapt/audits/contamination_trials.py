"""Planted cases for the contamination audit: copies, parts, edits and clean examples; gains with a known effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exapt.audits.base import Trial
from exapt.audits.overlap import overlap_pictures, overlap_sequences, overlap_texts
from exapt.audits.overlap.fields import other_strand
from exapt.audits.overlap.found import Overlap
from exapt.evidence.clean_gain import clean_gain

if TYPE_CHECKING:
    from exapt.audits.contamination import ContaminationAudit

EXAMPLES, RECORDS, LENGTH = 200, 2000, 60


def trials(audit: ContaminationAudit, seed: int) -> list[Trial]:
    """Every planted case."""
    return [
        *_texts(audit, np.random.default_rng(seed)),
        _dna(audit, np.random.default_rng(seed + 1)),
        _pictures(audit, np.random.default_rng(seed + 2)),
        *_gains(np.random.default_rng(seed + 3)),
    ]


def _texts(audit: ContaminationAudit, rng: np.random.Generator) -> list[Trial]:
    """Zipf words; of 200 examples 30 stand in the corpus whole, 30 by half, 30 with one word in 25 changed."""
    vocabulary = np.array([f"w{i:x}" for i in range(20_000)])
    rows = _zipf(rng, EXAMPLES)
    planted = {
        "copies": rows[:30],
        "half an example in a longer record": [np.concatenate([_zipf(rng, 1)[0], row[:30]]) for row in rows[30:60]],
        "one word in 25 changed": [_edited(rng, row) for row in rows[60:90]],
    }
    corpus = [*_zipf(rng, RECORDS), *(row for group in planted.values() for row in group)]
    texts = [" ".join(vocabulary[row]) for row in corpus]
    examples = [" ".join(vocabulary[row]).title() + "." for row in rows]
    found = overlap_texts(texts, examples, near=audit.similarity)
    hit = found.overlapping(audit.threshold)
    precision = hit[:90].sum() / max(1, hit.sum())
    cases = [
        Trial(f"text, {name}: found", ("CONTAMINATED",), int(hit[30 * i : 30 * i + 30].sum()), 30, 0.95)
        for i, name in enumerate(planted)
    ]
    clean = overlap_texts(texts[:RECORDS], examples[90:], near=audit.similarity)
    said = audit.verdict(int(clean.overlapping(audit.threshold).sum()), int(clean.undecidable.sum()), len(clean))
    figures = {"precision": float(precision), "recall": float(hit[:90].mean())}
    return [
        *cases,
        Trial("text, clean examples: none is found", ("CLEAN",), int((~hit[90:]).sum()), 110, 0.99, figures),
        Trial("text, a corpus without planted examples", ("CLEAN",), int(said == "CLEAN"), 1, 1.0),
    ]


def _zipf(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    return [np.minimum(rng.zipf(1.2, LENGTH), 20_000) - 1 for _ in range(count)]


def _edited(rng: np.random.Generator, row: np.ndarray) -> np.ndarray:
    changed = row.copy()
    changed[rng.integers(0, 25) :: 25] = rng.integers(0, 20_000)
    return changed


def _dna(audit: ContaminationAudit, rng: np.random.Generator) -> Trial:
    """Half of 100 examples are cut from either strand of a genome."""
    genome = rng.integers(0, 4, 100_000)
    starts = rng.integers(0, len(genome) - 81, 50)
    cut = [genome[s : s + 81] for s in starts]
    examples = [other_strand(row) if i % 2 else row for i, row in enumerate(cut)]
    examples += list(rng.integers(0, 4, (50, 81)))
    found = overlap_sequences([genome], examples, n=24, other_strand=other_strand, unknown=4)
    return _both("DNA, half the examples from either strand of a genome", audit, found, 50)


def _pictures(audit: ContaminationAudit, rng: np.random.Generator) -> Trial:
    """Half of 100 smooth pictures stand in the corpus, mirrored or brighter, with noise."""
    pictures = _smooth(rng, 100)
    copies = pictures[:50].copy()
    copies[::2] = copies[::2, :, ::-1]
    noisy = np.clip(0.8 * copies + 40 + rng.normal(0, 4, copies.shape), 0, 255).astype(np.uint8)
    found = overlap_pictures([*_smooth(rng, 500), *noisy], list(pictures))
    return _both("pictures, half with a mirrored or brighter copy", audit, found, 50)


def _smooth(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 32, 32, 3) pictures of random waves."""
    waves = rng.normal(size=(count, 6, 6, 3))
    y, x = np.meshgrid(np.arange(32) / 32, np.arange(32) / 32, indexing="ij")
    phase = np.pi * np.arange(6)
    basis = np.cos(phase[:, None, None] * y), np.cos(phase[:, None, None] * x)
    mixed = np.einsum("nabc,ahw,bhw->nhwc", waves, *basis)
    scaled = (mixed - mixed.min(axis=(1, 2, 3), keepdims=True)) / np.ptp(mixed, axis=(1, 2, 3), keepdims=True)
    return (255 * scaled).astype(np.uint8)


def _both(what: str, audit: ContaminationAudit, found: Overlap, planted: int) -> Trial:
    """Right where planted examples are found and the others are not."""
    hit = found.overlapping(audit.threshold)
    truth = np.arange(len(found)) < planted
    figures = {
        "precision": float(truth[hit].mean()) if hit.any() else 0.0,
        "recall": float(hit[truth].mean()),
    }
    return Trial(
        f"{what}: each told apart", ("CONTAMINATED", "CLEAN"), int((hit == truth).sum()), len(found), 0.95, figures
    )


def _gains(rng: np.random.Generator, runs: int = 40) -> list[Trial]:
    """1000 test items of five seeds, 20 % of them partly in the corpus: clean gain 0.03, effect of overlap 0.15."""
    trials = []
    for effect in (0.15, 0.0):
        found = [clean_gain(*planted_gain(rng, effect), level=0.90, resamples=0) for _ in range(runs)]
        held = sum(g.interval[0] <= 0.03 <= g.interval[1] for g in found)
        figures = {
            "clean gain": float(np.mean([g.gain for g in found])),
            "naive gain": float(np.mean([g.naive for g in found])),
            "planted": 0.03,
        }
        what = f"clean gain with an effect of overlap of {effect}: the 90 % interval holds the planted 0.03"
        trials.append(Trial(what, ("held",), int(held), runs, 0.8, figures))
    return trials


def planted_gain(
    rng: np.random.Generator, effect: float = 0.15, seeds: int = 5, n: int = 1000, spread: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """Differences (seeds, n) of right answers with a gain of 0.03 plus `effect` times overlap, and the overlap (n,)."""
    overlap = np.where(rng.random(n) < 0.2, rng.uniform(0.07, 1, n), 0.0)
    ease = rng.uniform(0.2, 0.65, n)
    shift = rng.normal(0, spread, (seeds, 1))
    pre = rng.random((seeds, n)) < ease + 0.03 + effect * overlap + shift
    return pre.astype(float) - (rng.random((seeds, n)) < ease), overlap
