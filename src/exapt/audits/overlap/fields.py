"""How each field is compared. A new field registers a function here; nothing else of the audit knows fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

import numpy as np

from exapt.audits.overlap.compare import TOKENS, overlap_sequences, overlap_texts
from exapt.audits.overlap.found import Overlap
from exapt.audits.overlap.graphs import Graph, overlap_graphs
from exapt.audits.overlap.pictures import overlap_pictures
from exapt.domains.atom_features import bonds
from exapt.domains.atoms import AtomsDomain
from exapt.domains.base import Dataset, Domain, Source
from exapt.domains.dna import DnaDomain
from exapt.domains.graph import ROUNDS, GraphDomain
from exapt.domains.image import ImageDomain
from exapt.domains.protein import ProteinDomain
from exapt.domains.records import TEXTS, open_source
from exapt.domains.structure import unpacked
from exapt.domains.text import TextDomain, as_texts
from exapt.domains.tokens import SPECIAL, TokenDomain
from exapt.errors import InputError

DNA, PROTEIN = 24, 12
DNA_NEAR = 16
"""n-grams for near-duplicates of DNA: every 5-mer stands in every sequence."""
RECORDS = 1024
PART = 1 << 20
"""Tokens spelled at a time."""


@dataclass(frozen=True)
class Settings:
    """What may be chosen about a comparison, whatever the field; None picks the field's usual value."""

    n: int | None = None
    near: float | None = None
    boilerplate: float = 0.01
    bits: int = 10
    correlation: float = 0.8
    cache: Path | None = None


@singledispatch
def compare(domain: Domain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings) -> Overlap:
    """Overlap of a corpus with evaluation examples as a domain's records mean it."""
    raise InputError(
        f"audit contamination: {type(domain).__name__} has no comparison of examples yet; text, DNA, protein, other "
        "tokens, pictures and graphs have one"
    )


@compare.register
def _texts(domain: TextDomain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings) -> Overlap:
    """Words, from the files themselves or from what the tokens hold."""
    wanted = [text for text, _ in _joined(_pieces(domain, evaluation))]
    return overlap_texts(
        _pieces(domain, corpus), wanted, n=settings.n, near=settings.near, boilerplate=settings.boilerplate
    )


@compare.register
def _dna(domain: DnaDomain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings) -> Overlap:
    """Bases on both strands, whatever the tokens are."""
    letters = np.array(list("ACGTN"))
    return overlap_sequences(
        _bases(domain, _dataset(domain, corpus, settings)),
        list(_bases(domain, _dataset(domain, evaluation, settings))),
        n=settings.n or DNA,
        near=settings.near,
        near_n=DNA_NEAR,
        boilerplate=settings.boilerplate,
        unit="base",
        other_strand=other_strand,
        unknown=4,
        readable=lambda codes: "".join(letters[codes]),
    )


@compare.register
def _tokens(domain: TokenDomain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings) -> Overlap:
    """Tokens as they are: residues, or those of any other field."""
    return overlap_sequences(
        _rows(_dataset(domain, corpus, settings)),
        list(_rows(_dataset(domain, evaluation, settings))),
        n=settings.n or (PROTEIN if isinstance(domain, ProteinDomain) else TOKENS),
        near=settings.near,
        boilerplate=settings.boilerplate,
        unit=domain.element,
        unknown=SPECIAL["unknown"],
        readable=domain.decode,
    )


@compare.register
def _pictures(
    domain: ImageDomain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings
) -> Overlap:
    """Pictures as the domain sizes them, also mirrored."""
    wanted = list(_rows(_dataset(domain, evaluation, settings)))
    found = _rows(_dataset(domain, corpus, settings))
    return overlap_pictures(found, wanted, bits=settings.bits, correlation=settings.correlation)


@compare.register
def _atoms(domain: AtomsDomain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings) -> Overlap:
    """Structures as graphs of the bonds that distances show: the same molecule in any frame, conformer or order."""
    wanted = [_bonded(inputs) for inputs in _rows(_dataset(domain, evaluation, settings))]
    return overlap_graphs((_bonded(inputs) for inputs in _rows(_dataset(domain, corpus, settings))), wanted)


def _bonded(inputs: np.ndarray) -> Graph:
    structure = unpacked(inputs)
    origin, to = bonds(structure)
    once = origin < to
    return Graph(np.stack([origin[once], to[once]]), structure.numbers)


@compare.register
def _graphs(domain: GraphDomain, corpus: Dataset | Source, evaluation: Dataset | Source, settings: Settings) -> Overlap:
    """Whole graphs, the same up to the numbering of their nodes."""
    if domain.transductive:
        raise InputError(
            "audit contamination: the nodes of one graph always stand in the corpus, labels apart; valid at "
            "domain.level=graph only"
        )
    wanted = [domain.graph(row) for row in _rows(_dataset(domain, evaluation, settings))]
    return overlap_graphs((domain.graph(row) for row in _rows(_dataset(domain, corpus, settings))), wanted, ROUNDS)


def other_strand(codes: np.ndarray) -> np.ndarray:
    """Bases 0 … 3 (A, C, G, T; 4 is N) as read from the other strand."""
    return np.where(codes < 4, 3 - codes.astype(np.int64), codes)[::-1]


def _dataset(domain: Domain, data: Dataset | Source, settings: Settings) -> Dataset:
    return domain.read(data, settings.cache) if isinstance(data, Source) else data


def _rows(dataset: Dataset) -> Iterator[np.ndarray]:
    return (dataset.store[int(row)] for row in dataset.rows)


def _bases(domain: DnaDomain, dataset: Dataset) -> Iterator[np.ndarray]:
    """Bases of every record, spelled part by part so that a chromosome costs a byte a base."""
    for ids in _rows(dataset):
        parts = [domain.codes(ids[a : a + PART]).astype(np.uint8) for a in range(0, len(ids), PART)]
        yield np.concatenate([np.zeros(0, np.uint8), *parts])


def _pieces(domain: TextDomain, data: Dataset | Source) -> Iterator[tuple[str, bool]]:
    """Texts, and whether each carries on the one before."""
    if isinstance(data, Source):
        for piece in open_source(data, TEXTS).pieces():
            for i, text in enumerate(as_texts(piece)):
                yield text, piece.goes_on and i == 0
        return
    for start in range(0, len(data), RECORDS):
        part = data.subset(np.arange(start, min(start + RECORDS, len(data))))
        yield from ((text, False) for text in domain.texts(part))


def _joined(pieces: Iterator[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """Texts that come in pieces, whole."""
    whole: str | None = None
    for text, goes_on in pieces:
        if goes_on and whole is not None:
            whole += text
            continue
        if whole is not None:
            yield whole, False
        whole = text
    if whole is not None:
        yield whole, False
