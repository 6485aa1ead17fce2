"""Reading a source record by record, whatever holds it: the one way from files to pieces."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from exapt.domains.base import Arrays, Source
from exapt.domains.fasta import read_sequences
from exapt.domains.opening import FASTA, FASTQ, TABLES, File, beside, ending, find_files
from exapt.domains.pieces import ROWS, Piece, Wanted, finish_columns, first_records, from_file, require
from exapt.domains.potts import POTTS, read_potts
from exapt.domains.protein_chains import STRUCTURES, read_chains
from exapt.domains.tables import open_hub, read_hub, read_table
from exapt.errors import InputError
from exapt.spec import digest

BLOCK = 1 << 20
"""Characters of a long document read at once."""


@dataclass(frozen=True)
class Format:
    """What a field's files look like."""

    usual: tuple[str, ...]
    """Usual names of the column that holds the value."""
    endings: frozenset[str]
    """File endings that can be read."""
    record: Literal["file", "line", "paragraph"]
    """What one record of a .txt file is, unless the source says."""
    what: str
    """What is expected, for messages."""
    whole: bool = False
    """Whether an example is a whole row: every column is read, and none of them is "the value"."""


TEXTS = Format(
    ("text", "review", "content"), frozenset({".txt"}) | TABLES, "file", "a .txt, .csv, .tsv, .jsonl or .parquet file"
)
SEQUENCES = Format(
    ("sequence", "seq"),
    frozenset({".txt"}) | TABLES | FASTA | FASTQ,
    "line",
    "a FASTA, FASTQ, .csv, .jsonl or .parquet file",
)
CHAINS = replace(
    SEQUENCES,
    endings=SEQUENCES.endings | STRUCTURES,
    what="a FASTA, FASTQ, .csv, .jsonl or .parquet file, or structures as .pdb or .cif",
)


@dataclass
class Opened:
    """A source found: its files, its Hugging Face data set, or its arrays."""

    source: Source | Arrays
    form: Format
    files: list[File]
    hub: Any = None
    also: list[Opened] = field(default_factory=list)
    """Further sources, whose records follow."""

    @property
    def wanted(self) -> Wanted:
        return Wanted.of(self.source, self.form.usual, self.form.whole)

    def each(self) -> list[Opened]:
        """This source and the further ones, one by one."""
        return [replace(self, also=[]), *self.also]

    def pieces(self) -> Iterator[Piece]:
        """Every record in order, in pieces, with the columns asked for."""
        for further in [self, *self.also]:
            yield from further._own_pieces()

    def _own_pieces(self) -> Iterator[Piece]:
        limit = self.source.limit if isinstance(self.source, Source) else None
        for piece in first_records(self._raw(), limit):
            yield finish_columns(piece, self.wanted)

    def _raw(self) -> Iterator[Piece]:
        if isinstance(self.source, Arrays):
            yield from read_arrays(self.source, self.wanted)
        elif self.hub is not None:
            yield from read_hub(self.hub, self.source.path, self.wanted)
        elif self.source.path.startswith(POTTS):
            yield from read_potts(self.source.path, self.wanted)
        for file in self.files:
            yield from self._of_file(file)

    def _of_file(self, file: File) -> Iterator[Piece]:
        if file.suffix in TABLES:
            return read_table(file, self.wanted)
        if file.suffix in FASTA | FASTQ:
            return read_sequences(file, self.wanted)
        if file.suffix in STRUCTURES:
            return read_chains(file, self.wanted)
        given = self.source.record if isinstance(self.source, Source) else None
        return read_txt(file, self.wanted, given or self.form.record)

    def contents(self) -> str:
        """A hash of what was found, without where it lies."""
        if self.also:
            return digest([one.contents() for one in self.each()])
        if self.hub is not None:
            return digest(["hub", self.hub._fingerprint])
        if self.source.path.startswith(POTTS):
            return digest(self.source.path)
        pairs = [beside(file, n) for file in self.files for n in self.wanted.others if ending(n) in FASTA]
        return digest([[str(file.within), file.checksum()] for file in [*self.files, *pairs]])


def open_source(source: Source | Arrays, form: Format) -> Opened:
    """Find what a source names, and the further ones it names; raises `InputError` where something is missing, empty or
    of the wrong kind."""
    if isinstance(source, Arrays):
        return Opened(source, form, [])
    if source.also:
        first, *others = [open_source(one, form) for one in source.each()]
        return replace(first, source=source, also=others)
    if source.path.startswith("hf:"):
        return Opened(source, form, [], open_hub(source.path))
    if source.path.startswith(POTTS) and form.endings >= STRUCTURES:
        return Opened(source, form, [])
    return Opened(source, form, find_files(source.path, form.endings, form.what))


def read_arrays(arrays: Arrays, wanted: Wanted) -> Iterator[Piece]:
    """Pieces of examples in memory."""
    for name in wanted.others:
        require(name, arrays.columns, arrays.path)
    for name, column in arrays.columns.items():
        if len(column) != len(arrays.values):
            raise InputError(f"{arrays.path}: {len(arrays.values)} examples but {len(column)} values of '{name}'")
    for start in range(0, len(arrays.values), ROWS):
        part = slice(start, start + ROWS)
        columns = {name: list(arrays.columns[name][part]) for name in wanted.others}
        whole = columns_of(arrays.values[part], arrays.path, start) if wanted.whole else {}
        yield Piece(arrays.path, arrays.values[part], start + 1, "example", whole | columns)


def columns_of(rows: Sequence[Any] | np.ndarray, path: str, start: int = 0) -> dict[str, list[Any]]:
    """Rows in memory, each a mapping from names to values, as columns; what a row lacks is missing."""
    for number, row in enumerate(rows, start + 1):
        if not isinstance(row, Mapping):
            raise InputError(
                f"{path}: example {number} is {type(row).__name__}; expected a mapping from column names to values "
                "(of a data frame: df.to_dict('records'))"
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def read_txt(file: File, wanted: Wanted, record: Literal["file", "line", "paragraph"]) -> Iterator[Piece]:
    """Documents of a .txt: the whole file (in blocks that carry on), its lines, or its paragraphs."""
    given = from_file(file)
    for name in wanted.others:
        if name not in given:
            raise InputError(
                f"{file.name}: a .txt file has no column '{name}'; valid: {', '.join(given)}, or give a csv or jsonl"
            )
    with file.open() as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig")
        parts = {"file": _blocks, "line": _lines, "paragraph": _paragraphs}[record](text)
        first = 1
        size = 1 if record == "file" else ROWS
        while batch := list(islice(parts, size)):
            columns = {name: [given[name]] * len(batch) for name in wanted.others}
            goes_on = record == "file" and first > 1
            yield Piece(file.name, batch, 1 if record == "file" else first, record, columns, goes_on)
            first += len(batch)


def _blocks(text: io.TextIOBase) -> Iterator[str]:
    """A document in blocks that end at line ends, so that its words stay whole."""
    while block := text.read(BLOCK):
        yield block + text.readline(BLOCK)


def _lines(text: io.TextIOBase) -> Iterator[str]:
    return (line.rstrip("\n") for line in text)


def _paragraphs(text: io.TextIOBase) -> Iterator[str]:
    lines: list[str] = []
    for line in text:
        if line.strip():
            lines.append(line)
        elif lines:
            yield "".join(lines).strip()
            lines = []
    if lines:
        yield "".join(lines).strip()
