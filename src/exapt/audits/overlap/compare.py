"""Overlap of a corpus with evaluation examples, for texts and for sequences of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from exapt.audits.overlap.blocks import sequence_block, sequence_blocks
from exapt.audits.overlap.found import Overlap
from exapt.audits.overlap.graphs import Graph, overlap_graphs
from exapt.audits.overlap.near import LONGER, MinHash, Near
from exapt.audits.overlap.pictures import overlap_pictures
from exapt.audits.overlap.search import Examples, Search
from exapt.audits.overlap.words import UNSPACED, normalised, text_block, text_blocks
from exapt.errors import InputError

WORDS, CHARACTERS, TOKENS = 8, 13, 8
"""n where none is given: words, texts in scripts without spaces, and any other sequence."""


def overlap_texts(
    corpus: Iterable[str | tuple[str, bool]],
    evaluation: Sequence[str],
    *,
    n: int | None = None,
    near: float | None = None,
    boilerplate: float = 0.01,
) -> Overlap:
    """Common runs of n words between a corpus of texts and evaluation texts.

    The corpus is read once and may be larger than memory; (text, True) carries on the text before it. With `near`,
    whole texts of at least that Jaccard index of 5-grams are found too (needs rensa).
    """
    n = n or usual_n(evaluation)
    examples = Examples(text_block([normalised(text) for text in evaluation]), 1)
    pieces = ((one, False) if isinstance(one, str) else one for one in corpus)
    search = Search(examples, n, "word", _decoded, near_of(examples, near, 5), boilerplate)
    return search.over(text_blocks(pieces, keep_of(examples, n)))


def overlap_sequences(
    corpus: Iterable[np.ndarray],
    evaluation: Sequence[np.ndarray],
    *,
    n: int = TOKENS,
    near: float | None = None,
    near_n: int = 5,
    boilerplate: float = 0.01,
    unit: str = "token",
    other_strand: Callable[[np.ndarray], np.ndarray] | None = None,
    unknown: int | None = None,
    readable: Callable[[np.ndarray], str] | None = None,
) -> Overlap:
    """Common runs of n whole numbers between sequences (L,) of a corpus and evaluation sequences (L,).

    `other_strand` gives a sequence as read from the other side (DNA), which is then looked for too; runs that hold
    `unknown` do not count; `readable` writes numbers for excerpts.
    """
    rows = [np.asarray(row) for row in evaluation]
    rows += [other_strand(row) for row in rows] if other_strand else []
    block = sequence_block(rows)
    usable = None if unknown is None else np.concatenate([np.zeros(0, bool), *(row != unknown for row in rows)])
    examples = Examples(block, 2 if other_strand else 1, usable)
    write = readable or (lambda values: " ".join(map(str, values.tolist())))
    search = Search(
        examples,
        n,
        unit,
        lambda spelled: write(np.frombuffer(spelled, dtype=np.int64)),
        near_of(examples, near, near_n),
        boilerplate,
    )
    return search.over(sequence_blocks(corpus, keep_of(examples, n)))


def overlap(corpus: Iterable[Any], evaluation: Sequence[Any], **options: Any) -> Overlap:
    """Overlap of examples of any field: texts, whole-number sequences (L,), pictures (H, W) or (H, W, C), `Graph`s.

    `options` are those of `overlap_texts`, `overlap_sequences`, `overlap_pictures` and `overlap_graphs`. Raises
    `InputError` where there is no evaluation example, or one of another kind.
    """
    if not len(evaluation):
        raise InputError("overlap: no evaluation examples to look for")
    one = evaluation[0]
    if isinstance(one, str):
        return overlap_texts(corpus, evaluation, **options)
    if isinstance(one, Graph):
        return overlap_graphs(corpus, evaluation, **options)
    shape = np.shape(one)
    if len(shape) == 1 and np.asarray(one).dtype.kind in "iu":
        return overlap_sequences(corpus, evaluation, **options)
    if len(shape) in (2, 3):
        return overlap_pictures(corpus, evaluation, **options)
    raise InputError(
        f"overlap: {type(one).__name__} of shape {shape} is no text, sequence of whole numbers, picture or Graph"
    )


def usual_n(texts: Sequence[str]) -> int:
    """8 words; 13 where most letters belong to scripts in which every character counts as a word."""
    joined = "".join(texts[:: max(1, len(texts) // 200)])
    return CHARACTERS if 2 * len(UNSPACED.findall(joined)) > len(joined) else WORDS


def keep_of(examples: Examples, n: int) -> int:
    """How many units consecutive stretches of a long record must share, so that no run is cut."""
    return max(int(examples.lengths.max(initial=0)), n) + 1


def near_of(examples: Examples, threshold: float | None, n: int) -> Near | None:
    """The search for near-duplicates, where it is wanted."""
    if threshold is None:
        return None
    longest = LONGER * int(examples.lengths.max(initial=0)) / threshold
    return Near(examples.block, MinHash(n, longest), threshold, examples.strands)


def _decoded(spelled: bytes) -> str:
    return spelled.decode("utf-8", "replace")
