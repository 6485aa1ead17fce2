"""Reading pictures: folders, npz, npy, parquet, Hugging Face data sets, arrays, and those that libraries carry."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from exapt.domains.base import Arrays, Source
from exapt.domains.boxed import Collection
from exapt.domains.carried import SCHEMES, carried
from exapt.domains.opening import PICTURES, File, find_files
from exapt.domains.pieces import ROWS, Piece, Wanted, finish_columns, first_records, from_file, require
from exapt.domains.special import special
from exapt.domains.tables import open_hub, read_hub, read_parquet
from exapt.errors import InputError
from exapt.spec import digest

USUAL = ("image", "picture", "img", "x", "images", "pictures", "data")
ENDINGS = PICTURES | {".npz", ".npy", ".parquet"}
WHAT = "a folder of pictures, or a .npz, .npy or .parquet file"
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's name for a number of channels."""
NATURAL = {"1": "L", "LA": "L", "L": "L", "RGBA": "RGBA"}
"""What a picture file of each mode is read as; every other mode of 8 bits as RGB."""
DEEP = ("I", "F")
"""First letters of the modes of more than 8 bits, all of one channel; they are kept, as Pillow would clip them."""


class PictureSource:
    """A source of pictures, found and ready to be read in pieces of arrays (H, W, C)."""

    def __init__(self, source: Source | Arrays, channels: int | None) -> None:
        self.source = source
        self.channels = channels
        self.wanted = Wanted.of(source, USUAL)
        self.path = source.path
        self.files: list[File] = []
        self.hub: Any = None
        self.special: Collection | None = None if isinstance(source, Arrays) else special(source.path)
        if self.in_memory or self.special is not None:
            return
        if source.path.startswith("hf:"):
            self.hub = open_hub(source.path)
        else:
            self.files = find_files(source.path, ENDINGS, WHAT)

    @property
    def in_memory(self) -> bool:
        """Whether nothing is to be gained from a cache."""
        return isinstance(self.source, Arrays) or (self.special is None and self.path.startswith(SCHEMES))

    def contents(self) -> str:
        """A hash of what was found, without where it lies."""
        if self.special is not None:
            return self.special.contents()
        if self.hub is not None:
            return digest(["hub", self.hub._fingerprint])
        return digest([[str(file.within), file.checksum()] for file in self.files])

    def pieces(self) -> Iterator[Piece]:
        """Every picture in order as an array (H, W, C), with the columns asked for."""
        limit = self.source.limit if isinstance(self.source, Source) else None
        for piece in first_records(self._raw(), limit):
            arrays = [self._array(value, piece, i) for i, value in enumerate(piece.values)]  # type: ignore[arg-type]
            yield finish_columns(replace(piece, values=arrays), self.wanted)

    def _raw(self) -> Iterator[Piece]:
        if isinstance(self.source, Arrays):
            yield from _slices(
                as_pictures(self.source.values, self.path), dict(self.source.columns), self.wanted, self.path
            )
        elif self.special is not None:
            yield from self.special.pieces(self.wanted)
        elif self.in_memory:
            found = carried(self.path)
            yield from _slices(found.pictures, found.columns, self.wanted, self.path)
        elif self.hub is not None:
            yield from read_hub(self.hub, self.path, self.wanted)
        elif self.files[0].suffix in PICTURES:
            yield from _folder(self.files, self.wanted)
        else:
            for file in self.files:
                yield from read_parquet(file, self.wanted) if file.suffix == ".parquet" else _arrays(file, self.wanted)

    def _array(self, value: Any, piece: Piece, index: int) -> np.ndarray:
        where = piece.where(index)
        if isinstance(value, np.ndarray | list):
            return _storable(_with_channels(np.asarray(value), where), where)
        if value is None:
            raise InputError(f"{where}: no picture in this row")
        return decode(value, where, self.channels)


def decode(value: Any, where: str, channels: int | None) -> np.ndarray:
    """A picture (H, W, C) from a file, bytes, a Hugging Face record or a Pillow image; damage is an `InputError`.

    It is turned as its camera says, of several frames the first is taken, and where opacity is not asked for, what can
    be seen through lies on white: what colour it has underneath is chance.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise InputError(f"{where}: reading picture files needs `pip install exapt[vision]`") from None
    try:
        with _opened(value, Image) as image:
            upright = ImageOps.exif_transpose(image)
            if image.mode.startswith(DEEP):
                array = _deep(np.asarray(upright), channels, where)
            else:
                array = np.asarray(_converted(upright, channels, Image))
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{where}: not a picture in a format that Pillow reads; take it out or save it anew") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: a damaged picture, or not one ({error}); take it out or fetch it anew") from None
    return _storable(_with_channels(array, where), where)


def _converted(picture: Any, channels: int | None, image: Any) -> Any:
    """A Pillow image of 8 bits in the mode for so many channels, or the one it is read as."""
    mode = MODES.get(channels or 0) or NATURAL.get(picture.mode, "RGB")
    if mode != "RGBA" and picture.has_transparency_data:
        seen = picture.convert("RGBA")
        picture = image.alpha_composite(image.new("RGBA", seen.size, "white"), seen)
    return picture.convert(mode)


def _deep(picture: np.ndarray, channels: int | None, where: str) -> np.ndarray:
    """A grey picture (H, W) of more than 8 bits with the channels asked for."""
    if channels == 4:
        raise InputError(f"{where}: a grey picture of {picture.dtype} pixels has no opacity; valid channels: 1, 3")
    return np.repeat(picture[:, :, None], channels or 1, axis=2)


def _opened(value: Any, image: Any) -> Any:
    if isinstance(value, File):
        return image.open(value.path)
    if isinstance(value, dict):
        value = value.get("bytes") or b""
    return image.open(io.BytesIO(value)) if isinstance(value, bytes) else value


def as_pictures(values: Any, where: str) -> Sequence[Any] | np.ndarray:
    """An array (n, H, W, C), or a list of pictures as it is.

    Channels stand last, save in (n, 1 | 3, H, W) whose last side is more than 4: that is torch's grey or colour.
    """
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.ndim == 3:
        values = values[:, :, :, None]
    if values.ndim != 4:
        raise InputError(f"{where}: an array {values.shape} is not pictures; expected (n, H, W) or (n, H, W, C)")
    if values.shape[1] in (1, 3) and values.shape[3] > 4:
        return values.transpose(0, 2, 3, 1)
    return values


def _with_channels(picture: np.ndarray, where: str) -> np.ndarray:
    if picture.ndim == 2:
        return picture[:, :, None]
    if picture.ndim != 3:
        raise InputError(f"{where}: an array {picture.shape} is not a picture; expected (H, W) or (H, W, C)")
    return picture


def _storable(pictures: np.ndarray, where: str) -> np.ndarray:
    """uint8 as it is; every other number as float32."""
    if pictures.dtype == np.uint8:
        return pictures
    if pictures.dtype.kind not in "biuf":
        raise InputError(f"{where}: values of type {pictures.dtype} are not pixels; expected numbers")
    return pictures.astype(np.float32)


def _slices(
    pictures: Sequence[Any] | np.ndarray, columns: dict[str, Any], wanted: Wanted, path: str
) -> Iterator[Piece]:
    for name in wanted.others:
        require(name, columns, path)
        if len(columns[name]) != len(pictures):
            raise InputError(f"{path}: {len(pictures)} pictures but {len(columns[name])} values of '{name}'")
    for start in range(0, len(pictures), ROWS):
        part = slice(start, start + ROWS)
        some = {name: _flat(columns[name][part]) for name in wanted.others}
        yield Piece(path, list(pictures[part]), start + 1, "picture", some)


def _flat(values: Any) -> list[Any]:
    """Labels as a list; (n, 1) arrays, which some published files hold, count as (n,)."""
    return list(values[:, 0] if getattr(values, "ndim", 1) == 2 and values.shape[1] == 1 else values)


def _folder(files: Sequence[File], wanted: Wanted) -> Iterator[Piece]:
    for name in wanted.others:
        require(name, from_file(files[0]), str(files[0].root or files[0].path))
    for start in range(0, len(files), ROWS):
        batch = files[start : start + ROWS]
        columns = {name: [from_file(file)[name] for file in batch] for name in wanted.others}
        names = [file.name for file in batch]
        yield Piece(str(files[0].root or files[0].path), batch, start + 1, "picture", columns, names=names)


def _arrays(file: File, wanted: Wanted) -> Iterator[Piece]:
    """Pictures of a .npz (arrays named by the source) or a .npy (memory-mapped)."""
    try:
        if file.suffix == ".npy" and not file.member:
            pictures = as_pictures(np.load(file.path, mmap_mode="r", allow_pickle=False), file.name)
            yield from _slices(pictures, {}, wanted, file.name)
            return
        with file.open() as raw, np.load(io.BytesIO(raw.read()), allow_pickle=False) as archive:
            value = wanted.pick_value(archive.files, file.name)
            columns = {name: archive[require(name, archive.files, file.name)] for name in wanted.others}
            yield from _slices(as_pictures(archive[value], file.name), columns, wanted, file.name)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file.name}: not a readable array file ({error}); arrays of Python objects are refused"
        ) from None
