"""A fitted model along a genome: windows of both strands, scored and written as tracks that genome browsers read.

.bedgraph has a value for every window, one file a strand; .bed the windows above a threshold, the best of those that
overlap. Coordinates count from 0 and leave the end out, as both formats do. Shapes: w windows of L bases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from exapt.adaptation import Fitted
from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.dna import BASES, DnaDomain
from exapt.domains.fasta import headed
from exapt.domains.opening import FASTA
from exapt.domains.pieces import Letters, Piece
from exapt.domains.records import SEQUENCES, open_source
from exapt.domains.stores import TokenStore
from exapt.errors import InputError, nearest
from exapt.files import atomic
from exapt.tasks.multilabel import MultiLabelTask
from exapt.tasks.regress import RegressTask
from exapt.tasks.softmax import SoftmaxTask
from exapt.training.weights import room_for

BED, GRAPH = (".bed",), (".bedgraph", ".bg")
CHUNK = 1 << 19
"""Bases scored at once."""
SIGNS = {"both": "+-", "plus": "+", "minus": "-"}
NAMES = {"+": "plus", "-": "minus"}
SHOWN = 3
"""Records named in a note."""


@dataclass(frozen=True)
class Scan:
    """How a genome is read."""

    window: int
    """Bases of a window: as long as the sequences that the model was fitted on."""
    stride: int = 10
    """Bases from one window to the next."""
    strand: str = "both"
    """`both`, `plus` or `minus`."""
    at: int | None = None
    """The place within a window, from 0, that its value is written at; None: the middle."""
    threshold: float = 0.5
    """.bed: the least probability of what is written."""
    unknown: float = 0.1
    """The share of unknown bases (N and the like) above which a window has no value."""
    label: str | None = None
    """The class whose probability is written; None: the last."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Scan:
        """From words; raises `InputError` for one that is not known."""
        names = [part.name for part in fields(cls)]
        for name in given:
            if name not in names:
                raise InputError(f"{name}: no word of a scan; {nearest(name, names)}")
        return cls(**given)

    def check(self) -> None:
        """Raise `InputError` for what cannot be."""
        if self.window < 1 or self.stride < 1:
            raise InputError(f"--window {self.window} --stride {self.stride}; both count bases from 1 on")
        if self.strand not in SIGNS:
            raise InputError(f"--strand {self.strand}; {nearest(self.strand, SIGNS)}")
        if self.at is not None and not 0 <= self.at < self.window:
            raise InputError(f"--at {self.at}; valid: 0 to {self.window - 1}, a place within the window")

    def places(self, starts: np.ndarray, sign: str) -> np.ndarray:
        """Where the values of windows that begin at `starts` stand."""
        at = self.window // 2 if self.at is None else self.at
        return starts + (at if sign == "+" else self.window - 1 - at)


@dataclass
class Scanned:
    """What was written, and what could not be scored."""

    files: list[Path]
    rows: int = 0
    bases: int = 0
    records: int = 0
    unknown: int = 0
    """Windows with too many unknown bases."""
    short: list[str] = field(default_factory=list)
    """Records shorter than a window."""

    def notes(self, window: int) -> list[str]:
        """What was left out, in sentences."""
        found = []
        if self.short:
            some = ", ".join(self.short[:SHOWN]) + (", …" if len(self.short) > SHOWN else "")
            found.append(f"{len(self.short)} records are shorter than {window} bases and have no value: {some}")
        if self.unknown:
            found.append(f"{self.unknown} windows hold too many unknown bases and have no value")
        return found


def is_track(out: Path) -> bool:
    """Whether a file's ending asks for a track."""
    return out.suffix in BED + GRAPH


def scan_file(fitted: Fitted, source: Source | Arrays, out: Path, scan: Scan) -> Scanned:
    """Score every window of a FASTA's records and write a track; raises `InputError` for anything else."""
    scan.check()
    if out.suffix in BED and isinstance(fitted.task, RegressTask):
        raise InputError(f"{out}: numbers have no threshold; write .bedgraph")
    column, name = _column(fitted, scan.label)
    files = {sign: _file(out, scan, sign) for sign in SIGNS[scan.strand]}
    writer = _Writer(scan, name, out.suffix in GRAPH, _value(fitted, column), Scanned(sorted(set(files.values()))))
    with ExitStack() as stack:
        opened: dict[Path, IO[str]] = {}
        for path in writer.done.files:
            stack.enter_context(room_for(path))
            opened[path] = stack.enter_context(open(stack.enter_context(atomic(path)), "w", encoding="utf-8"))
        for record, codes in _records(source, writer.done):
            if len(codes) < scan.window:
                writer.done.short.append(record)
                continue
            for sign, path in files.items():
                writer.write(opened[path], record, codes, sign)
    return writer.done


def _file(out: Path, scan: Scan, sign: str) -> Path:
    if out.suffix in BED or scan.strand != "both":
        return out
    return out.with_suffix(f".{NAMES[sign]}{out.suffix}")


@dataclass(frozen=True)
class _Writer:
    """Writes strands of records."""

    scan: Scan
    label: str
    graph: bool
    value: Callable[[np.ndarray], np.ndarray]
    done: Scanned

    def write(self, file: IO[str], record: str, codes: np.ndarray, sign: str) -> None:
        """One strand of one record, some windows at a time."""
        scan, kept = self.scan, [(np.zeros(0, np.int64), np.zeros(0))]
        starts = np.arange(0, len(codes) - scan.window + 1, scan.stride)
        step = max(1, CHUNK // scan.window)
        for begin in range(0, len(starts), step):
            part = starts[begin : begin + step]
            known, values = _scored(codes, part, sign, scan, self.value)
            self.done.unknown += len(part) - len(known)
            if self.graph:
                _write_graph(file, record, scan.places(known, sign), values, scan.stride, len(codes))
                self.done.rows += len(known)
            else:
                above = values >= scan.threshold
                kept.append((known[above], values[above]))
        if not self.graph:
            at, found = (np.concatenate(parts) for parts in zip(*kept, strict=True))
            best = apart(at, found, scan.window)
            _write_bed(file, (record, self.label, sign), at[best], found[best], scan.window)
            self.done.rows += len(best)


def _scored(
    codes: np.ndarray, starts: np.ndarray, sign: str, scan: Scan, value: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The starts of the windows that can be scored, and their values."""
    windows = np.lib.stride_tricks.sliding_window_view(codes, scan.window)[starts]
    known = (windows == 4).mean(1) <= scan.unknown
    windows = windows[known]
    if sign == "-":
        windows = np.where(windows < 4, 3 - windows, 4)[:, ::-1].astype(np.uint8)
    return starts[known], value(windows) if len(windows) else np.zeros(0)


def apart(starts: np.ndarray, values: np.ndarray, window: int) -> np.ndarray:
    """Places of the windows that no better one overlaps, in order; of equals the first."""
    taken: list[int] = []
    blocked = np.zeros(len(starts), dtype=bool)
    for place in np.argsort(-values, kind="stable").tolist():
        if not blocked[place]:
            taken.append(place)
            first, last = np.searchsorted(starts, [starts[place] - window + 1, starts[place] + window])
            blocked[first:last] = True
    return np.array(sorted(taken), dtype=np.int64)


def _write_graph(file: IO[str], name: str, places: np.ndarray, values: np.ndarray, stride: int, length: int) -> None:
    first = np.maximum(places - stride // 2, 0)
    last = np.minimum(places - stride // 2 + stride, length)
    file.writelines(
        f"{name}\t{a}\t{b}\t{v:.5g}\n" for a, b, v in zip(first.tolist(), last.tolist(), values.tolist(), strict=True)
    )


def _write_bed(file: IO[str], names: tuple[str, str, str], starts: np.ndarray, values: np.ndarray, window: int) -> None:
    record, label, sign = names
    file.writelines(
        f"{record}\t{a}\t{a + window}\t{label}\t{min(1000, int(1000 * v))}\t{sign}\n"
        for a, v in zip(starts.tolist(), values.tolist(), strict=True)
    )


def _records(source: Source | Arrays, done: Scanned) -> Iterator[tuple[str, np.ndarray]]:
    """Names and bases 0 … 4 of a FASTA's records; soft-masked letters are bases. Refuses names that are no names."""
    if isinstance(source, Arrays):
        raise InputError(f"{source.path}: tracks are written along the records of a FASTA; give its path")
    seen: set[str] = set()
    for file in open_source(source, SEQUENCES).files:
        if file.suffix not in FASTA:
            raise InputError(
                f"{file.name}: tracks are written along the records of a FASTA ({', '.join(sorted(FASTA))})"
            )
        for piece, _ in headed(file):
            codes, lengths = BASES.encode(piece)
            assert isinstance(piece.values, Letters)
            stops = np.cumsum(lengths)
            for at, name in enumerate(piece.values.names):
                if not name or name in seen:
                    number = piece.first + at
                    why = f"'{name}' stands there twice" if name else "has no name"
                    raise InputError(f"{file.name}: record {number} {why}; every record of a track needs its own name")
                seen.add(name)
                done.records += 1
                done.bases += int(lengths[at])
                yield name, codes[stops[at] - lengths[at] : stops[at]]


def _column(fitted: Fitted, label: str | None) -> tuple[int, str]:
    """Which of the model's outputs is written, and its name; raises `InputError` where a window has no one value."""
    domain, task = fitted.domain, fitted.task
    if not isinstance(domain, DnaDomain):
        raise InputError(f"tracks are of DNA, and this model reads {domain.describe().get('kind')}")
    if task.per_element or not isinstance(task, SoftmaxTask | MultiLabelTask | RegressTask):
        raise InputError("tracks have one value a window: a class's probability, or a number; write .csv")
    names = list(task.columns if isinstance(task, RegressTask) else task.classes)
    if label is not None and label not in names:
        raise InputError(f"--label {label}: the model does not know it; {nearest(label, names)}")
    column = len(names) - 1 if label is None else names.index(label)
    return column, names[column]


def _value(fitted: Fitted, column: int) -> Callable[[np.ndarray], np.ndarray]:
    """Windows of bases (w, L) to one number each."""
    domain = fitted.domain
    assert isinstance(domain, DnaDomain)

    def value(windows: np.ndarray) -> np.ndarray:
        letters = np.frombuffer(b"ACGTN", np.uint8)[windows].reshape(-1)
        ids, lengths = domain.encode_piece(Piece("windows", Letters(letters, np.full(len(windows), windows.shape[1]))))
        longest = int(lengths.max())
        if longest > domain.room:
            wide = windows.shape[1]
            raise InputError(f"--window {wide}: that is {longest} tokens, and the model reads {domain.room} at most")
        found = fitted.predict(Dataset(TokenStore(ids, lengths), np.arange(len(windows))))
        return np.asarray(found.reshape(len(windows), -1)[:, column], dtype=np.float64)

    return value
