"""Which of the new sequences are kept: by length, likeness, complexity, likelihood, and how they differ.

L letters of a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exapt.domains.alignment import identity
from exapt.errors import InputError

WINDOW = 12
"""Letters of the window whose entropy is the complexity, as SEG's (Wootton & Federhen 1993)."""


@dataclass(frozen=True)
class Filters:
    """Bounds; None: not asked for."""

    distinct: bool = False
    """No text twice, and none that is the template."""
    min_score: float | None = None
    """The least mean log-likelihood of a token, in nats."""
    min_identity: float | None = None
    """The least identity to the template."""
    max_identity: float | None = None
    """The most identity to the template."""
    max_known: float | None = None
    """The most identity to the nearest sequence of the corpus."""
    min_complexity: float | None = None
    """The least entropy, in bits, of any window of 12 letters."""
    max_pair: float | None = None
    """The most identity of two of the texts kept."""

    def check(self, templated: bool) -> None:
        """Raise `InputError` for bounds that nothing could keep."""
        for name in ("min_identity", "max_identity", "max_known", "max_pair"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"--{name.replace('_', '-')} {value:g}; valid: 0 to 1, the share of equal letters")
            if value is not None and name.endswith("identity") and not templated:
                raise InputError(f"--{name.replace('_', '-')}: there is no template to compare with; give --template")
        low, high = self.min_identity, self.max_identity
        if low is not None and high is not None and low > high:
            raise InputError(f"--min-identity {low:g} is above --max-identity {high:g}; valid: at most that")
        if self.min_complexity is not None and not 0 <= self.min_complexity <= np.log2(WINDOW):
            raise InputError(f"--min-complexity {self.min_complexity:g}; valid: 0 to {np.log2(WINDOW):.2f} bits")
        if self.min_score is not None and self.min_score > 0:
            raise InputError(f"--min-score {self.min_score:g}; valid: 0 or less, nats a token (a log-probability)")


@dataclass
class Drawn:
    """One new text with what is known of it."""

    text: str
    ids: np.ndarray
    """(n,) without ends."""
    score: float | None = None
    """The mean log-likelihood of its tokens, in nats."""
    to_template: float | None = None
    nearest: float | None = None
    """Identity to the nearest sequence of the corpus."""
    complexity: float = 0.0
    forbidden: bool = False
    """Whether it holds what was to be avoided."""
    changes: int | None = None
    """Letters that differ from the template's."""


def complexity(text: str) -> float:
    """The least entropy, in bits, of the letters in any window of 12; of a shorter text, of the whole."""
    windows = [text[at : at + WINDOW] for at in range(max(1, len(text) - WINDOW + 1))]
    return min(_entropy(window) for window in windows)


def _entropy(letters: str) -> float:
    if not letters:
        return 0.0
    shares = np.array(list(Counter(letters).values())) / len(letters)
    return float(-(shares * np.log2(shares)).sum() + 0.0)


def refusal(drawn: Drawn, filters: Filters) -> str:
    """Why a text is not kept, in a word; '' where it is. What is not known is not asked."""
    reasons = {
        "empty": not drawn.text,
        "holds what to avoid": drawn.forbidden,
        "low complexity": _below(drawn.complexity, filters.min_complexity),
        "too far from the template": _below(drawn.to_template, filters.min_identity),
        "too near the template": _below(filters.max_identity, drawn.to_template),
        "too unlikely": _below(drawn.score, filters.min_score),
        "too near the corpus": _below(filters.max_known, drawn.nearest),
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _below(value: float | None, bound: float | None) -> bool:
    return value is not None and bound is not None and value < bound


class Diversity:
    """Refuses what repeats a text that was kept before."""

    def __init__(self, filters: Filters, templates: Sequence[str]) -> None:
        self.filters, self.seen, self.kept = filters, set(templates), list[np.ndarray]()

    def refusal(self, drawn: Drawn) -> str:
        """Why a text is not kept; '' where it is, and is remembered."""
        if self.filters.distinct and drawn.text in self.seen:
            return "drawn before"
        most = self.filters.max_pair
        if most is not None and any(identity(drawn.ids, other) > most for other in self.kept):
            return "too near another"
        self.seen.add(drawn.text)
        self.kept.append(drawn.ids)
        return ""


def spread(texts: Sequence[np.ndarray], rng: np.random.Generator, pairs: int = 500) -> float | None:
    """The mean identity of pairs of texts, of as many random pairs at most; None with fewer than two texts."""
    if len(texts) < 2:
        return None
    one = rng.integers(0, len(texts), pairs)
    other = (one + rng.integers(1, len(texts), pairs)) % len(texts)
    return float(np.mean([identity(texts[i], texts[j]) for i, j in zip(one, other, strict=True)]))
