"""Pictures that scikit-learn and scikit-image carry in their packages: nothing is downloaded.

Photographs and materials are cut into patches of 32 × 32. Each picture is divided into square blocks of 128, of which
whole ones are for training, validation and test; 16 pixels between them are left out, so no patch of one part shows
what a patch of another shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exapt.domains.digit_scenes import MANY_DIGITS, ONE_DIGIT
from exapt.domains.resizing import fit
from exapt.errors import InputError, nearest

SCHEMES = ("sklearn:", "skimage:")
PATCH, STEP, BLOCK, GAP = 32, 16, 128, 16
"""Pixels: the side of a patch, from one patch to the next, the side of a block, and what it leaves free at its end."""
SIDE = 3 * BLOCK
"""Pictures are scaled to cover this square and cut to it."""
OF_FIVE = ("test", "valid", "train", "train", "train")
"""Which part every fifth block goes to."""
SKLEARN = {"china": "china.jpg", "flower": "flower.jpg"}
PHOTOS = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "tissue": "ihc.png",
}
MATERIALS = {
    "brick": "brick.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "moon": "moon.png",
    "stars": "hubble_deep_field.jpg",
    "tissue": "ihc.png",
}
INKS = {
    "red": (255, 90, 90),
    "yellow": (235, 235, 70),
    "green": (90, 235, 90),
    "cyan": (70, 235, 235),
    "blue": (110, 110, 255),
    "magenta": (245, 80, 245),
}


class Carried(NamedTuple):
    """Pictures (n, H, W, C) in bytes, and what is known of each."""

    pictures: np.ndarray
    columns: dict[str, np.ndarray]


def carried(path: str) -> Carried:
    """The pictures of a source such as `skimage:photos`; raises `InputError` for one that there is not."""
    if path not in SOURCES:
        raise InputError(
            f"{path}: no pictures of that name are carried; {nearest(path, (*SOURCES, MANY_DIGITS, ONE_DIGIT))}"
        )
    return SOURCES[path](path)


def digits(path: str) -> Carried:
    """scikit-learn's 1,797 handwritten digits of 8 × 8, their 17 grey levels spread over 0 … 255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return Carried(np.round(data.images * (255 / 16)).astype(np.uint8)[:, :, :, None], {"label": data.target})


def two_photos(path: str) -> Carried:
    """Patches of scikit-learn's photographs of a temple and a flower; label: which."""
    return _cut({name: _read(path, "sklearn.datasets", f"images/{file}", "RGB") for name, file in SKLEARN.items()})


def photos(path: str) -> Carried:
    """Patches of scikit-image's and scikit-learn's photographs; label: which."""
    theirs = {name: _read(path, "skimage.data", file, "RGB") for name, file in PHOTOS.items()}
    return _cut(theirs | {n: _read(path, "sklearn.datasets", f"images/{file}", "RGB") for n, file in SKLEARN.items()})


def textures(path: str) -> Carried:
    """Grey patches of scikit-image's pictures of materials; label: which."""
    return _cut({name: _read(path, "skimage.data", file, "L") for name, file in MATERIALS.items()})


def inked(path: str) -> Carried:
    """The patches of materials, each printed in one of six inks; label: which material; ink: which ink.

    Inks are drawn once, whatever the material and the place: material and ink say nothing of each other.
    """
    grey, columns = textures(path)
    drawn = np.random.default_rng(0).integers(0, len(INKS), len(grey))
    light = 0.25 + 0.75 / 255 * grey.astype(np.float64)
    printed = np.round(light * np.array(list(INKS.values()))[drawn][:, None, None]).astype(np.uint8)
    return Carried(printed, columns | {"ink": np.array(list(INKS))[drawn]})


def _cut(pictures: Mapping[str, np.ndarray]) -> Carried:
    """Patches of pictures (H, W, C) by name, block by block, with label, block and split."""
    patches: list[np.ndarray] = []
    rows: list[tuple[str, str, str]] = []
    per_row = SIDE // BLOCK
    for number, (name, whole) in enumerate(pictures.items()):
        square = fit(whole, (SIDE, SIDE))
        for block in range(per_row**2):
            top, left = (BLOCK * place for place in divmod(block, per_row))
            found = _patches(square[top : top + BLOCK - GAP, left : left + BLOCK - GAP])
            patches += found
            rows += [(name, f"{name} {block}", OF_FIVE[(block + 2 * number) % len(OF_FIVE)])] * len(found)
    columns = dict(zip(("label", "block", "split"), np.array(rows).T, strict=True))
    return Carried(np.stack(patches), columns)


def _patches(block: np.ndarray) -> list[np.ndarray]:
    places = range(0, len(block) - PATCH + 1, STEP)
    return [block[top : top + PATCH, left : left + PATCH] for top in places for left in places]


def _read(path: str, package: str, name: str, mode: str) -> np.ndarray:
    """A picture (H, W, C) that lies in a package."""
    library = {"sklearn": "scikit-learn", "skimage": "scikit-image"}[package.partition(".")[0]]
    try:
        from PIL import Image

        found = find_spec(package)
    except ModuleNotFoundError:
        raise InputError(f"{path}: needs Pillow and {library}: pip install 'exapt[vision]'") from None
    file = Path(found.origin).parent / name if found and found.origin else Path(name)
    if not file.is_file():
        raise InputError(f"{path}: this release of {library} does not carry {name}; another one may")
    with Image.open(file) as picture:
        array = np.asarray(picture.convert(mode))
    return array if array.ndim == 3 else array[:, :, None]


SOURCES: dict[str, Callable[[str], Carried]] = {
    "sklearn:digits": digits,
    "sklearn:photos": two_photos,
    "skimage:photos": photos,
    "skimage:textures": textures,
    "skimage:inked": inked,
}
