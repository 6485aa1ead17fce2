"""From pictures to a data set of one size, in memory or memory-mapped."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from exapt.domains.base import Dataset
from exapt.domains.boxes import BOXES, checked
from exapt.domains.caching import cached
from exapt.domains.pictures import WHAT, PictureSource
from exapt.domains.pieces import Piece, as_column
from exapt.domains.resizing import fit, fit_boxes
from exapt.domains.stores import PictureStore
from exapt.errors import InputError
from exapt.files import read_json, write_json
from exapt.spec import digest

VERSION = 2
Size = int | tuple[int, int] | None


class Shape(NamedTuple):
    """What all pictures of a domain share."""

    height: int
    width: int
    channels: int


def read_pictures(
    found: PictureSource,
    size: Size,
    shape: Shape | None,
    key: str,
    cache: Path | None,
    elements: int,
    stretch: bool = False,
) -> Dataset:
    """Every picture of a source. After `size` is applied all must have one shape: the domain's, or the first one's.

    A column of boxes is checked, and moves with its pictures.
    """
    if cache is None or found.in_memory:
        gatherer = _Gatherer(size, shape, None, stretch)
        gatherer.read(found)
        pictures = np.stack(gatherer.pictures)
        return _dataset(PictureStore(pictures, elements), gatherer.columns, gatherer.lost, found)

    def write(folder: Path) -> None:
        with (folder / "pictures.bin").open("wb") as file:
            gatherer = _Gatherer(size, None, file, stretch)
            gatherer.read(found)
        write_json(folder / "store.json", gatherer.facts())
        write_json(folder / "columns.json", gatherer.columns)
        write_json(folder / "lost.json", gatherer.lost)

    asked = found.source.model_dump(exclude={"path"})  # type: ignore[union-attr]
    folder = cached(cache, f"pictures-{digest([VERSION, key, asked, found.contents()])}", write)
    store = PictureStore.open(folder, elements)
    _check(Shape(*store.pictures.shape[1:]), shape, found.path, "the domain's")
    return _dataset(store, read_json(folder / "columns.json"), read_json(folder / "lost.json"), found)


class _Gatherer:
    """Pictures of one shape, kept in memory or written to a file."""

    def __init__(self, size: Size, shape: Shape | None, file: Any = None, stretch: bool = False) -> None:
        self.size = (size, size) if isinstance(size, int) else size
        self.stretch = stretch
        self.shape, self.file = shape, file
        self.whose = "the domain's" if shape else "the first one's"
        self.dtype: np.dtype[Any] | None = None
        self.pictures: list[np.ndarray] = []
        self.columns: dict[str, list[Any]] = {}
        self.count = self.lost = 0
        self.hash = hashlib.sha256()

    def read(self, found: PictureSource) -> None:
        for piece in found.pieces():
            for index, picture in enumerate(piece.values):  # type: ignore[arg-type]
                self._add(fit(picture, self.size, self.stretch) if self.size else picture, piece.where(index))
            for name, values in piece.columns.items():
                self.columns.setdefault(name, []).extend(self._boxes(piece) if name == BOXES else values)
        if not self.count:
            raise InputError(f"{found.path}: no pictures in it; expected {WHAT}")

    def _boxes(self, piece: Piece) -> list[Any]:
        """Each picture's boxes, checked, and moved with it."""
        found = []
        for index, (picture, given) in enumerate(zip(piece.values, piece.columns[BOXES], strict=True)):  # type: ignore[arg-type]
            rows = checked(given, picture.shape[:2], piece.where(index))
            moved = fit_boxes(rows, picture.shape[:2], self.size or picture.shape[:2], self.stretch)
            self.lost += moved.lost
            found.append(moved.rows)
        return found

    def _add(self, picture: np.ndarray, where: str) -> None:
        self.shape = self.shape or Shape(*picture.shape)
        self.dtype = self.dtype or picture.dtype
        _check(Shape(*picture.shape), self.shape, where, self.whose)
        if picture.dtype == np.float32 and not np.isfinite(picture).all():
            raise InputError(f"{where}: pixels that are not finite numbers")
        if picture.dtype != self.dtype:
            raise InputError(f"{where}: pixels are {picture.dtype}, the first picture's are {self.dtype}; use one kind")
        self.count += 1
        if self.file is None:
            self.pictures.append(picture)
            return
        data = np.ascontiguousarray(picture)
        self.hash.update(data.data)
        self.file.write(data.data)

    def facts(self) -> dict[str, Any]:
        assert self.shape is not None
        shape = [self.count, *self.shape]
        return {"shape": shape, "dtype": str(self.dtype), "content": digest([shape, self.hash.hexdigest()])}


def _check(shape: Shape, wanted: Shape | None, where: str, whose: str) -> None:
    if wanted is None or shape == wanted:
        return
    if shape[:2] != wanted[:2]:
        sizes = f"{shape.height} × {shape.width}, {whose} {wanted.height} × {wanted.width}"
        raise InputError(f"{where}: its size is {sizes}; set domain.size to bring all to one size")
    channels = f"{shape.channels} channels, {whose} {wanted.channels}"
    raise InputError(f"{where}: it has {channels}; for picture files set domain.channels to 1 or 3")


def _dataset(store: PictureStore, columns: dict[str, list[Any]], lost: int, found: PictureSource) -> Dataset:
    arrays = {name: as_column(values) for name, values in columns.items()}
    skipped = {"boxes whose centre was cut away": lost} if lost else {}
    return Dataset(store, np.arange(len(store)), arrays, source=found.path, skipped=skipped, roles=found.wanted.roles)
