"""Folders of pictures with boxes: Pascal VOC's and COCO's, found by what lies in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from exapt.domains.opening import File
from exapt.domains.pieces import ROWS, Piece, Wanted, require
from exapt.spec import digest


class Collection(Protocol):
    """Pictures that are read, or made, in a way of their own."""

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        """Every picture with the columns asked for."""
        ...

    def contents(self) -> str:
        """A hash of all that decides what is read."""
        ...


@dataclass(frozen=True)
class Labelled:
    """One picture's file with what is known of it."""

    file: File
    boxes: Sequence[Sequence[Any]]
    split: str = ""


@dataclass(frozen=True)
class Boxed:
    """Picture files with boxes, in order."""

    path: str
    files: Sequence[File]
    """Everything read: pictures, annotations and lists."""
    pictures: Sequence[Labelled]

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        """Pictures as files, with the columns asked for: boxes, split, file."""
        there = ["boxes", "file", *(["split"] if any(p.split for p in self.pictures) else [])]
        for name in wanted.others:
            require(name, there, self.path)
        chosen = [p for p in self.pictures if p.split or "split" not in wanted.others]
        for start in range(0, len(chosen), ROWS):
            some = chosen[start : start + ROWS]
            columns = {name: [_value(p, name) for p in some] for name in wanted.others}
            yield Piece(
                self.path, [p.file for p in some], start + 1, "picture", columns, names=[p.file.name for p in some]
            )

    def contents(self) -> str:
        return digest([[str(file.within), file.checksum()] for file in self.files])


def _value(picture: Labelled, name: str) -> Any:
    if name == "file":
        return str(picture.file.within)
    return picture.split if name == "split" else list(picture.boxes)
