"""Text: byte-pair tokens or characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from exapt.domains import bpe
from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.classical import tfidf
from exapt.domains.pieces import Piece
from exapt.domains.records import TEXTS, Format, Opened, open_source
from exapt.domains.spans import SpanViews
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.errors import InputError
from exapt.spec import Spec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SURROGATE = "�"


class TextSpec(Spec):
    """Text: how it is cut into tokens, and how long an example may be."""

    kind: Literal["text"] = "text"
    tokens: Literal["bpe", "characters"] = "bpe"
    """Byte-pair tokens learnt from the corpus (any text can be written), or its characters."""
    vocabulary: int = Field(default=4096, ge=300, le=1_000_000)
    """Most token ids, the five special ones and the 256 bytes included; a small corpus may yield fewer."""
    length: int = Field(default=256, ge=4)
    """The longest example in tokens, its start and end token included."""
    lower: bool = False
    """Whether to write everything in lower case."""
    sample: int = Field(default=200_000_000, ge=1)
    """Characters of the corpus, from its start, that the vocabulary is learnt from."""
    views: SpanViews = SpanViews()
    """What objectives that compare views see of a text."""

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> TextDomain:
        """Learn the vocabulary from a corpus."""
        if corpus is None:
            raise InputError("domain text: its vocabulary is learnt from a corpus; give one")
        opened = open_source(corpus, TEXTS)
        texts = bpe.sample((text for piece in opened.pieces() for text in as_texts(piece)), self.sample)
        if self.tokens == "characters":
            return TextDomain(self, alphabet=_alphabet(texts, self, opened))
        return TextDomain(self, tokenizer=self._learn(opened, texts, cache))

    def _learn(self, opened: Opened, texts: Iterator[str], cache: Path | None) -> Tokenizer:
        key = self.model_dump(mode="json", exclude={"length", "views"})
        return bpe.learn(opened, key, cache, lambda: bpe.train_text(texts, self.vocabulary, self.lower))

    def restore(self, folder: Path, learned: dict[str, Any]) -> TextDomain:
        """The domain that was saved in a folder."""
        if self.tokens == "characters":
            return TextDomain(self, alphabet=learned["alphabet"])
        return TextDomain(self, tokenizer=bpe.restore(folder))


def _alphabet(texts: Iterator[str], spec: TextSpec, opened: Opened) -> str:
    """The commonest characters, in the order of their code points."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.lower() if spec.lower else text)
    if not counts:
        raise InputError(f"{opened.source.path}: no text in it to learn characters from")
    ranked = sorted(counts, key=lambda c: (-counts[c], c))
    return "".join(sorted(ranked[: spec.vocabulary - PLAIN]))


class TextDomain(TokenDomain):
    """Text with its vocabulary."""

    baseline: ClassVar[str] = "TF-IDF of words and word pairs"
    ends: ClassVar[bool] = True
    form: ClassVar[Format] = TEXTS

    def __init__(self, spec: TextSpec, tokenizer: Tokenizer | None = None, alphabet: str = "") -> None:
        super().__init__(tokenizer.get_vocab_size() if tokenizer else PLAIN + len(alphabet), spec.length, tokenizer)
        self.spec: TextSpec = spec
        self.alphabet = alphabet
        self.element = "byte-pair token" if tokenizer else "character"
        self._points = np.frombuffer(alphabet.encode("utf-32-le"), dtype=np.uint32)

    def encode_piece(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        texts = as_texts(piece)
        if not piece.goes_on:
            texts = ["" if text.isspace() else text for text in texts]
        if self.tokenizer:
            return bpe.encode_all(self.tokenizer, texts)
        texts = [text.lower() for text in texts] if self.spec.lower else texts
        joined = "".join(texts).encode("utf-32-le", errors="surrogatepass")
        points = np.frombuffer(joined, dtype=np.uint32)
        at = np.searchsorted(self._points, points).clip(max=len(self._points) - 1)
        ids = np.where(self._points[at] == points, at + PLAIN, SPECIAL["unknown"])
        return ids, np.array([len(text) for text in texts], dtype=np.int64)

    def decode(self, ids: np.ndarray | torch.Tensor) -> str:
        """The text of some ids; an unknown character shows as �."""
        plain = [int(i) for i in ids]
        if self.tokenizer:
            return str(self.tokenizer.decode([i for i in plain if i >= PLAIN]))
        signs = {SPECIAL["unknown"]: SURROGATE}
        return "".join(self.alphabet[i - PLAIN] if i >= PLAIN else signs.get(i, "") for i in plain)

    def texts(self, dataset: Dataset) -> list[str]:
        """The whole text of every example, as the tokens hold it."""
        rows = [dataset.store[int(row)].tolist() for row in dataset.rows]
        if self.tokenizer:
            return [str(text) for text in self.tokenizer.decode_batch(rows)]
        return [self.decode(np.array(row)) for row in rows]

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """TF-IDF of words and pairs of words; vocabulary and weights from `train`."""
        return tfidf(self.texts(train), [self.texts(other) for other in others])

    def learned(self) -> dict[str, Any]:
        return {"alphabet": self.alphabet}


def as_texts(piece: Piece) -> list[str]:
    """The values of a piece as strings, None as ''; anything else is an `InputError` naming its row."""
    values = ["" if value is None else value for value in piece.values]  # type: ignore[union-attr]
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise InputError(f"{piece.where(index)}: expected text, found {type(value).__name__} {value!r:.40}")
    return values
