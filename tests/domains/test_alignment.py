"""Global alignment against a recursion by hand, and identity."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.domains.alignment import GAP, MATCH, OTHER, aligned, identity

WORDS = st.lists(st.integers(0, 3), max_size=9)


def best(one: list[int], other: list[int]) -> int:
    @lru_cache(None)
    def score(i: int, j: int) -> int:
        if not i or not j:
            return GAP * (i + j)
        pair = MATCH if one[i - 1] == other[j - 1] else OTHER
        return max(score(i - 1, j - 1) + pair, score(i - 1, j) + GAP, score(i, j - 1) + GAP)

    return score(len(one), len(other))


@settings(deadline=None)
@given(WORDS, WORDS)
def test_an_alignment_scores_what_the_recursion_says(one: list[int], other: list[int]) -> None:
    pairs = aligned(np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))
    assert (np.diff(pairs, axis=0) > 0).all()
    score = sum(MATCH if one[i] == other[j] else OTHER for i, j in pairs.tolist())
    assert score + GAP * (len(one) + len(other) - 2 * len(pairs)) == best(one, other)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [("ABCD", "ABCD", 1.0), ("ABCD", "ABXD", 0.75), ("ABCDEF", "BCDEF", 5 / 6), ("", "", 1.0), ("AB", "", 0.0)],
)
def test_identity_by_hand(one: str, other: str, share: float) -> None:
    codes = [np.array([ord(c) for c in word], dtype=np.int64) for word in (one, other)]
    assert identity(*codes) == pytest.approx(share)
    assert identity(*codes[::-1]) == pytest.approx(share)


def test_a_shifted_sequence_of_the_same_length_is_aligned() -> None:
    one = np.arange(20)
    assert identity(one, np.roll(one, 1)) == pytest.approx(0.95)
