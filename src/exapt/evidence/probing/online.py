"""Minimum description length by online coding (Voita & Titov 2020, arXiv 2003.12298, eq. 3).

Labels are sent in growing blocks; each block is coded by a probe trained on all before it, so features from which a
factor is learnt from few examples give a short code:  L = t₁ log₂ K − Σ_i log₂ p_{θ_i}(y_{t_i+1 : t_{i+1}}).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exapt.evidence.probing.linear import chances, fit_linear

BLOCKS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Where blocks end, as shares of the labels: the paper's."""


@dataclass(frozen=True)
class OnlineCode:
    """Lengths in bits."""

    bits: float
    uniform: float
    """n log₂ K: what the labels cost without any features."""
    blocks: tuple[float, ...]
    """Bits of each block, the first one uniform."""
    ends: tuple[int, ...]

    @property
    def compression(self) -> float:
        """Uniform over found: 1 is worth nothing."""
        return self.uniform / self.bits


def online_code(
    features: np.ndarray, factor: np.ndarray, order: np.ndarray, *, cap: bool = True, clip: float = 1e-2
) -> OnlineCode:
    """The code of the factor (n,) in an order of places, those without a label left out.

    Chances below clip / K count as that, and with `cap` no block costs more than a uniform code: a sender can always
    fall back on it, at the price of a bit that is not counted. Without it, features of pure noise cost more than no
    features at all.
    """
    order = np.asarray(order)[factor[order] >= 0]
    classes = max(int(factor.max()) + 1, 2)
    ends = sorted({max(2, min(round(share * len(order)), len(order))) for share in BLOCKS})
    blocks = [ends[0] * float(np.log2(classes))]
    probes = fit_linear(features, factor, [order[:end] for end in ends[:-1]])
    for probe, start, end in zip(probes, ends[:-1], ends[1:], strict=True):
        rows = order[start:end]
        chance = chances(probe, features[rows])[np.arange(len(rows)), factor[rows]]
        bits = -float(np.log2(np.maximum(chance, clip / classes)).sum())
        blocks.append(min(bits, len(rows) * float(np.log2(classes))) if cap else bits)
    uniform = len(order) * float(np.log2(classes))
    return OnlineCode(sum(blocks), uniform, tuple(blocks), tuple(ends))
