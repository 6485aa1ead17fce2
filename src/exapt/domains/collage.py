"""Collages: scenes of a user's own small labelled pictures, such as CIFAR-10's, from a .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exapt.domains.opening import find_files
from exapt.domains.scenes import Part, Pasted, Recipe, Scenes, sized
from exapt.errors import InputError

CANVAS = 128
MANY = Recipe(CANVAS, objects=(1, 5), sides=(24, 48), distractors=(0, 3), clutter=(16, 36))
ONE = Recipe(CANVAS, objects=(1, 1), sides=(32, 96), distractors=(0, 2), clutter=(16, 36))
HELD = 5
"""Every fifth picture of the file is for test scenes alone."""
NAMES = {"pictures": ("x", "images", "image", "data"), "classes": ("y", "labels", "label", "target")}


def collage(path: str, single: bool) -> Scenes:
    """1,000 training and 300 test scenes of one to five pictures; or 4,000 training pictures of one object each."""
    name = f"{'collage-single' if single else 'collage'}:{path}"
    pictures, classes, content = _read(path, name)
    held = np.arange(len(pictures)) % HELD == 0
    train = _part("train", 4000 if single else 1000, pictures[~held], classes[~held])
    if single:
        return Scenes(name, ONE, [train], [content], seed=1)
    return Scenes(name, MANY, [train, _part("test", 300, pictures[held], classes[held])], [content])


def _read(path: str, name: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Pictures (n, h, w, C), classes (n,), and the file's checksum."""
    file = find_files(path, {".npz"}, "a .npz file with small pictures `x` and classes `y`")[0]
    try:
        with np.load(Path(file.path), allow_pickle=False) as archive:
            found = {what: next((n for n in names if n in archive.files), None) for what, names in NAMES.items()}
            lacking = next((what for what, one in found.items() if one is None), None)
            if lacking:
                raise InputError(f"{name}: no {lacking} in it ({' or '.join(NAMES[lacking])}); found {archive.files}")
            pictures, classes = (archive[str(one)] for one in found.values())
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{name}: not a readable array file ({error})") from None
    if pictures.ndim != 4 or pictures.dtype != np.uint8 or len(pictures) != len(classes):
        raise InputError(
            f"{name}: pictures {pictures.shape} {pictures.dtype} and {len(classes)} classes; expected uint8 "
            "pictures (n, h, w, C) and as many classes"
        )
    if len(pictures) < 2 * HELD:
        raise InputError(f"{name}: {len(pictures)} pictures; {2 * HELD} are the fewest that scenes can be made of")
    return pictures, classes.reshape(-1), file.checksum()


def _part(name: str, count: int, pictures: np.ndarray, classes: np.ndarray) -> Part:
    def one(rng: np.random.Generator) -> int:
        return int(rng.integers(len(pictures)))

    def background(rng: np.random.Generator) -> np.ndarray:
        """The colours of a picture, without its shapes: 4 × 4 means, spread out, with some noise."""
        coarse = sized(sized(pictures[one(rng)], 4), CANVAS)
        return coarse * rng.uniform(0.4, 1.0) + rng.normal(0, 6, coarse.shape)

    def draw(rng: np.random.Generator, side: int) -> tuple[Pasted, str]:
        place = one(rng)
        return _whole(sized(pictures[place], side)), str(classes[place])

    def distract(rng: np.random.Generator, side: int) -> Pasted:
        """A picture's sixteen tiles in another order: its colours and textures, but no object."""
        tiles = sized(pictures[one(rng)], 32).reshape(4, 8, 4, 8, -1).swapaxes(1, 2).reshape(16, 8, 8, -1)
        mixed = tiles[rng.permutation(16)].reshape(4, 4, 8, 8, -1).swapaxes(1, 2).reshape(32, 32, -1)
        return _whole(sized(mixed, side))

    return Part(name, count, background, draw, distract)


def _whole(pixels: np.ndarray) -> Pasted:
    return Pasted(pixels, np.ones((*pixels.shape[:2], 1), np.float32))
