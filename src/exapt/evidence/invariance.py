"""How far features are invariant to a change, whether they still tell that it happened, and whether a task needs it.

Invariance alone misleads: features in which a colour is a small part are nearly invariant to it and yet give it away
completely. So it is always read beside decodability. Shapes: n examples, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf

from exapt.adaptation.linear import Kind, probe_many

RESAMPLES = 200
GRID = 1e-5
PENALTIES = tuple(10.0**k for k in range(-2, 5))


@dataclass(frozen=True)
class Estimate:
    """A number with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Invariance:
    """How little a change moves features: 1 not at all, 0 as far as to another example; may be negative."""

    plain: Estimate
    whitened: float
    """The same with every direction of the features made equally wide."""
    cosine: float
    """Mean cosine of the features before and after, their mean taken off."""


def invariance(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Invariance:
    """NII = 1 − E‖f(x) − f(Tx)‖² / E‖f(x) − f(x′)‖² of features (n, D), with a bootstrap interval over examples.

    Whitening is Ledoit and Wolf's (2004). NaN where all examples have one vector.
    """
    f, g = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    middle = f.mean(0)
    f, g = f - middle, g - middle
    moved, power = np.square(f - g).sum(1), np.square(f).sum(1)
    value = _nii(np.ones((1, len(f))), moved, power, f)[0]
    rng = np.random.default_rng(seed)
    draws = _nii(rng.multinomial(len(f), np.full(len(f), 1 / len(f)), RESAMPLES), moved, power, f)
    low, high = np.nanquantile(draws, [0.05, 0.95]) if math.isfinite(value) else (math.nan, math.nan)
    whiten = _whitener(f)
    white = _nii(np.ones((1, len(f))), np.square((f - g) @ whiten).sum(1), np.square(f @ whiten).sum(1), f @ whiten)
    norms = np.sqrt(power * np.square(g).sum(1))
    cosine = float(np.mean((f * g).sum(1) / np.maximum(norms, 1e-12)))
    return Invariance(Estimate(float(value), float(low), float(high)), float(white[0]), cosine)


def _nii(weights: np.ndarray, moved: np.ndarray, power: np.ndarray, centred: np.ndarray) -> np.ndarray:
    """(R,) under weights (R, n) that count examples; strangers are two examples drawn apart."""
    n = weights.sum(1)
    spread = weights @ power / n - np.square(weights @ centred / n[:, None]).sum(1)
    strangers = 2 * spread * n / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(strangers > 1e-12, 1 - weights @ moved / n / strangers, np.nan)


def _whitener(centred: np.ndarray) -> np.ndarray:
    """(D, D) inverse root of the shrunk covariance."""
    values, axes = np.linalg.eigh(ledoit_wolf(centred, assume_centered=True)[0])
    keep = values > 1e-10 * max(float(values[-1]), 1e-300)
    return np.asarray((axes[:, keep] / np.sqrt(values[keep])) @ axes[:, keep].T)


@dataclass(frozen=True)
class Answers:
    """What a linear probe says of test examples."""

    kind: Kind
    truth: np.ndarray
    """(m,) classes, or (m, k) values."""
    said: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(m,) 1 where the class is right; for values the share of their variance that is explained, as a mean."""
        if self.kind == "classes":
            return np.asarray(self.said == self.truth, dtype=np.float64)
        power = np.square(self.truth - self.truth.mean(0)).sum(1).mean()
        return 1 - np.square(self.truth - self.said).sum(1) / max(float(power), 1e-12)


def probe(features: np.ndarray, labels: np.ndarray, seed: int = 0, beside: np.ndarray | None = None) -> Answers:
    """A linear probe of features (n, D) on half of the examples, penalty chosen on a quarter, asked on the last one.

    Labels are classes (n,), or values (n, k) or (n,) in floating point. `beside` sets the scale of what is rounding.
    """
    labels = np.asarray(labels)
    kind: Kind = "values" if labels.dtype.kind == "f" else "classes"
    labels = labels.reshape(len(labels), -1) if kind == "values" else labels
    train, valid, test = np.split(np.random.default_rng(seed).permutation(len(labels)), _cuts(len(labels)))
    outputs = labels.shape[1] if kind == "values" else max(2, int(labels.max()) + 1)
    x = unrounded(features, beside)
    [found] = probe_many(x, labels, [(train, valid)], kind=kind, outputs=outputs, penalties=PENALTIES)
    said = found(torch.as_tensor(x[test])).numpy()
    return Answers(kind, labels[test], said if kind == "values" else said.argmax(1))


def unrounded(features: np.ndarray, beside: np.ndarray | None = None) -> np.ndarray:
    """(n, D) float32 on a grid of 1e-5 of the deviation of features (or of others): finer is rounding, not knowledge.

    A probe standardises each column, so the last bits of one that should be constant can give a nuisance away.
    """
    x = np.asarray(features, dtype=np.float64)
    x = x - x.mean(0)
    like = x if beside is None else np.asarray(beside, dtype=np.float64)
    step = GRID * float(like.std(0).max(initial=0.0))
    return np.asarray(np.round(x / step) * step if step > 0 else x, dtype=np.float32)


def decodable(
    features: np.ndarray, parameters: np.ndarray, seed: int = 0, beside: np.ndarray | None = None
) -> Estimate:
    """R² (m, k) of what was drawn, read off features by a linear probe; 0 chance, 1 perfect."""
    return mean_of(probe(features, np.asarray(parameters, dtype=np.float64), seed, beside).right)


def noticed(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Estimate:
    """How well a linear probe tells changed examples from others: 2 · accuracy − 1, so 0 chance, 1 perfect.

    No example stands in both lots.
    """
    half = len(before) // 2
    order = np.random.default_rng(seed).permutation(len(before))
    features = np.concatenate([before[order[:half]], after[order[half:]]])
    labels = np.repeat([0, 1], [half, len(before) - half])
    return mean_of(2 * probe(features, labels, seed).right - 1)


def mean_of(items: np.ndarray) -> Estimate:
    """Mean and normal 90 % interval over test examples."""
    reach = 1.645 * float(items.std(ddof=1)) / math.sqrt(len(items)) if len(items) > 1 else math.inf
    value = float(items.mean())
    return Estimate(value, value - reach, value + reach)


def lost(before: np.ndarray, scrambled: Sequence[np.ndarray], labels: np.ndarray, seed: int = 0) -> Estimate:
    """What a task loses where its inputs (n, p) are scrambled in training and test alike, paired by test example.

    `scrambled` holds some draws, which are averaged. Positive: a linear map of the inputs needs what the change
    destroys; a representation blind to it cannot have it.
    """
    others = np.mean([probe(other, labels, seed).right for other in scrambled], axis=0)
    return mean_of(probe(before, labels, seed).right - others)


def chance(labels: np.ndarray) -> float:
    """Always naming the commonest class; 0 for values, whose score is R²."""
    return 0.0 if np.asarray(labels).dtype.kind == "f" else float(np.bincount(labels).max() / len(labels))


def _cuts(n: int) -> list[int]:
    return [n // 2, n // 2 + n // 4]
