"""Finding and opening the files of a source: plain, gzipped, in folders, or members of a zip archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from exapt.errors import InputError
from exapt.files import locate

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
FASTA = frozenset({".fa", ".fasta", ".fna", ".ffn", ".faa", ".fas"})
FASTQ = frozenset({".fq", ".fastq"})
TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})

DAMAGE = (gzip.BadGzipFile, zlib.error, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class File:
    """One file, or one member of a zip archive."""

    path: Path
    member: str = ""
    root: Path | None = None
    """The folder it was found under; None for a file that was named."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.path}::{self.member}" if self.member else str(self.path)

    @property
    def within(self) -> PurePosixPath:
        """Its place under the folder or archive that was named."""
        if self.member:
            return PurePosixPath(self.member)
        return PurePosixPath(self.path.relative_to(self.root) if self.root else self.path.name)

    @property
    def suffix(self) -> str:
        """The lower-case ending, `.gz` left out."""
        return ending(self.member or self.path.name)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The uncompressed bytes; damage met while reading is an `InputError` that names the file."""
        with ExitStack() as stack:
            try:
                raw: IO[bytes]
                if self.member:
                    archive = stack.enter_context(zipfile.ZipFile(self.path))
                    raw = stack.enter_context(archive.open(self.member))
                else:
                    raw = stack.enter_context(self.path.open("rb"))
                if (self.member or self.path.name).lower().endswith(".gz"):
                    raw = cast(IO[bytes], stack.enter_context(gzip.GzipFile(fileobj=raw)))
                yield raw
            except DAMAGE as error:
                raise InputError(
                    f"{self.name}: a damaged compressed file ({error}); fetch or compress it anew"
                ) from None
            except UnicodeDecodeError as error:
                raise InputError(f"{self.name}: not UTF-8 text ({error.reason}); save it as UTF-8") from None
            except OSError as error:
                raise InputError(f"{self.name}: cannot be read ({error.strerror or error})") from None

    @contextmanager
    def text(self) -> Iterator[IO[str]]:
        """The uncompressed text, UTF-8, as `open`."""
        with self.open() as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as text:
            yield text

    def checksum(self) -> str:
        """SHA-256 of the stored bytes of a file, or the CRC and size of a member."""
        if self.member:
            with zipfile.ZipFile(self.path) as archive:
                info = archive.getinfo(self.member)
            return f"{info.CRC:08x}-{info.file_size}"
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def ending(name: str) -> str:
    """The lower-case ending of a file name, `.gz` left out."""
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def find_files(path: str, endings: Collection[str], what: str) -> list[File]:
    """The files a path names, sorted. A folder must hold files of one kind.

    Raises `InputError` for a missing or empty file, an ending that is not among `endings`, a folder of several kinds,
    and an archive whose member is not named.
    """
    outer, _, member = path.partition("::")
    found = locate(outer, what)
    if found.is_dir():
        return _in_folder(found, endings, what)
    if found.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; expected {what}")
    if ending(outer) == ".zip":
        return [_in_archive(found, member, endings)]
    if member:
        raise InputError(f"{path}: '::' names a member of a .zip archive, and {outer} is not one")
    if ending(outer) not in endings:
        raise InputError(
            f"{path}: cannot read '{ending(outer)}' files here; valid: {_listed(endings)} (also .gz, or in a .zip)"
        )
    return [File(found)]


def beside(file: File, name: str) -> File:
    """Another file named by the user: in the same archive, next to `file`, or by its own path."""
    if file.member:
        members = members_of(file.path)
        for candidate in (name, str(PurePosixPath(file.member).parent / name)):
            if candidate in members:
                return File(file.path, candidate)
    outer, _, member = name.partition("::")
    for folder in (file.path.parent, Path()):
        if (folder / outer).is_file():
            return File(folder / outer, member)
    raise InputError(f"{file.name}: no file '{name}' beside it")


def members_of(archive: Path) -> list[str]:
    """The names of the files in a zip archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return sorted(info.filename for info in opened.infolist() if not info.is_dir())
    except DAMAGE as error:
        raise InputError(f"{archive}: a damaged zip archive ({error}); fetch it anew") from None


def _in_folder(folder: Path, endings: Collection[str], what: str) -> list[File]:
    visible = (p for p in folder.rglob("*") if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    paths = sorted(p for p in visible if p.is_file() and ending(p.name) in endings)
    if not paths:
        raise InputError(f"{folder}: this folder holds no file that can be read; expected {what} ({_listed(endings)})")
    kinds = sorted({ending(p.name) for p in paths})
    if len(kinds) > 1 and not any(group.issuperset(kinds) for group in (PICTURES, FASTA, FASTQ)):
        raise InputError(
            f"{folder}: this folder holds files of several kinds ({_listed(kinds)}); name one, or a folder of one kind"
        )
    return [File(p, root=folder) for p in paths]


def _in_archive(path: Path, member: str, endings: Collection[str]) -> File:
    members = members_of(path)
    readable = [m for m in members if ending(m) in endings]
    if member and member not in members:
        raise InputError(f"{path}: no member '{member}'; there are: {_listed(members)}")
    if not member and len(readable) != 1:
        raise InputError(f"{path}: name one member as {path.name}::MEMBER; there are: {_listed(readable or members)}")
    return File(path, member or readable[0])


def _listed(words: Collection[str]) -> str:
    shown = sorted(words)[:20]
    return ", ".join(shown) + (", …" if len(words) > 20 else "") or "none"
