"""Sources of pictures that are more than files of pictures: with boxes, cut out of others, or composed."""

from __future__ import annotations

from pathlib import Path

from exapt.domains.boxed import Boxed, Collection
from exapt.domains.coco import annotation_files, read_coco
from exapt.domains.collage import collage
from exapt.domains.crops import Crops
from exapt.domains.digit_scenes import MANY_DIGITS, ONE_DIGIT, digit_scenes
from exapt.domains.voc import is_voc, read_voc
from exapt.errors import InputError

CROPS, COLLAGE, SINGLE = "crops:", "collage:", "collage-single:"


def special(path: str) -> Collection | None:
    """What a path names beside plain files; None where it names those."""
    if path.startswith(CROPS):
        return _crops(path.removeprefix(CROPS))
    if path.startswith((COLLAGE, SINGLE)):
        return collage(path.split(":", 1)[1], single=path.startswith(SINGLE))
    if path in (MANY_DIGITS, ONE_DIGIT):
        return digit_scenes(single=path == ONE_DIGIT)
    return boxed(path)


def boxed(path: str) -> Boxed | None:
    """Pictures with boxes, where a path names a folder or file of Pascal VOC's or COCO's form."""
    found = Path(path).expanduser()
    if found.is_dir() and is_voc(found):
        return read_voc(found)
    annotations = annotation_files(found) if found.exists() else []
    return read_coco(found, annotations) if annotations else None


def _crops(path: str) -> Crops:
    found = boxed(path)
    if found is None:
        raise InputError(
            f"{CROPS}{path}: no pictures with boxes there; expected a folder of Pascal VOC's or COCO's form"
        )
    return Crops(found)
