"""Objects cut out of pictures with boxes: pictures of one object each, with its class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from exapt.domains.boxed import Boxed, Labelled
from exapt.domains.boxes import checked
from exapt.domains.opening import File
from exapt.domains.pieces import Piece, Wanted, require
from exapt.errors import InputError
from exapt.spec import digest

AROUND = 1.5
"""Side of the square that is cut out, in longer sides of the box; it stops at the picture's border."""
TRAINING = ("train", "training")


@dataclass(frozen=True)
class Crops:
    """Every object of the training part of pictures with boxes that is not to be ignored."""

    boxed: Boxed

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        """One piece a picture, with its crops' `label`. Without official parts objects of a test would be learnt."""
        for name in wanted.others:
            require(name, ["label"], f"crops:{self.boxed.path}")
        chosen = [picture for picture in self.boxed.pictures if picture.split in TRAINING]
        if not chosen:
            raise InputError(
                f"crops:{self.boxed.path}: no lists say which pictures are for training, so crops of test pictures "
                "would be learnt from; add ImageSets/Main/train.txt, or an annotation file for each part"
            )
        first = 1
        for picture in chosen:
            crops, names = _cut(picture)
            columns = {name: list(names) for name in wanted.others}
            if crops:
                yield Piece(f"crops:{self.boxed.path}", crops, first, "object", columns)
            first += len(crops)

    def contents(self) -> str:
        return digest(["crops", AROUND, self.boxed.contents()])


def _cut(picture: Labelled) -> tuple[list[np.ndarray], list[str]]:
    whole = _pixels(picture.file)
    rows = checked(picture.boxes, (whole.shape[0], whole.shape[1]), picture.file.name)
    used = [row for row in rows if not row[5]]
    return [_square(whole, row) for row in used], [row[4] for row in used]


def _pixels(file: File) -> np.ndarray:
    from exapt.domains.pictures import decode  # not above: reading pictures asks here which sources there are

    return decode(file, file.name, None)


def _square(picture: np.ndarray, row: list[Any]) -> np.ndarray:
    x1, y1, x2, y2 = row[:4]
    half = AROUND * max(x2 - x1, y2 - y1) / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    top, left = max(0, int(y - half)), max(0, int(x - half))
    return picture[top : int(np.ceil(y + half)), left : int(np.ceil(x + half))]
