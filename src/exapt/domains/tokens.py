"""What text, DNA and protein share: examples are runs of token ids."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from exapt.batch import Batch, offsets_of
from exapt.domains.base import Arrays, Dataset, Domain, Example, Inputs, Masked, Source
from exapt.domains.cutting import window_dataset
from exapt.domains.gathering import read_tokens
from exapt.domains.hashing import ngram_hashes
from exapt.domains.masking import choose, corrupt
from exapt.domains.pieces import Piece
from exapt.domains.records import Format, open_source
from exapt.domains.spans import SpanViews
from exapt.domains.targets import element_targets_of, targets_of
from exapt.domains.token_views import token_views
from exapt.domains.views import Transformation
from exapt.files import write_json, write_text
from exapt.spec import digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL: Mapping[str, int] = {"pad": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}
"""Ids that every token domain reserves."""
PLAIN = len(SPECIAL)
"""The first id that stands for something of the field."""


class TokenDomain(Domain):
    """A field whose elements are tokens. A subclass says how a piece becomes ids and back."""

    ends: ClassVar[bool]
    """Whether `collate` puts a start and an end token around every example."""
    form: ClassVar[Format]
    """What the field's files look like."""
    element: str
    """What one element is, for the report."""

    def __init__(self, vocabulary: int, length: int, tokenizer: Tokenizer | None = None) -> None:
        self.tokenizer = tokenizer
        self.inputs = Inputs("tokens", vocabulary=vocabulary, special=SPECIAL, length=length)

    @property
    def room(self) -> int:
        """The elements of an example that `collate` keeps, ends not counted."""
        return self.inputs.length - 2 * self.ends

    @abstractmethod
    def encode_piece(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """Ids (N,) and lengths (n,) of a piece's records; bad letters raise `InputError` naming file and record."""

    @abstractmethod
    def decode(self, ids: np.ndarray | torch.Tensor) -> str:
        """The text or sequence of some ids; special ids stand for nothing, unknown ones for the field's sign."""

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What was learned from data beside the tokenizer; with spec and tokenizer it fixes every id."""

    def encode(self, text: str) -> np.ndarray:
        """The ids (n,) of one text or sequence, without ends."""
        return self.encode_piece(Piece("memory", [text], noun="text"))[0].astype(np.int64)

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        opened = open_source(source, self.form)
        return read_tokens(opened, self.encode_piece, self.inputs.vocabulary, self.digest(), cache)

    def digest(self) -> str:
        """A hash of all that fixes the ids."""
        tokenizer = self.tokenizer.to_str() if self.tokenizer else ""
        return digest(
            [self.spec.model_dump(mode="json", exclude={"length", "views", "homologues"}), self.learned(), tokenizer]
        )

    def kept(self, dataset: Dataset) -> np.ndarray:
        return np.minimum(dataset.lengths, self.room)

    def windows(self, dataset: Dataset, phase: int = 0) -> Dataset:
        return window_dataset(dataset, self.room, phase)

    def collate(self, examples: Sequence[Example]) -> Batch:
        end = int(self.ends)
        rows = [example.inputs[: self.room] for example in examples]
        lengths = torch.tensor([len(row) + 2 * end for row in rows], dtype=torch.long)
        offsets = offsets_of(lengths)
        ids = torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *rows], dtype=np.int64, casting="unsafe"))
        inputs = self._with_ends(ids, offsets) if self.ends else ids
        return Batch(
            inputs=inputs,
            offsets=offsets,
            targets=targets_of(examples),
            element_targets=element_targets_of(examples, [len(row) for row in rows], end),
            index=torch.tensor([example.index for example in examples], dtype=torch.long),
        )

    def _with_ends(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        inputs = torch.empty(int(offsets[-1]), dtype=torch.long)
        inner = torch.ones(len(inputs), dtype=torch.bool)
        starts, stops = offsets[:-1], offsets[1:] - 1
        inner[starts] = inner[stops] = False
        inputs[starts], inputs[stops] = SPECIAL["start"], SPECIAL["end"]
        return inputs.masked_scatter_(inner, ids)

    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        """BERT's corruption of exactly max(1, round(ratio · n)) tokens of each example, special ones never."""
        where = choose(batch.inputs >= PLAIN, batch.offsets, ratio, rng)
        seen = corrupt(batch.inputs, where, SPECIAL["mask"], PLAIN, self.inputs.vocabulary, rng)
        return Masked(replace(batch, inputs=seen), where, batch.inputs[where])

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        """Spans with a share of their tokens hidden (`SpanViews`), after a change of the field's own (`augment`)."""
        spec = getattr(self.spec, "views", None) or SpanViews()
        return [spec.view(self.augment(batch, rng), PLAIN, SPECIAL["mask"], self.ends, rng) for _ in range(count)]

    def transformations(self) -> list[Transformation]:
        """Tokens hidden, and tokens in another order."""
        return token_views(SPECIAL["mask"], PLAIN)

    def fingerprints(self, example: Example) -> np.ndarray:
        """(k,) hashes of every run of 8 tokens."""
        return ngram_hashes(example.inputs)

    def describe(self) -> dict[str, Any]:
        facts = {"kind": self.spec.plain()["kind"], "element": self.element, "ends": self.ends}
        return facts | {"vocabulary": self.inputs.vocabulary, "length": self.inputs.length, "tokenizer": self.digest()}

    def save(self, folder: Path) -> None:
        write_json(folder / "domain.json", {"spec": self.spec.plain(), "learned": self.learned()})
        if self.tokenizer:
            write_text(folder / "tokenizer.json", self.tokenizer.to_str())
