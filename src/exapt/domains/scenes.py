"""Scenes composed of small pictures: objects at random places and sizes among distractors on a background.

Scene i of a seed is always the same, whichever others are asked for. Its boxes are known, for they are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from exapt.domains.pieces import Piece, Wanted, require
from exapt.domains.resizing import fit
from exapt.spec import digest

VERSION = 1
"""Raise it when what is drawn changes: older caches are then not found."""
ROWS = 64
"""Scenes made at once."""
TRIES = 30
"""Places tried for an object before it is left out."""
OVERLAP = 0.15
"""The largest share of either of two objects that the other may hide."""


class Pasted(NamedTuple):
    """A small picture to be pasted."""

    pixels: np.ndarray
    """(h, w, C) 0 … 255."""
    cover: np.ndarray
    """(h, w, 1) 0 … 1, how much of what is beneath it hides."""


@dataclass(frozen=True)
class Recipe:
    """What a scene holds."""

    canvas: int
    """Side in pixels."""
    objects: tuple[int, int]
    sides: tuple[int, int]
    """Sides of objects in pixels; all sizes of this range are equally likely on a logarithmic scale."""
    distractors: tuple[int, int]
    clutter: tuple[int, int]
    """Sides of distractors."""


@dataclass(frozen=True)
class Part:
    """What one part of the scenes is drawn from."""

    name: str
    count: int
    background: Callable[[np.random.Generator], np.ndarray]
    """(canvas, canvas, C) float pixels."""
    draw: Callable[[np.random.Generator, int], tuple[Pasted, str]]
    """An object of a side, and its class."""
    distract: Callable[[np.random.Generator, int], Pasted]
    """Something of a side that is none of the classes."""


@dataclass(frozen=True)
class Scenes:
    """Composed pictures with the columns boxes, label (where each holds one object) and split."""

    path: str
    recipe: Recipe
    parts: Sequence[Part]
    key: Sequence[Any]
    """Whatever else decides what is drawn."""
    seed: int = 0

    def pieces(self, wanted: Wanted) -> Iterator[Piece]:
        """Scenes in order, a few hundred at a time."""
        single = self.recipe.objects == (1, 1)
        for name in wanted.others:
            require(name, ["boxes", "split", *(["label"] if single else [])], self.path)
        for start, part, places in self._runs():
            made = [compose(self.recipe, part, self._rng(part, place)) for place in places]
            columns: dict[str, list[Any]] = {
                "boxes": [rows for _, rows in made],
                "split": [part.name] * len(made),
                "label": [rows[0][4] if rows else "" for _, rows in made],
            }
            columns = {name: columns[name] for name in wanted.others}
            yield Piece(self.path, [pixels for pixels, _ in made], start + 1, "scene", columns)

    def contents(self) -> str:
        sizes = [[part.name, part.count] for part in self.parts]
        return digest([VERSION, self.path.split(":")[0], asdict(self.recipe), sizes, list(self.key), self.seed])

    def _runs(self) -> Iterator[tuple[int, Part, range]]:
        done = 0
        for part in self.parts:
            for first in range(0, part.count, ROWS):
                yield done + first, part, range(first, min(first + ROWS, part.count))
            done += part.count

    def _rng(self, part: Part, place: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, [one.name for one in self.parts].index(part.name), place])


def compose(recipe: Recipe, part: Part, rng: np.random.Generator) -> tuple[np.ndarray, list[list[Any]]]:
    """One scene (canvas, canvas, C) uint8 and its boxes; distractors lie below the objects."""
    canvas = part.background(rng).astype(np.float32)
    for _ in range(rng.integers(recipe.distractors[0], recipe.distractors[1] + 1)):
        side = _side(recipe.clutter, rng)
        thing = part.distract(rng, side)
        x, y = rng.integers(0, recipe.canvas - side + 1, 2)
        _paste(canvas, thing, int(x), int(y))
    rows: list[list[Any]] = []
    for _ in range(rng.integers(recipe.objects[0], recipe.objects[1] + 1)):
        side = _side(recipe.sides, rng)
        thing, name = part.draw(rng, side)
        place = _room(rows, thing, recipe.canvas, rng)
        if place is not None:
            _paste(canvas, thing, place[0], place[1])
            rows.append([*_extent(thing, *place), name, 0])
    return np.round(canvas).clip(0, 255).astype(np.uint8), rows


def _side(sides: tuple[int, int], rng: np.random.Generator) -> int:
    low, high = np.log(sides[0]), np.log(sides[1])
    return round(float(np.exp(rng.uniform(low, high))))


def _room(
    rows: Sequence[Sequence[Any]], thing: Pasted, canvas: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """A place where the thing hides little of the others; None where none was found."""
    height, width = thing.pixels.shape[:2]
    for _ in range(TRIES):
        x, y = int(rng.integers(0, canvas - width + 1)), int(rng.integers(0, canvas - height + 1))
        box = _extent(thing, x, y)
        if all(_hidden(box, row) <= OVERLAP for row in rows):
            return x, y
    return None


def _hidden(a: Sequence[float], b: Sequence[float]) -> float:
    """How much of the smaller of two boxes lies in the other."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(width, 0) * max(height, 0) / smaller


def _extent(thing: Pasted, x: int, y: int) -> list[float]:
    """The box around what is seen of a thing pasted at (x, y)."""
    seen = thing.cover[:, :, 0] > 0.3
    down, across = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return [float(x + across[0]), float(y + down[0]), float(x + across[-1] + 1), float(y + down[-1] + 1)]


def _paste(canvas: np.ndarray, thing: Pasted, x: int, y: int) -> None:
    height, width = thing.pixels.shape[:2]
    beneath = canvas[y : y + height, x : x + width]
    beneath += thing.cover * (thing.pixels - beneath)


def sized(picture: np.ndarray, side: int) -> np.ndarray:
    """A small square picture (h, w, C) in a side, as floats."""
    return fit(picture.astype(np.float32), (side, side), stretch=True)
