"""The strong simple features of each field: what pre-training must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

WORDS = r"(?u)\b\w+\b"
FEW = 200
"""With fewer training texts than this, words that occur in one text only are kept."""

PLACES_WEIGHT = 1.5
"""The length of the block that says which letter stands where, against 1 of each k-mer block: between 1 and 2 did best
on promoters of E. coli and man, at 64 to 1,024 labels."""


def tfidf(train: Sequence[str], others: Sequence[Sequence[str]]) -> list[sp.csr_matrix]:
    """TF-IDF of words and pairs of words, sublinear, each row of length 1; learnt on `train` alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    options: dict[str, Any] = {"sublinear_tf": True, "min_df": 2 if len(train) >= FEW else 1, "dtype": np.float32}
    learner = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORDS, **options)
    try:
        first = learner.fit_transform(train)
    except ValueError:  # no word in any text: fall back on characters
        learner = TfidfVectorizer(ngram_range=(1, 2), analyzer="char", **options)
        first = learner.fit_transform(train)
    return [first, *(learner.transform(texts) for texts in others)]


def sequence_features(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], letters: int, longest: int
) -> list[sp.csr_matrix]:
    """k-mer frequencies of each part (codes, lengths); where all examples of the first part, the training one, have
    one length, also which letter stands at each place.

    Each block of columns is the square root of shares (Hellinger's map), so its rows have length 1 whatever the length
    of the example, and no block drowns another under one penalty.
    """
    lengths = parts[0][1]
    places = int(lengths[0]) if len(lengths) and (lengths == lengths[0]).all() else 0
    weight = PLACES_WEIGHT / max(1, places) ** 0.5
    return [
        sp.hstack([kmer_roots(*part, letters, longest), one_hot_places(*part, letters, places) * weight], format="csr")
        for part in parts
    ]


def kmer_roots(codes: np.ndarray, lengths: np.ndarray, letters: int, longest: int) -> sp.csr_matrix:
    """(n, Σ letters^k) square root of the share of each k-mer, k = 1 … longest, among the k-mers of its example.

    `codes` (N,) holds letters 0 … letters − 1 of all examples end to end; any other code spoils the k-mers over it.
    """
    return sp.hstack([_one_length(codes, lengths, letters, k) for k in range(1, longest + 1)], format="csr")


def _one_length(codes: np.ndarray, lengths: np.ndarray, letters: int, k: int) -> sp.csr_matrix:
    owner, words = kmers(codes, lengths, letters, k)
    counts = np.bincount(owner, minlength=len(lengths)).astype(np.float32)
    share = 1 / np.maximum(counts, 1)[owner]
    return sp.coo_matrix((share, (owner, words)), shape=(len(lengths), letters**k), dtype=np.float32).tocsr().sqrt()


def kmers(codes: np.ndarray, lengths: np.ndarray, letters: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Owner and number (in base `letters`) of every k-mer that lies inside one example and holds only known letters."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    count = max(0, len(codes) - k + 1)
    words = np.zeros(count, dtype=np.int64)
    valid = np.ones(count, dtype=bool)
    for shift in range(k):
        part = codes[shift : shift + count]
        words = words * letters + part
        valid &= part < letters
    valid &= owner[:count] == owner[k - 1 : k - 1 + count]
    return owner[:count][valid], words[valid]


def one_hot_places(codes: np.ndarray, lengths: np.ndarray, letters: int, places: int) -> sp.csr_matrix:
    """(n, places · letters) which letter stands at each of the first `places`; unknown letters and ends give zeros."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    within = np.arange(len(codes)) - np.repeat(starts, lengths)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    kept = (codes < letters) & (within < places)
    columns = within[kept] * letters + codes[kept]
    values = np.ones(len(columns), dtype=np.float32)
    return sp.csr_matrix((values, (owner[kept], columns)), shape=(len(lengths), places * letters))


def window_one_hot(codes: np.ndarray, lengths: np.ndarray, letters: int, reach: int) -> sp.csr_matrix:
    """(N, (2 · reach + 1) · (letters + 1)) the letters around every element; the last sign of each place marks
    unknown letters and places outside the example."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    signs, count = letters + 1, len(codes)
    known = np.minimum(codes, letters).astype(np.int32)
    columns = np.full((count, 2 * reach + 1), letters, dtype=np.int32)
    for at, shift in enumerate(range(-reach, reach + 1)):
        here = np.arange(max(0, -shift), min(count, count - shift))
        here = here[owner[here] == owner[here + shift]]
        columns[here, at] = known[here + shift]
    columns += np.arange(2 * reach + 1, dtype=np.int32) * signs
    pointers = np.arange(count + 1, dtype=np.int64) * (2 * reach + 1)
    values = np.ones(columns.size, dtype=np.float32)
    return sp.csr_matrix((values, columns.ravel(), pointers), shape=(count, (2 * reach + 1) * signs))
