"""Reading FASTA and FASTQ: whole blocks at once with numpy, so a genome takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO

import numpy as np

from exapt.domains.opening import FASTA, FASTQ, File, beside, ending
from exapt.domains.pieces import Letters, Piece, Wanted, companion, from_file, header_values
from exapt.errors import InputError, nearest

BLOCK = 1 << 24
"""Bytes read at once."""
NEWLINE, GREATER = ord("\n"), ord(">")


def read_sequences(file: File, wanted: Wanted) -> Iterator[Piece]:
    """Pieces of a FASTA or FASTQ with the columns asked for, from headers or from a FASTA of labels beside it.

    Records that a FASTA of labels leaves out are left out; raises `InputError` where headers or lengths do not agree.
    """
    pairs = {name: Pair(file, name) for name in wanted.others if ending(name) in FASTA}
    for piece, headers in headed(file):
        yield _with_columns(piece, headers, pairs, file, wanted) if wanted.others else piece
    for name, pair in pairs.items():
        if not pair.used:
            raise InputError(
                f"{file.name}: no record has the name of one in {name}, such as '{next(iter(pair.records), '')}'"
            )


def headed(file: File) -> Iterator[tuple[Piece, list[str]]]:
    """Pieces and the headers of their records, the mark left out."""
    parse = _fastq if file.suffix in FASTQ else _fasta
    first = 1
    with file.open() as raw:
        for letters, headers in parse(raw, file.name):
            names = [h.split(None, 1)[0] if h.strip() else "" for h in headers]
            yield Piece(file.name, replace(letters, names=names), first, "record"), headers
            first += len(headers)


def _fasta(raw: IO[bytes], name: str) -> Iterator[tuple[Letters, list[str]]]:
    for chunk in _whole_records(raw, name):
        data = np.frombuffer(chunk, np.uint8)
        breaks = np.flatnonzero(data == NEWLINE)
        starts = np.concatenate([[0], breaks + 1])
        starts = starts[starts < len(data)]
        heads = starts[data[starts] == GREATER]
        ends = np.append(breaks, len(data))[np.searchsorted(breaks, heads)]
        kept = data > ord(" ")
        headers = []
        for head, end in zip(heads.tolist(), ends.tolist(), strict=True):
            kept[head:end] = False
            headers.append(chunk[head + 1 : end].decode("utf-8", "replace").strip())
        yield Letters(data[kept], np.add.reduceat(kept, heads, dtype=np.int64)), headers


def _whole_records(raw: IO[bytes], name: str) -> Iterator[bytes]:
    """Blocks that end where a record ends; a record longer than a block is gathered whole."""
    waiting: list[bytes] = []
    begun = False
    while block := raw.read(BLOCK):
        if not begun:
            block = block.lstrip()
            begun = bool(block)
            if begun and block[0] != GREATER:
                start = block[:20].split(b"\n")[0].decode("utf-8", "replace")
                raise InputError(f"{name}: not FASTA: it starts with '{start}', not with a header line '>name'")
        if waiting and waiting[-1].endswith(b"\n") and block.startswith(b">"):
            yield b"".join(waiting)
            waiting = []
        cut = block.rfind(b"\n>") + 1
        if cut:
            yield b"".join([*waiting, block[:cut]])
            waiting, block = [], block[cut:]
        waiting.append(block)
    rest = b"".join(waiting)
    if not rest:
        raise InputError(f"{name}: the file is empty; expected FASTA records")
    yield rest


def _fastq(raw: IO[bytes], name: str) -> Iterator[tuple[Letters, list[str]]]:
    """Records of four or more lines: @name, sequence, +, qualities as long as the sequence."""
    lines = (line.strip() for line in raw)
    records = _fastq_records(lines, name)
    while batch := [record for _, record in zip(range(1 << 16), records, strict=False)]:
        yield Letters.of([sequence for _, sequence in batch]), [header for header, _ in batch]


def _fastq_records(lines: Iterator[bytes], name: str) -> Iterator[tuple[str, str]]:
    for line in lines:
        if not line:
            continue
        header = line[1:].decode("utf-8", "replace")
        if line[:1] != b"@":
            raise InputError(
                f"{name}: not FASTQ: expected a header line '@name', found '{line[:20].decode('utf-8', 'replace')}'"
            )
        parts: list[bytes] = []
        for part in lines:
            if part[:1] == b"+":
                break
            parts.append(part)
        sequence = b"".join(parts)
        have = 0
        while have < len(sequence):
            have += len(quality := next(lines, b""))
            if not quality:
                break
        if have != len(sequence):
            raise InputError(
                f"{name}: record '{header}': {len(sequence)} letters but {have} qualities; the file may be cut short"
            )
        yield header, sequence.decode("latin-1")


class Pair:
    """A second FASTA, whose records label those of the first by name."""

    def __init__(self, file: File, name: str) -> None:
        self.file = beside(file, name)
        self.records: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.used = False
        for piece, headers in headed(self.file):
            assert isinstance(piece.values, Letters)
            text = piece.values.codes.tobytes().decode("latin-1")
            stops = piece.values.lengths.cumsum().tolist()
            for record, header, start, stop in zip(piece.values.names, headers, [0, *stops], stops, strict=False):
                self.records[record] = text[start:stop]
                self.headers[record] = header_values(header)


def _with_columns(piece: Piece, headers: list[str], pairs: dict[str, Pair], file: File, wanted: Wanted) -> Piece:
    """The records that every pair knows, with their columns."""
    letters = piece.values
    assert isinstance(letters, Letters)
    known = [all(name in pair.records for pair in pairs.values()) for name in letters.names]
    for pair in pairs.values():
        pair.used = pair.used or any(known)
    piece, headers = _keep(piece, known), [h for h, k in zip(headers, known, strict=True) if k]
    letters = piece.values
    assert isinstance(letters, Letters)
    columns = {name: [pair.records[n] for n in letters.names] for name, pair in pairs.items()}
    for name, labels in columns.items():
        for i, (label, length) in enumerate(zip(labels, letters.lengths.tolist(), strict=True)):
            if len(label) != length:
                raise InputError(f"{piece.where(i)}: {length} letters, but its record in {name} has {len(label)}")
    facts = [_facts(h, n, pairs, file) for h, n in zip(headers, letters.names, strict=True)]
    extra = companion(wanted.split, facts[0] if facts else ())
    for name in [n for n in (*wanted.others, extra) if n and n not in columns]:
        columns[name] = [_fact(values, name, piece, i) for i, values in enumerate(facts)]
    return replace(piece, columns=columns)


def _facts(header: str, name: str, pairs: dict[str, Pair], file: File) -> dict[str, str]:
    given = from_file(file)
    for pair in pairs.values():
        given |= pair.headers[name]
    return given | header_values(header)


def _fact(values: dict[str, str], name: str, piece: Piece, index: int) -> str:
    if name not in values:
        raise InputError(f"{piece.where(index)}: the header has no '{name}='; {nearest(name, values)}")
    return values[name]


def _keep(piece: Piece, known: list[bool]) -> Piece:
    """The records that are marked."""
    letters = piece.values
    assert isinstance(letters, Letters)
    if all(known):
        return piece
    marked = np.array(known, dtype=bool)
    codes = letters.codes[np.repeat(marked, letters.lengths)]
    names = [n for n, k in zip(letters.names, known, strict=True) if k]
    return replace(piece, values=Letters(codes, letters.lengths[marked], names), left_out=int((~marked).sum()))
