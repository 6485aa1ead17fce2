"""Folders that are written once, as a whole, and found again by the content they were made from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from exapt.errors import InputError
from exapt.files import make_folder


def cached(cache: Path, name: str, write: Callable[[Path], None]) -> Path:
    """The folder `cache/name`, written by `write` where it is not there yet.

    It is written under another name and renamed when complete, so a killed run leaves no half of it behind, and of two
    processes that write it at once one wins. Raises `InputError` where the cache cannot be written.
    """
    target = Path(cache) / name
    if target.is_dir():
        return target
    make_folder(Path(cache))
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache))
    except OSError as error:
        raise InputError(f"{cache}: cannot write here ({error.strerror}); choose another cache folder") from None
    try:
        write(draft)
        _sync(draft)
        draft.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise InputError(f"{cache}: cannot write the encoded corpus ({error.strerror}); free some space") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _sync(folder: Path) -> None:
    """Force every file to the disk before the folder gets its name."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
