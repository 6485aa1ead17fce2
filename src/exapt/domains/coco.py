"""COCO's annotations: a JSON of images, annotations and categories, beside or above the pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exapt.domains.boxed import Boxed, Labelled
from exapt.domains.opening import PICTURES, File
from exapt.errors import InputError
from exapt.files import read_json

NAMES = ("instances*.json", "_annotations.coco.json")
PARTS = {"train": "train", "val": "val", "valid": "val", "test": "test"}
"""What the name of an annotation file, or of its folder, says of its part."""


def annotation_files(path: Path) -> list[Path]:
    """COCO's files that a path names: itself, or those in a folder or one below it."""
    if path.is_file():
        return [path] if path.suffix == ".json" else []
    return sorted({found for name in NAMES for found in [*path.glob(name), *path.glob(f"*/{name}")]})


def read_coco(path: Path, annotations: Sequence[Path]) -> Boxed:
    """The pictures that the annotations list, with boxes (x, y, width, height there) under their categories' names.

    An image without annotations has no boxes: it is a negative. Raises `InputError` for files that are not COCO's,
    pictures that are not there, annotations of an unknown image or category.
    """
    root = path if path.is_dir() else path.parent
    there: dict[str, list[Path]] = defaultdict(list)
    for base in [root] if path.is_dir() else [root, root.parent / "images"]:
        for found in sorted(p for p in base.rglob("*") if p.suffix.lower() in PICTURES):
            there[found.name].append(found)
    part = {file: _part(file) for file in annotations}
    pictures = [
        one for file in annotations for one in _of_file(file, root, there, part[file] if len(annotations) > 1 else "")
    ]
    files = [File(file, root=root) for file in annotations] + [one.file for one in pictures]
    return Boxed(str(path), files, pictures)


def _part(file: Path) -> str:
    words = f"{file.stem}_{file.parent.name}".lower()
    return next((part for word, part in PARTS.items() if word in words), file.stem)


def _of_file(file: Path, root: Path, there: dict[str, list[Path]], part: str) -> list[Labelled]:
    data = read_json(file)
    lacking = {"images", "annotations", "categories"} - set(data if isinstance(data, dict) else ())
    if lacking:
        raise InputError(f"{file}: no '{min(lacking)}' in it; expected COCO's images, annotations and categories")
    names = {c["id"]: str(c["name"]) for c in _entries(file, data, "categories", ("id", "name"))}
    images = _entries(file, data, "images", ("id", "file_name"))
    known: set[Any] = set()
    for image in images:
        if image["id"] in known:
            raise InputError(f"{file}: image {image['id']} stands twice in 'images'; an id belongs to one picture")
        known.add(image["id"])
    boxes: dict[Any, list[list[Any]]] = defaultdict(list)
    for one in _entries(file, data, "annotations", ()):
        box = _box(one, known, names, f"{file}: annotation {one.get('id')}")
        boxes[one["image_id"]].append(box)
    return [Labelled(_picture(file, image, root, there), boxes.get(image["id"], []), part) for image in images]


def _entries(file: Path, data: dict[str, Any], name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A list of the file, each of its entries with `keys`: a name or number each."""
    found = data[name]
    if not isinstance(found, list):
        raise InputError(f"{file}: '{name}' is {found!r:.40}; expected a list")
    for place, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise InputError(f"{file}: '{name}', entry {place} is {one!r:.40}; expected keys and values")
        for key in keys:
            if not isinstance(one.get(key), int | str):
                raise InputError(
                    f"{file}: '{name}', entry {place}: {key} is {one.get(key)!r:.40}; expected {' and '.join(keys)}"
                )
    return found


def _box(one: dict[str, Any], known: set[Any], names: dict[Any, str], where: str) -> list[Any]:
    if not isinstance(one.get("image_id"), int | str) or one["image_id"] not in known:
        raise InputError(f"{where}: it is of image {one.get('image_id')}, which 'images' does not list")
    if not isinstance(one.get("category_id"), int | str) or one["category_id"] not in names:
        valid = ", ".join(f"{i} {name}" for i, name in list(names.items())[:12])
        raise InputError(f"{where}: category {one.get('category_id')} is unknown; known: {valid}")
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        raise InputError(f"{where}: bbox is {box!r:.40}; expected [x, y, width, height] in pixels")
    x, y, width, height = box
    return [x, y, x + width, y + height, names[one["category_id"]], int(bool(one.get("iscrowd", 0)))]


def _picture(file: Path, image: dict[str, Any], root: Path, there: dict[str, list[Path]]) -> File:
    """The picture's file: where `file_name` says, seen from the annotations, or the one picture of that name."""
    name = str(image.get("file_name"))
    for base in (file.parent, root):
        if (base / name).is_file():
            return File(base / name, root=root if (base / name).is_relative_to(root) else None)
    found = there.get(Path(name).name, [])
    if len(found) != 1:
        what = "no picture" if not found else f"{len(found)} pictures"
        raise InputError(f"{file}: image {image.get('id')}: {what} '{name}' below {root}; expected one")
    return File(found[0], root=root if found[0].is_relative_to(root) else None)
