"""k-mers side by side as token ids: 5 … 8 single bases, then every k-mer in the order A, C, G, T."""

from __future__ import annotations

import numpy as np

from exapt.domains.tokens import PLAIN, SPECIAL

FIRST = PLAIN + 4
"""The id of the k-mer A…A."""


def kmer_tokens(codes: np.ndarray, lengths: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and lengths: each sequence's k-mers side by side, then its last bases one by one; with an N, unknown."""
    whole, rest = np.divmod(lengths, k)
    sizes = whole + rest
    owner = np.repeat(np.arange(len(lengths)), sizes)
    within = np.arange(len(owner)) - np.repeat(sizes.cumsum() - sizes, sizes)
    is_word = within < whole[owner]
    begin = (np.cumsum(lengths) - lengths)[owner] + within * k - np.where(is_word, 0, (within - whole[owner]) * (k - 1))
    ids = np.where(codes[begin] < 4, codes[begin].astype(np.int32) + PLAIN, SPECIAL["unknown"])
    starts = begin[is_word]
    words, clean = np.zeros(len(starts), dtype=np.int32), np.ones(len(starts), dtype=bool)
    for shift in range(k):
        part = codes[starts + shift]
        words = words * 4 + np.minimum(part, 3)
        clean &= part < 4
    ids[is_word] = np.where(clean, words + FIRST, SPECIAL["unknown"])
    return ids, sizes


def spell_kmers(ids: np.ndarray, k: int) -> np.ndarray:
    """(…,) bases 0 … 4 of token ids end to end; an unknown id is k times N."""
    sizes = np.where((ids >= PLAIN) & (ids < FIRST), 1, k)
    powers = 4 ** np.arange(k - 1, -1, -1)
    digits = (np.maximum(ids - FIRST, 0)[:, None] // powers) % 4
    digits[ids < PLAIN] = 4
    single = sizes == 1
    digits[single, 0] = ids[single] - PLAIN
    return digits[np.arange(k) < sizes[:, None]].astype(np.uint8)


def complement_ids(k: int) -> np.ndarray:
    """(V,) the id on the other strand of every id; k = 0 for single bases alone."""
    bases = np.arange(FIRST)
    bases[PLAIN:] = [PLAIN + 3, PLAIN + 2, PLAIN + 1, PLAIN]
    if not k:
        return bases
    words = np.arange(4**k)
    other = np.zeros_like(words)
    for _ in range(k):
        other = other * 4 + (3 - words % 4)
        words = words // 4
    return np.concatenate([bases, other + FIRST])


def strand_words(codes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n − k + 1,) every k-mer of bases 0 … 4 as a number, the lesser of both strands, and whether it holds no N."""
    codes = codes.astype(np.uint64)
    count = max(0, len(codes) - k + 1) if k else 0
    forward, backward = np.zeros((2, count), dtype=np.uint64)
    clean = np.ones(count, dtype=bool)
    for shift in range(k):
        part = codes[shift : shift + count]
        forward = forward * np.uint64(4) + (part & np.uint64(3))
        backward += (np.uint64(3) - (part & np.uint64(3))) << np.uint64(2 * shift)
        clean &= part < 4
    return np.minimum(forward, backward), clean
