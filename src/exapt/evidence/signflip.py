"""The exact sign-flip test: under no difference, each paired difference is as likely as its negative."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ENUMERATED = 16
"""Up to this many pairs all 2ⁿ sign patterns are tried; above it, 2¹⁶ − 1 seeded random ones and the observed."""


@dataclass(frozen=True)
class SignFlip:
    """p-values of the mean difference, and the least a one-sided p can be with this many pairs."""

    greater: float
    less: float
    two_sided: float
    least: float


def sign_flip(differences: np.ndarray, seed: int = 0) -> SignFlip:
    """Permutation p of the sum of n paired differences (n,); ties count as extreme (Fisher 1935).

    Monte Carlo p-values count the observed pattern itself (Phipson & Smyth 2010), so they are never zero.
    """
    d = np.asarray(differences, dtype=float)
    signs = _patterns(len(d), seed)
    sums, observed = signs @ d, d.sum()
    slack = 1e-12 * max(1.0, float(np.abs(d).sum()))
    return SignFlip(
        greater=float(np.mean(sums >= observed - slack)),
        less=float(np.mean(sums <= observed + slack)),
        two_sided=float(np.mean(np.abs(sums) >= abs(observed) - slack)),
        least=1 / len(signs),
    )


@lru_cache(maxsize=4)
def _patterns(n: int, seed: int) -> np.ndarray:
    """(patterns, n) of ±1; the first is the observed one."""
    if n <= ENUMERATED:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return 1.0 - 2.0 * bits
    drawn = np.random.default_rng(seed).integers(0, 2, (2**ENUMERATED, n)) * 2.0 - 1
    drawn[0] = 1
    return drawn
