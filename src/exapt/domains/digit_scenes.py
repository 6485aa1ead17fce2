"""Scenes of handwritten digits on photographs, from pictures that scikit-learn and scikit-image carry."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from exapt.domains.scenes import Part, Pasted, Recipe, Scenes, sized
from exapt.errors import InputError

MANY_DIGITS, ONE_DIGIT = "sklearn:digit-scenes", "sklearn:digit-single"
"""What these sources are called."""
CANVAS = 96
MANY = Recipe(CANVAS, objects=(1, 5), sides=(18, 40), distractors=(1, 5), clutter=(10, 28))
ONE = Recipe(CANVAS, objects=(1, 1), sides=(24, 72), distractors=(1, 4), clutter=(10, 28))
PHOTOGRAPHS = ("camera", "moon", "coins", "page", "text", "chelsea", "coffee", "astronaut")
HELD = 5
"""Every fifth digit, and the lower third of each photograph, are for the test part alone."""


def digit_scenes(single: bool) -> Scenes:
    """1,000 training and 300 test scenes of one to five digits; or 3,000 training pictures of one digit each."""
    if single:
        return Scenes(ONE_DIGIT, ONE, [_part("train", 3000)], ["one"], seed=1)
    return Scenes(MANY_DIGITS, MANY, [_part("train", 1000), _part("test", 300)], ["many"])


def _part(name: str, count: int) -> Part:
    test = name == "test"

    def background(rng: np.random.Generator) -> np.ndarray:
        return _background(_photographs(test), rng)

    def draw(rng: np.random.Generator, side: int) -> tuple[Pasted, str]:
        pictures, classes = _digits(test)
        place = int(rng.integers(len(pictures)))
        return _inked(sized(pictures[place], side), rng), str(classes[place])

    def distract(rng: np.random.Generator, side: int) -> Pasted:
        """Pieces of a digit in another order: the strokes of digits, but none."""
        pictures, _ = _digits(test)
        quarters = pictures[int(rng.integers(len(pictures)))].reshape(2, 4, 2, 4).swapaxes(1, 2).reshape(4, 4, 4)
        first, second = (np.concatenate(list(quarters[[a, b]]), axis=1) for a, b in ((3, 2), (1, 0)))
        return _inked(sized(np.concatenate([first, second])[:, :, None], side), rng)

    return Part(name, count, background, draw, distract)


def _inked(strokes: np.ndarray, rng: np.random.Generator) -> Pasted:
    """Strokes (side, side, 1) from 0 to 1 in a light or a dark grey."""
    grey = rng.uniform(190, 255) if rng.random() < 0.5 else rng.uniform(0, 65)
    return Pasted(np.full_like(strokes, grey), strokes.clip(0, 1))


def _background(photographs: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A cut of a photograph in another size and contrast, so that digits are seen on it."""
    photograph = photographs[int(rng.integers(len(photographs)))]
    side = int(rng.integers(CANVAS, min(photograph.shape[:2]) + 1))
    top, left = (int(rng.integers(0, length - side + 1)) for length in photograph.shape[:2])
    cut = sized(photograph[top : top + side, left : left + side], CANVAS)
    return 128 + (cut - cut.mean()) * rng.uniform(0.3, 0.7) + rng.uniform(-30, 30)


@lru_cache(maxsize=2)
def _digits(test: bool) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits (n, 8, 8, 1) from 0 to 1, and their classes: those of one part."""
    from sklearn.datasets import load_digits

    data = load_digits()
    held = np.arange(len(data.images)) % HELD == 0
    return data.images[held == test][..., None] / 16, data.target[held == test]


@lru_cache(maxsize=2)
def _photographs(test: bool) -> list[np.ndarray]:
    """scikit-image's photographs as grey (H, W, 1) from 0 to 255: one part's share of each."""
    try:
        from skimage import data
    except ImportError:
        raise InputError(f"{MANY_DIGITS}: its backgrounds need `pip install exapt[vision]`") from None
    grey = [_grey(np.asarray(getattr(data, name)())) for name in PHOTOGRAPHS]
    cuts = [len(picture) * 2 // 3 for picture in grey]
    parts = [picture[cut:] if test else picture[:cut] for picture, cut in zip(grey, cuts, strict=True)]
    return [part for part in parts if min(part.shape[:2]) >= CANVAS]


def _grey(picture: np.ndarray) -> np.ndarray:
    values = picture.astype(np.float32)
    return (values[:, :, :3] @ np.array([0.299, 0.587, 0.114], np.float32) if values.ndim == 3 else values)[:, :, None]
