"""Composed scenes: the same ones every time, boxes around what was pasted, and a test part of its own pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exapt.domains.base import Source
from exapt.domains.collage import collage
from exapt.domains.image import ImageSpec
from exapt.domains.scenes import Part, Pasted, Recipe, Scenes, compose
from exapt.errors import InputError

WHITE = Recipe(64, objects=(1, 4), sides=(8, 20), distractors=(0, 0), clutter=(4, 8))


def part(name: str, count: int, grey: float) -> Part:
    """Discs of one grey on black."""

    def draw(rng: np.random.Generator, side: int) -> tuple[Pasted, str]:
        at = np.linspace(-1, 1, side)
        cover = (at[:, None] ** 2 + at[None] ** 2 <= 1).astype(np.float32)[:, :, None]
        return Pasted(np.full((side, side, 1), grey, np.float32), cover), "disc"

    return Part(name, count, lambda _: np.zeros((64, 64, 1)), draw, lambda rng, side: draw(rng, side)[0])


def test_boxes_are_tight_and_hardly_overlap() -> None:
    for seed in range(20):
        scene, rows = compose(WHITE, part("train", 1, 255), np.random.default_rng(seed))
        inside = np.zeros((64, 64), bool)
        for x1, y1, x2, y2, name, ignored in rows:
            cut = scene[int(y1) : int(y2), int(x1) : int(x2), 0] > 0
            assert cut.any(0).all()
            assert cut.any(1).all()
            assert (name, ignored) == ("disc", 0)
            inside[int(y1) : int(y2), int(x1) : int(x2)] = True
        assert not (scene[:, :, 0][~inside] > 0).any()


def test_a_scene_does_not_depend_on_which_others_are_read() -> None:
    from exapt.domains.pieces import Wanted

    wanted = Wanted(None, (), ("boxes",), split="split")
    few = Scenes("some", WHITE, [part("train", 3, 255), part("test", 2, 200)], [])
    many = Scenes("some", WHITE, [part("train", 300, 255), part("test", 2, 200)], [])
    some, all_ = ([v for p in s.pieces(wanted) for v in p.values] for s in (few, many))
    assert all(np.array_equal(a, b) for a, b in zip(some[:3] + some[3:], all_[:3] + all_[300:], strict=True))
    assert not np.array_equal(some[0], some[1])
    assert [n for p in few.pieces(wanted) for n in p.columns["split"]] == ["train"] * 3 + ["test"] * 2
    assert few.contents() != many.contents()


def test_digit_scenes_come_with_boxes_and_parts() -> None:
    pytest.importorskip("skimage")
    source = Source(path="sklearn:digit-scenes", label="boxes", split="split", limit=20)
    domain = ImageSpec(patch=8).build(source)
    dataset, again = domain.read(source), domain.read(source)
    assert (domain.shape, len(dataset)) == ((96, 96, 1), 20)
    assert dataset.fingerprint() == again.fingerprint()
    assert {row[4] for rows in dataset.columns["boxes"] for row in rows} <= {str(i) for i in range(10)}
    single = Source(path="sklearn:digit-single", label="label", limit=30)
    assert len(set(ImageSpec(patch=8).build(single).read(single).columns["label"])) > 5
    with pytest.raises(InputError, match="no column 'label'"):
        domain.read(Source(path="sklearn:digit-scenes", label="label"))


def test_a_collage_s_test_scenes_show_held_out_pictures_only(tmp_path: Path) -> None:
    held = np.arange(50) % 5 == 0
    pictures = np.full((50, 8, 8, 3), [255, 0, 0], np.uint8)
    pictures[held] = [0, 0, 255]
    np.savez(tmp_path / "some.npz", x=pictures, y=held.astype(np.uint8))
    scenes = collage(str(tmp_path / "some.npz"), single=False)
    assert [(one.name, one.count) for one in scenes.parts] == [("train", 1000), ("test", 300)]
    for one, name, colour in zip(scenes.parts, "01", ([255, 0, 0], [0, 0, 255]), strict=True):
        for seed in range(4):
            scene, rows = compose(scenes.recipe, one, np.random.default_rng(seed))
            assert {row[4] for row in rows} == {name}
            x1, y1, x2, y2 = map(int, rows[-1][:4])
            assert scene[(y1 + y2) // 2, (x1 + x2) // 2].tolist() == colour


def test_mistakes_in_a_collage_s_file(tmp_path: Path) -> None:
    for arrays, message in [
        ({"x": np.zeros((50, 8, 8, 3), np.uint8)}, "no classes in it"),
        ({"x": np.zeros((50, 8, 8, 3)), "y": np.zeros(50)}, "expected uint8 pictures"),
        ({"x": np.zeros((50, 8, 8, 3), np.uint8), "y": np.zeros(49)}, "and 49 classes"),
        ({"x": np.zeros((4, 8, 8, 3), np.uint8), "y": np.zeros(4)}, "4 pictures; 10 are the fewest"),
    ]:
        np.savez(tmp_path / "some.npz", **arrays)
        with pytest.raises(InputError, match=message):
            ImageSpec(patch=8).build(Source(path=f"collage:{tmp_path / 'some.npz'}", label="boxes"))
    with pytest.raises(InputError, match="no such file"):
        ImageSpec(patch=8).build(Source(path="collage:/nowhere.npz"))
