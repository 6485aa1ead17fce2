"""Byte-pair encoding (Sennrich et al. 2016) through the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exapt.domains.base import Arrays
from exapt.domains.caching import cached
from exapt.domains.records import Opened
from exapt.errors import InputError
from exapt.files import write_text
from exapt.spec import digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
"""The words behind ids 0 … 4."""


def train_text(texts: Iterable[str], vocabulary: int, lower: bool) -> Tokenizer:
    """A byte-level tokenizer: every text can be written, and decoding gives it back unless `lower` changed it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    return _train(tokenizer, texts, vocabulary, pre_tokenizers.ByteLevel.alphabet())


def train_letters(words: Iterable[str], vocabulary: int, letters: str) -> Tokenizer:
    """A tokenizer over a small alphabet; other letters are unknown, one token each."""
    from tokenizers import Tokenizer, models

    return _train(Tokenizer(models.BPE(unk_token=SPECIAL_WORDS[1])), words, vocabulary, list(letters))


def _train(tokenizer: Tokenizer, texts: Iterable[str], vocabulary: int, alphabet: list[str]) -> Tokenizer:
    from tokenizers.trainers import BpeTrainer

    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_WORDS,
        initial_alphabet=sorted(alphabet),
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return as_plain(tokenizer)


def as_plain(tokenizer: Tokenizer) -> Tokenizer:
    """Let words such as '[MASK]' in a user's text be ordinary text."""
    tokenizer.encode_special_tokens = True
    return tokenizer


def load(text: str, where: str) -> Tokenizer:
    """A tokenizer from the JSON that `to_str` wrote."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError(f"{where}: byte-pair tokens need `pip install exapt[text]`") from None
    try:
        return as_plain(Tokenizer.from_str(text))
    except Exception as error:  # the library raises bare Exception for bad JSON
        raise InputError(f"{where}: not a tokenizer ({error})") from None


def learn(opened: Opened, key: Any, cache: Path | None, train: Any) -> Tokenizer:
    """Train, or find in the cache what was trained before from the same contents and `key`."""
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        raise InputError("byte-pair tokens need `pip install exapt[text]`") from None
    if cache is None or isinstance(opened.source, Arrays):
        return train()
    asked = opened.source.model_dump(include={"column", "record", "limit"})
    name = f"tokenizer-{digest([key, asked, opened.contents()])}"
    folder = cached(cache, name, lambda draft: write_text(draft / "tokenizer.json", train().to_str()))
    return load((folder / "tokenizer.json").read_text("utf-8"), str(folder / "tokenizer.json"))


def restore(folder: Path) -> Tokenizer:
    """The tokenizer that was saved in a folder."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; a domain saved with byte-pair tokens holds one")
    return load(path.read_text("utf-8"), str(path))


def encode_all(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids end to end (N,) uint32 and lengths (n,)."""
    rows = [encoded.ids for encoded in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.fromiter(chain.from_iterable(rows), dtype=np.uint32, count=int(lengths.sum()))
    return ids, lengths


def sample(texts: Iterable[str], characters: int) -> Iterator[str]:
    """Texts from the start until so many characters were seen."""
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return
