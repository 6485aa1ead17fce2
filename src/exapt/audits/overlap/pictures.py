"""Pictures that are nearly the same: a perceptual hash finds candidates, correlation of small grey versions verifies.

pHash (Zauner 2010): the signs, against their median, of the lowest 8 × 8 cosine coefficients of a 32 × 32 grey version.
Neither sees crops, turns or different colours of one grey picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from scipy.fft import dctn
from torch.nn.functional import interpolate

from exapt.audits.overlap.found import Overlap

SIDE, LOW = 32, 8
BATCH = 1024
TINY = 16
"""Below this side a hash of 64 bits says little: pictures are compared by correlation alone."""
TINY_CORRELATION = 0.99
HELD = 1 << 22
"""Pairs compared together."""


def overlap_pictures(
    corpus: Iterable[np.ndarray],
    evaluation: Sequence[np.ndarray],
    *,
    bits: int = 10,
    correlation: float = 0.8,
    mirrored: bool = True,
) -> Overlap:
    """Near-duplicates between pictures (H, W) or (H, W, C) of any sizes; `mirrored` also looks at left for right.

    A pair counts if its hashes differ in at most `bits` of 64 and its correlation reaches `correlation`; where
    evaluation pictures have a side below 16, if its correlation reaches 0.99. An even picture correlates with nothing:
    it is undecidable.
    """
    count = len(evaluation)
    small = np.concatenate([np.zeros((0, SIDE, SIDE), np.float32), *(m for _, m in miniatures(evaluation))])
    small = np.concatenate([small, small[:, :, ::-1]]) if mirrored else small
    tiny = any(min(np.shape(picture)[:2]) < TINY for picture in evaluation)
    keys, vectors = phash(small), centred(small)
    least, most = (max(correlation, TINY_CORRELATION), 64) if tiny else (correlation, bits)
    best, twin, flipped = np.zeros(count), np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=bool)
    records = 0
    for first, batch in miniatures(corpus):
        records = first + len(batch)
        for row, record, value in _alike(keys, vectors, phash(batch), centred(batch), most, least):
            example = row % count
            if value > best[example]:
                best[example], twin[example], flipped[example] = value, first + record, row >= count
    return Overlap(
        unit="picture",
        n=0,
        length=np.ones(count, dtype=np.int64),
        covered=(best > 0).astype(np.int64),
        longest=np.zeros(count, dtype=np.int64),
        record=np.full(count, -1, dtype=np.int64),
        place=np.full(count, -1, dtype=np.int64),
        at=np.zeros(count, dtype=np.int64),
        reverse=flipped,
        undecidable=np.asarray(~vectors[:count].any(axis=1)),
        similarity=best,
        twin=twin,
        facts={"records": records, "units": records, "by": "correlation alone" if tiny else "hash and correlation"},
    )


def phash(small: np.ndarray) -> np.ndarray:
    """(k,) uint64 hashes of grey pictures (k, 32, 32)."""
    low = dctn(small.astype(np.float32), axes=(1, 2), type=2)[:, :LOW, :LOW].reshape(len(small), LOW * LOW)
    signs = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(signs, axis=1).view(">u8").reshape(-1).astype(np.uint64)


def centred(small: np.ndarray) -> np.ndarray:
    """(k, 1024) grey pictures less their mean and of length 1, so that products are correlations; even ones are 0."""
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3)


def miniatures(pictures: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first, (k, 32, 32) grey versions) of consecutive pictures of one size."""
    waiting: list[np.ndarray] = []
    number = 0
    for picture in pictures:
        if waiting and (len(waiting) == BATCH or np.shape(picture) != np.shape(waiting[0])):
            yield number - len(waiting), _shrunk(waiting)
            waiting = []
        waiting.append(np.asarray(picture))
        number += 1
    if waiting:
        yield number - len(waiting), _shrunk(waiting)


def _shrunk(pictures: list[np.ndarray]) -> np.ndarray:
    stack = np.stack(pictures).astype(np.float32)
    grey = torch.from_numpy(stack.mean(axis=3) if stack.ndim == 4 else stack)[:, None]
    small = interpolate(grey, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    return np.asarray(small[:, 0].numpy())


def _alike(
    keys: np.ndarray, vectors: np.ndarray, others: np.ndarray, other_vectors: np.ndarray, bits: int, least: float
) -> Iterator[tuple[int, int, float]]:
    """(row, other, correlation) of pairs within `bits` and of at least `least`."""
    step = max(1, HELD // max(1, len(others)))
    for start in range(0, len(keys), step):
        if bits >= 64:
            products = vectors[start : start + step] @ other_vectors.T
            row, other = np.nonzero(products >= least)
            values = products[row, other]
        else:
            row, other = np.nonzero(np.bitwise_count(keys[start : start + step, None] ^ others) <= bits)
            values = np.einsum("ij,ij->i", vectors[start + row], other_vectors[other])
        near = values >= least
        yield from zip((start + row[near]).tolist(), other[near].tolist(), values[near].tolist(), strict=True)
