"""Protein: one token a residue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.classical import sequence_features, window_one_hot
from exapt.domains.homologues import kin
from exapt.domains.letters import Alphabet
from exapt.domains.pieces import Letters, Piece
from exapt.domains.records import CHAINS, Format
from exapt.domains.spans import SpanViews
from exapt.domains.text import as_texts
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.spec import Spec

RESIDUES = Alphabet("ACDEFGHIKLMNPQRSTVWY", "XBZJUO")
"""B, Z, J (one of two), U, O (rare) and X count as unknown."""
STOP = ord("*")


class ProteinSpec(Spec):
    """Protein: how long an example may be."""

    kind: Literal["protein"] = "protein"
    length: int = Field(default=512, ge=4)
    """The longest example in residues, its start and end token included."""
    homologues: Literal["keep", "leave-out"] = "keep"
    """Whether pre-training sees proteins of the corpus that are kin to a test one: `leave-out` takes out those with
    words in common with it on one diagonal, which 99 % have that share 70 % of their residues, and half at 40 %. The
    test examples themselves are always left out."""
    views: SpanViews = SpanViews()
    """What objectives that compare views see of a sequence."""

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> ProteinDomain:
        """The domain; nothing is learnt from a corpus."""
        return ProteinDomain(self)

    def restore(self, folder: Path, learned: dict[str, Any]) -> ProteinDomain:
        """The domain that was saved in a folder."""
        return ProteinDomain(self)


class ProteinDomain(TokenDomain):
    """Protein sequences. Ids 5 … 24 are the residues in the order of their letters; X is unknown."""

    baseline: ClassVar[str] = "residue k-mer shares, or windows of residues"
    ends: ClassVar[bool] = True
    form: ClassVar[Format] = CHAINS
    element = "residue"

    def __init__(self, spec: ProteinSpec) -> None:
        super().__init__(PLAIN + len(RESIDUES.letters), spec.length)
        self.inputs = replace(self.inputs, letters=RESIDUES.letters)
        self.spec: ProteinSpec = spec

    def encode_piece(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        codes, lengths = RESIDUES.encode(without_stops(piece))
        known = codes < len(RESIDUES.letters)
        return np.where(known, codes + PLAIN, SPECIAL["unknown"]).astype(np.uint8), lengths

    def without(self, corpus: Dataset, tests: Dataset) -> Dataset:
        """The corpus without what is kin to test proteins, where the spec asks for it."""
        if self.spec.homologues == "keep":
            return corpus
        alike = kin(corpus, tests, PLAIN, len(RESIDUES.letters))
        return corpus.subset(np.flatnonzero(~alike)) if alike.any() else corpus

    def decode(self, ids: np.ndarray | torch.Tensor) -> str:
        """The residues of some ids, X where one is unknown."""
        signs = np.array(["", "X", "", "", "", *RESIDUES.letters])
        return "".join(signs[np.asarray(ids, dtype=np.int64)])

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Shares of residues and pairs; where training examples have one length, also which residue stands where."""
        return sequence_features([self._codes(dataset, dataset.lengths) for dataset in (train, *others)], 20, 2)

    def classical_elements(self, dataset: Dataset) -> Any:
        """The 15 residues around every residue."""
        return window_one_hot(*self._codes(dataset, self.kept(dataset)), 20, 7)

    def _codes(self, dataset: Dataset, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = [dataset.store[int(r)][:n] for r, n in zip(dataset.rows, lengths, strict=True)]
        ids = np.concatenate([np.zeros(0, np.uint16), *rows]).astype(np.int64)
        return np.where(ids >= PLAIN, ids - PLAIN, 20), np.asarray(lengths)

    def learned(self) -> dict[str, Any]:
        return {}


def without_stops(piece: Piece) -> Piece:
    """The piece without the '*' that some files put at the end of a sequence."""
    if not isinstance(piece.values, Letters):
        return replace(piece, values=[text.strip().removesuffix("*") for text in as_texts(piece)])
    letters = piece.values
    last = letters.lengths.cumsum() - 1
    stops = last[(letters.lengths > 0) & (letters.codes[last] == STOP)]
    if not len(stops):
        return piece
    kept = np.ones(len(letters.codes), dtype=bool)
    kept[stops] = False
    lengths = letters.lengths - np.isin(last, stops)
    return replace(piece, values=Letters(letters.codes[kept], lengths, letters.names))
