"""What a folder's run is, so that another one never continues it silently."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from exapt.errors import InputError
from exapt.files import jsonable, read_json, write_json
from exapt.training.weights import room_for

FILE = "identity.json"
ABSENT = "(not there)"


class Difference(NamedTuple):
    """The first key at which two identities differ."""

    key: str
    old: Any
    new: Any


def first_difference(old: Any, new: Any, key: str = "") -> Difference | None:
    """Compare nested plain data key by key; None when equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for part in {**old, **new}:
            inner = f"{key}.{part}" if key else str(part)
            found = first_difference(old.get(part, ABSENT), new.get(part, ABSENT), inner)
            if found:
                return found
        return None
    return None if old == new else Difference(key, old, new)


def agree(folder: Path, identity: Mapping[str, Any], partial: bool = False) -> bool:
    """Whether the folder holds this run (`partial`: one that agrees in these keys); False where it holds none.

    Raises `InputError` naming the first key that differs, the value of the folder's run, the value asked for, and
    what to do.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return False
    old, new = read_json(path), jsonable(dict(identity))
    found = first_difference({key: old.get(key, ABSENT) for key in new} if partial else old, new)
    if found:
        raise InputError(
            f"{folder}: holds a run with {found.key} = {found.old!r}, this one has {found.new!r}; "
            "choose a new folder, or start afresh here (resume=False, --fresh), which discards the old run"
        )
    return True


def claim(folder: Path, identity: Mapping[str, Any], resume: bool) -> bool:
    """Make a folder this run's own; True when it already was and may be continued.

    With `resume=False` the old run is forgotten. Raises `InputError` as `agree` does.
    """
    if resume and agree(folder, identity):
        return True
    with room_for(Path(folder) / FILE):
        write_json(Path(folder) / FILE, dict(identity))
    return False
