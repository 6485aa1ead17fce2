"""DNA (and RNA): single bases, k-mers side by side, or byte-pair tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from exapt.batch import Batch
from exapt.domains import bpe
from exapt.domains.base import Arrays, Dataset, Example, Source
from exapt.domains.classical import sequence_features, window_one_hot
from exapt.domains.hashing import mix
from exapt.domains.kmers import FIRST, complement_ids, kmer_tokens, spell_kmers, strand_words
from exapt.domains.letters import Alphabet
from exapt.domains.pieces import Letters, Piece
from exapt.domains.records import SEQUENCES, Format, Opened, open_source
from exapt.domains.shared_bases import cut_out
from exapt.domains.shuffles import SHUFFLED, with_shuffled
from exapt.domains.spans import SpanViews
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.domains.views import Changed, Transformation
from exapt.errors import InputError
from exapt.spec import Spec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RESIDUE = "a residue of proteins and no base; domain.kind=protein reads those"
BASES = Alphabet("ACGT", "NRYSWKMBDHV", {"U": "T"}, {"EFILPQ": RESIDUE})
"""IUPAC's ambiguous letters count as N."""
WORD = 512
"""Byte-pair tokens are learnt and found within runs of so many bases."""
SEED_LENGTH = 21
"""Fingerprints are k-mers of this length, the lesser of both strands."""


class DnaSpec(Spec):
    """DNA: how it is cut into tokens, and how long an example may be."""

    kind: Literal["dna"] = "dna"
    tokens: Literal["base", "kmer", "bpe"] = "base"
    """Single bases; k-mers side by side (the rest of a sequence as single bases); byte-pair tokens of the corpus."""
    k: int = Field(default=6, ge=2, le=10)
    """Length of a k-mer."""
    vocabulary: int = Field(default=4096, ge=16, le=65_536)
    """Most token ids of byte-pair tokens."""
    length: int = Field(default=512, ge=2)
    """The longest example in tokens."""
    reverse_complement: bool | None = None
    """Whether pre-training may read the other strand; None means wherever the tokens allow it (not byte-pair)."""
    sample: int = Field(default=50_000_000, ge=1)
    """Bases of the corpus, from its start, that byte-pair tokens are learnt from."""
    views: SpanViews = SpanViews()
    """What objectives that compare views see of a sequence, each view of either strand."""

    @model_validator(mode="after")
    def _strands(self) -> Self:
        if self.tokens == "bpe" and self.reverse_complement:
            raise ValueError(
                "reverse_complement is not possible with byte-pair tokens; use tokens base or kmer, or false"
            )
        return self

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> DnaDomain:
        """The domain; only byte-pair tokens are learnt from a corpus."""
        if self.tokens != "bpe":
            return DnaDomain(self)
        if corpus is None:
            raise InputError(
                "domain dna: byte-pair tokens are learnt from a corpus; give one, or use tokens base or kmer"
            )
        opened = open_source(corpus, SEQUENCES)
        key = self.model_dump(mode="json", exclude={"length", "reverse_complement", "views"})
        return DnaDomain(self, bpe.learn(opened, key, cache, lambda: self._train(opened)))

    def _train(self, opened: Opened) -> Tokenizer:
        runs = (run for piece in opened.pieces() for run in _runs(*BASES.encode(piece))[0])
        return bpe.train_letters(bpe.sample(runs, self.sample), self.vocabulary, "ACGT")

    def restore(self, folder: Path, learned: dict[str, Any]) -> DnaDomain:
        """The domain that was saved in a folder."""
        return DnaDomain(self, bpe.restore(folder) if self.tokens == "bpe" else None)


class DnaDomain(TokenDomain):
    """DNA with its tokens. Ids of single bases are 5 … 8 (A, C, G, T), k-mers follow; N is unknown."""

    baseline: ClassVar[str] = "k-mer shares and positions"
    ends: ClassVar[bool] = False
    form: ClassVar[Format] = SEQUENCES

    def __init__(self, spec: DnaSpec, tokenizer: Tokenizer | None = None) -> None:
        sizes = {"base": PLAIN + 4, "kmer": PLAIN + 4 + 4**spec.k}
        vocabulary = tokenizer.get_vocab_size() if tokenizer else sizes[spec.tokens]
        super().__init__(vocabulary, spec.length, tokenizer)
        self.spec: DnaSpec = spec
        self.element = {"base": "base", "kmer": f"{spec.k}-mer", "bpe": "byte-pair token"}[spec.tokens]
        self._complement = (
            None if tokenizer else torch.from_numpy(complement_ids(spec.k if spec.tokens == "kmer" else 0))
        )
        if self._complement is not None:
            self.inputs = replace(self.inputs, complement=tuple(self._complement.tolist()))

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """A path `shuffled:FILE` gives the file's positives and a shuffled copy of each (`shuffles`)."""
        if isinstance(source, Arrays) or not source.path.startswith(SHUFFLED):
            return super().read_one(source, cache)
        return with_shuffled(lambda plain: super(DnaDomain, self).read_one(plain, cache), source, self.codes, self._ids)

    def _ids(self, codes: np.ndarray) -> np.ndarray:
        """The ids of bases 0 … 4."""
        letters = np.frombuffer(b"ACGTN", np.uint8)[codes]
        return self.encode_piece(Piece("memory", Letters(letters, np.array([len(codes)]))))[0]

    @property
    def both_strands(self) -> bool:
        """Whether `augment` reads the other strand."""
        return self._complement is not None and self.spec.reverse_complement is not False

    def encode_piece(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        codes, lengths = BASES.encode(piece)
        if self.tokenizer:
            runs, counts = _runs(codes, lengths)
            ids, sizes = bpe.encode_all(self.tokenizer, runs)
            return ids, _sums(sizes, counts)
        if self.spec.tokens == "kmer":
            return kmer_tokens(codes, lengths, self.spec.k)
        return np.where(codes < 4, codes + PLAIN, SPECIAL["unknown"]).astype(np.uint8), lengths

    def decode(self, ids: np.ndarray | torch.Tensor) -> str:
        """The bases of some ids, N where one is unknown."""
        return "".join(np.array(list("ACGTN"))[self.codes(np.asarray(ids))])

    def codes(self, ids: np.ndarray) -> np.ndarray:
        """Bases 0 … 3 (A, C, G, T) and 4 (N) of some ids; an unknown k-mer is k times N."""
        ids = np.asarray(ids, dtype=np.int64)
        ids = ids[(ids >= PLAIN) | (ids == SPECIAL["unknown"])]
        if self.tokenizer:
            words = {i: w for w, i in self.tokenizer.get_vocab().items()}
            text = "".join(words[i] if i >= PLAIN else "N" for i in ids.tolist())
            return np.minimum(BASES.table[np.frombuffer(text.encode(), np.uint8)], 4)
        if self.spec.tokens == "kmer":
            return spell_kmers(ids, self.spec.k)
        return np.where(ids >= PLAIN, ids - PLAIN, 4).astype(np.uint8)

    def reverse_complement(self, ids: torch.Tensor) -> torch.Tensor:
        """The ids (n,) of the other strand; raises `InputError` for byte-pair tokens."""
        if self._complement is None:
            raise InputError("domain dna: byte-pair tokens have no reverse complement; use tokens base or kmer")
        return self._complement.to(ids.device)[ids.flip(0)]

    def augment(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Every example read from its other strand with probability ½, labels of its elements with it."""
        if not self.both_strands or self._complement is None:
            return batch
        return self._turned(batch, 0.5, rng).batch

    def transformations(self) -> list[Transformation]:
        """Tokens hidden or shuffled, and, unless they are byte-pair tokens, the other strand."""
        found = super().transformations()
        if self._complement is None:
            return found
        unit = "share read from the other strand"
        return [Transformation("reverse complement", self._turned, (0.5, 1.0), unit, either=0.5), *found]

    def _turned(self, batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        """Examples read from their other strand with probability `strength`, labels of their elements with them."""
        assert self._complement is not None
        turned = (torch.rand(len(batch), generator=rng, device=rng.device) < strength).to(batch.inputs.device)
        owner = batch.segments.to(batch.inputs.device)
        place = torch.arange(len(owner), device=owner.device)
        offsets = batch.offsets.to(owner.device)
        mirrored = torch.where(turned[owner], offsets[owner] + offsets[owner + 1] - 1 - place, place)
        ids = batch.inputs[mirrored]
        ids = torch.where(turned[owner], self._complement.to(ids.device)[ids], ids)
        labels = {k: v[mirrored] for k, v in batch.element_targets.items()}
        return Changed(replace(batch, inputs=ids, element_targets=labels), turned[:, None].float())

    def canonical(self, inputs: np.ndarray) -> np.ndarray:
        """The bases, of the strand that comes first in order where strands do not matter."""
        codes = self.codes(inputs)
        if self.spec.reverse_complement is False:
            return codes
        other = np.where(codes < 4, 3 - codes, codes)[::-1].astype(codes.dtype)
        return codes if codes.tobytes() <= other.tobytes() else other

    def fingerprints(self, example: Example) -> np.ndarray:
        """(k,) hashes of every 21-mer without N, the same for both strands; a shorter example hashes as a whole."""
        codes = self.codes(example.inputs)
        k = min(SEED_LENGTH, len(codes))
        words, clean = strand_words(codes, k)
        return mix(words[clean] + np.uint64(k) * np.uint64(1 << 50))

    def without(self, corpus: Dataset, tests: Dataset) -> Dataset:
        """The corpus without every run of 24 or more bases that a test example holds too, on either strand."""
        return cut_out(corpus, tests, self.spell)

    def spell(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bases 0 … 4 of token ids (n,) end to end, and how many each token is (n,)."""
        ids = np.asarray(ids)
        if self.tokenizer:
            words = {i: len(w) for w, i in self.tokenizer.get_vocab().items() if i >= PLAIN}
            sizes = np.ones(self.inputs.vocabulary, dtype=np.uint16)
            sizes[list(words)] = list(words.values())
            return self.codes(ids), sizes[ids]
        single = (ids >= PLAIN) & (ids < FIRST)
        wide = self.spec.k if self.spec.tokens == "kmer" else 1
        return self.codes(ids), np.where(single, 1, wide).astype(np.uint16)

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Shares of 1- to 5-mers; where all training examples have one length, also which base stands where."""
        return sequence_features([self._spelled(dataset, dataset.lengths) for dataset in (train, *others)], 4, 5)

    def classical_elements(self, dataset: Dataset) -> Any:
        """The 15 bases around every base; only where an element is a base."""
        if self.spec.tokens != "base":
            raise InputError("domain dna: labels of single elements have a baseline only with tokens base")
        return window_one_hot(*self._spelled(dataset, self.kept(dataset)), 4, 7)

    def _spelled(self, dataset: Dataset, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = [self.codes(dataset.store[int(r)][:n]) for r, n in zip(dataset.rows, lengths, strict=True)]
        return np.concatenate([np.zeros(0, np.uint8), *rows]), np.array([len(row) for row in rows], dtype=np.int64)

    def learned(self) -> dict[str, Any]:
        return {}


def _runs(codes: np.ndarray, lengths: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Sequences as strings of at most WORD bases, and how many strings each became."""
    text = np.frombuffer(b"ACGTN", np.uint8)[codes].tobytes().decode("ascii")
    stops = np.cumsum(lengths).tolist()
    starts = [0, *stops[:-1]]
    runs = [
        text[a : min(a + WORD, stop)]
        for start, stop in zip(starts, stops, strict=True)
        for a in range(start, stop, WORD)
    ]
    return runs, -(-np.asarray(lengths) // WORD)


def _sums(sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums of consecutive groups of `counts` numbers; an empty group gives 0."""
    total = np.concatenate([[0], np.cumsum(sizes)])
    stops = np.cumsum(counts)
    return np.asarray(total[stops] - total[stops - counts])
