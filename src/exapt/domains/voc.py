"""Pascal VOC's folders: JPEGImages, Annotations (one .xml a picture), and lists of the parts in ImageSets/Main."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exapt.domains.boxed import Boxed, Labelled
from exapt.domains.opening import PICTURES, File
from exapt.errors import InputError

PARTS = ("trainval", "train", "val", "test")
"""Official lists; a later one says more of a picture than an earlier one."""


def is_voc(folder: Path) -> bool:
    """Whether a folder looks like Pascal VOC's."""
    return (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir()


def read_voc(folder: Path) -> Boxed:
    """All pictures of a VOC folder with their boxes and, where there are lists, their part.

    A picture without an annotation has no boxes: it is a negative. Raises `InputError` for an annotation or a listed
    name without a picture, and for an annotation that cannot be read.
    """
    pictures = {p.stem: p for p in sorted((folder / "JPEGImages").iterdir()) if p.suffix.lower() in PICTURES}
    annotations = {p.stem: p for p in sorted((folder / "Annotations").glob("*.xml"))}
    if not pictures:
        raise InputError(f"{folder / 'JPEGImages'}: no pictures in it")
    for name, path in annotations.items():
        if name not in pictures:
            raise InputError(f"{path}: no picture '{name}' in {folder / 'JPEGImages'}; add it or take this file out")
    lists = [path for part in PARTS if (path := folder / "ImageSets" / "Main" / f"{part}.txt").is_file()]
    parts = _parts(lists, pictures)
    found = [
        Labelled(File(path, root=folder), _boxes(annotations[name]) if name in annotations else [], parts.get(name, ""))
        for name, path in pictures.items()
    ]
    files = [File(path, root=folder) for path in [*pictures.values(), *annotations.values(), *lists]]
    return Boxed(str(folder), files, found)


def _parts(lists: Sequence[Path], pictures: dict[str, Path]) -> dict[str, str]:
    """Which part each picture is in: train (also where only trainval names it), val or test."""
    found: dict[str, str] = {}
    for path in lists:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            name = line.split()[0] if line.split() else ""
            if name and name not in pictures:
                raise InputError(f"{path}: line {number}: no picture '{name}' in JPEGImages; add it or take it out")
            if name:
                found[name] = "train" if path.stem == "trainval" else path.stem
    return found


def _boxes(path: Path) -> list[list[Any]]:
    """The objects of an annotation. VOC counts pixels from 1 and includes the last."""
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, OSError) as error:
        raise InputError(f"{path}: not a readable annotation ({error}); correct it or take it out") from None
    return [_box(one, f"{path}: object {number}") for number, one in enumerate(root.iter("object"), 1)]


def _box(one: ET.Element, where: str) -> list[Any]:
    try:
        ends = [float(one.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        raise InputError(f"{where}: its bndbox lacks a number; expected xmin, ymin, xmax and ymax") from None
    name = (one.findtext("name") or "").strip()
    if not name:
        raise InputError(f"{where}: it has no name; expected its class")
    return [ends[0] - 1, ends[1] - 1, ends[2], ends[3], name, int((one.findtext("difficult") or "0").strip() == "1")]
