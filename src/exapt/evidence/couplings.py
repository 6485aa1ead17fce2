"""Contacts from an alignment, without any network: what a pre-trained one is compared with.

Shapes: n aligned sequences of letters 0 … q − 1, L places.
"""

from __future__ import annotations

import numpy as np

from exapt.errors import InputError

PSEUDO = 0.5
"""Weight of the uniform pseudo-count in mean-field DCA (Morcos et al. 2011)."""
ALIKE = 0.8
"""Sequences with this identity and more count as one, shared among them."""


def mean_field(alignment: np.ndarray, letters: int = 20, pseudo: float = PSEUDO) -> np.ndarray:
    """(L, L) mean-field DCA: −C⁻¹ of the letters' covariance, its blocks' Frobenius norm in the zero-sum gauge, APC.

    Morcos et al. 2011 (doi 10.1073/pnas.1111471108) for the couplings, Ekeberg et al. 2013 for the norm.
    """
    single, double = _frequencies(alignment, letters, pseudo)
    length, free = single.shape[0], letters - 1
    covariance = double - single[:, :, None, None] * single[None, None]
    square = covariance[:, :free, :, :free].reshape(length * free, length * free)
    couplings = np.zeros((length, letters, length, letters))
    couplings[:, :free, :, :free] = -np.linalg.inv(square).reshape(length, free, length, free)
    couplings -= couplings.mean(1, keepdims=True)
    couplings -= couplings.mean(3, keepdims=True)
    return corrected(np.sqrt((couplings**2).sum((1, 3))))


def mutual_information(alignment: np.ndarray, letters: int = 20, pseudo: float = 0.05) -> np.ndarray:
    """(L, L) mutual information of every two places, in nats, with APC (Dunn et al. 2008)."""
    single, double = _frequencies(alignment, letters, pseudo)
    product = single[:, :, None, None] * single[None, None]
    return corrected((double * np.log(double / product, out=np.zeros_like(double), where=double > 0)).sum((1, 3)))


def corrected(scores: np.ndarray) -> np.ndarray:
    """(L, L) without what rows and columns have in common; the diagonal does not count and is 0."""
    size = len(scores)
    off = scores * (1 - np.eye(size))
    rows = off.sum(1) / (size - 1)
    whole = off.sum() / (size * (size - 1))
    return np.asarray((off - np.outer(rows, rows) / (whole or 1.0)) * (1 - np.eye(size)))


def weights_of(alignment: np.ndarray) -> np.ndarray:
    """(n,) one over how many sequences are at least 80 % the same, each itself among them."""
    alike = [((alignment == one).mean(1) >= ALIKE).sum() for one in alignment]
    return 1 / np.array(alike, dtype=np.float64)


def _frequencies(alignment: np.ndarray, letters: int, pseudo: float) -> tuple[np.ndarray, np.ndarray]:
    """(L, q) and (L, q, L, q) shares of letters and pairs of letters, with pseudo-counts."""
    if alignment.ndim != 2 or len(alignment) < 2:
        raise InputError(f"an alignment of shape {alignment.shape}; expected two or more sequences of one length")
    count, length = alignment.shape
    hot = np.eye(letters)[alignment].reshape(count, length * letters)
    weights = weights_of(alignment)
    total = weights.sum()
    single = (weights @ hot / total).reshape(length, letters)
    double = ((hot * weights[:, None]).T @ hot / total).reshape(length, letters, length, letters)
    single = (1 - pseudo) * single + pseudo / letters
    double = (1 - pseudo) * double + pseudo / letters**2
    same = np.arange(length)
    double[same, :, same, :] = single[:, :, None] * np.eye(letters)
    return single, double
