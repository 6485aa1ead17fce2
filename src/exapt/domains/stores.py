"""Random access to encoded examples, in memory or memory-mapped, and windows over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from exapt.domains.base import Store
from exapt.errors import InputError
from exapt.files import read_json, write_json
from exapt.spec import digest


class TokenStore:
    """Token ids of all records end to end: a flat array, in memory or memory-mapped from a folder."""

    def __init__(self, ids: np.ndarray, lengths: np.ndarray, content: str = "", folder: Path | None = None) -> None:
        self.ids = ids
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.starts = np.concatenate([[0], self.lengths.cumsum()])
        self.folder = folder
        self._content = content

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.ids[self.starts[index] : self.starts[index + 1]])

    def fingerprint(self) -> str:
        """A hash of ids and lengths."""
        self._content = self._content or token_content(
            hashlib.sha256(np.ascontiguousarray(self.ids).data), self.lengths
        )
        return self._content

    def save(self, folder: Path) -> None:
        """Write what a `TokenWriter` with a file has not written yet."""
        np.save(folder / "lengths.npy", self.lengths)
        write_json(folder / "store.json", {"dtype": str(self.ids.dtype), "content": self.fingerprint()})

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """Memory-map a saved store; raises `InputError` where the folder is damaged."""
        facts, lengths = _facts(folder), _lengths(folder)
        path, dtype = folder / "ids.bin", np.dtype(facts["dtype"])
        if not path.is_file() or path.stat().st_size != int(lengths.sum()) * dtype.itemsize:
            raise InputError(f"{folder}: a damaged cache (ids.bin does not fit lengths.npy); delete this folder")
        return cls(np.memmap(path, dtype=dtype, mode="r"), lengths, facts["content"], folder)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Another process maps the same file instead of copying it."""
        if self.folder is not None:
            return TokenStore.open, (self.folder,)
        return TokenStore, (self.ids, self.lengths, self._content)


class TokenWriter:
    """Gathers encoded records piece by piece, in memory or straight into `folder/ids.bin`."""

    def __init__(self, dtype: np.dtype[Any], folder: Path | None = None) -> None:
        self.dtype = dtype
        self._file = (folder / "ids.bin").open("wb") if folder else None
        self._parts: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._hash = hashlib.sha256()

    def add(self, ids: np.ndarray, lengths: np.ndarray, goes_on: bool = False) -> None:
        """Append records; the first may carry on the last one."""
        part = np.ascontiguousarray(ids, dtype=self.dtype)
        self._hash.update(part.data)
        if self._file:
            self._file.write(part.data)
        else:
            self._parts.append(part)
        lengths = np.array(lengths, dtype=np.int64)
        if goes_on:
            self._lengths[-1][-1] += lengths[0]
            lengths = lengths[1:]
        if len(lengths):
            self._lengths.append(lengths)

    def finish(self) -> tuple[TokenStore, np.ndarray]:
        """The store of all records that are not empty, and (n,) which records those are."""
        lengths = np.concatenate([np.zeros(0, dtype=np.int64), *self._lengths])
        full = np.flatnonzero(lengths)
        content = token_content(self._hash, lengths[full])
        ids = np.concatenate([np.zeros(0, dtype=self.dtype), *self._parts])
        self.close()
        return TokenStore(ids, lengths[full], content), full

    def close(self) -> None:
        if self._file:
            self._file.close()


def token_content(ids: Any, lengths: np.ndarray) -> str:
    """The content hash of ids (already hashed) and lengths; the width of the integers does not matter to readers."""
    ids.update(np.ascontiguousarray(lengths, dtype=np.int64).data)
    return str(ids.hexdigest()[:32])


class WindowStore:
    """Runs of a store's records as examples; nothing is copied."""

    def __init__(self, base: Store, record: np.ndarray, start: np.ndarray, stop: np.ndarray) -> None:
        self.base, self.record, self.start, self.stop = base, record, start, stop

    def __len__(self) -> int:
        return len(self.record)

    def __getitem__(self, index: int) -> np.ndarray:
        if isinstance(self.base, TokenStore):
            begin = self.base.starts[self.record[index]]
            return np.asarray(self.base.ids[begin + self.start[index] : begin + self.stop[index]])
        return self.base[int(self.record[index])][self.start[index] : self.stop[index]]

    @cached_property
    def lengths(self) -> np.ndarray:
        return self.stop - self.start

    def fingerprint(self) -> str:
        """A hash of the store beneath and the cuts."""
        parts = hashlib.sha256(self.base.fingerprint().encode())
        for cuts in (self.record, self.start, self.stop):
            parts.update(np.ascontiguousarray(cuts, dtype=np.int64).data)
        return parts.hexdigest()[:32]


class JoinedStore:
    """Several stores one after another; nothing is copied."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = list(stores)
        self.first = np.cumsum([0, *(len(store) for store in self.stores)])
        """(stores + 1,) the row that each begins at."""
        self.lengths = np.concatenate([store.lengths for store in self.stores])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        store, row = self.place(index)
        return store[row]

    def place(self, index: int) -> tuple[Store, int]:
        """The store that an example stands in, and its row there."""
        part = int(np.searchsorted(self.first, index, side="right")) - 1
        return self.stores[part], int(index - self.first[part])

    def fingerprint(self) -> str:
        """A hash of the stores' own."""
        return digest([store.fingerprint() for store in self.stores])


class PictureStore:
    """Pictures of one size: (n, H, W, C) uint8 or float32, in memory or memory-mapped from a folder."""

    def __init__(self, pictures: np.ndarray, elements: int, content: str = "", folder: Path | None = None) -> None:
        self.pictures = pictures
        self.elements = elements
        self.lengths = np.full(len(pictures), elements, dtype=np.int64)
        self.folder = folder
        self._content = content

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self.pictures[index])

    def fingerprint(self) -> str:
        """A hash of sizes and pixels."""
        if not self._content:
            parts = hashlib.sha256(repr((self.pictures.shape, str(self.pictures.dtype))).encode())
            for picture in self.pictures:
                parts.update(np.ascontiguousarray(picture).data)
            self._content = parts.hexdigest()[:32]
        return self._content

    @classmethod
    def open(cls, folder: Path, elements: int) -> PictureStore:
        """Memory-map the pictures of a folder."""
        facts, path = _facts(folder), folder / "pictures.bin"
        shape, dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
        if not path.is_file() or path.stat().st_size != int(np.prod(shape)) * dtype.itemsize:
            raise InputError(f"{folder}: a damaged cache (pictures.bin has the wrong size); delete this folder")
        return cls(np.memmap(path, dtype=dtype, mode="r", shape=shape), elements, facts["content"], folder)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Another process maps the same file instead of copying it."""
        if self.folder is not None:
            return PictureStore.open, (self.folder, self.elements)
        return PictureStore, (self.pictures, self.elements, self._content)


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = read_json(folder / "store.json")
    return facts


def _lengths(folder: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(folder / "lengths.npy", allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: a damaged cache ({error}); delete this folder") from None
