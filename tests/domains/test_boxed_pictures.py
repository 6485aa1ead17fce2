"""Pictures with boxes from VOC's and COCO's files and from arrays, the boxes brought to size with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.image import ImageSpec
from exapt.domains.resizing import fit, fit_boxes, unfit_boxes
from exapt.errors import InputError

Image = pytest.importorskip("PIL.Image")


def picture(path: Path, size: tuple[int, int] = (40, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(len(path.name)).integers(0, 255, (*size[::-1], 3), np.uint8)).save(path)


def xml(path: Path, *objects: tuple[str, int, int, int, int, int]) -> None:
    """An annotation of objects (name, xmin, ymin, xmax, ymax, difficult)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ""
    for name, *ends, flag in objects:
        box = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), ends, strict=True))
        body += f"<object><name>{name}</name><difficult>{flag}</difficult><bndbox>{box}</bndbox></object>"
    path.write_text(f"<annotation>{body}</annotation>")


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "d"):
        picture(tmp_path / "JPEGImages" / f"{name}.jpg")
    xml(tmp_path / "Annotations/a.xml", ("cat", 1, 1, 10, 20, 0), ("dog", 11, 6, 40, 20, 1))
    xml(tmp_path / "Annotations/b.xml", ("dog", 5, 5, 9, 9, 0))
    xml(tmp_path / "Annotations/c.xml")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for part, names in {"trainval": "a\nb\n", "train": "a\n", "val": "b\n", "test": "c\nd\n"}.items():
        (lists / f"{part}.txt").write_text(names)
    return tmp_path


def read(path: Path | str, size: Any = None, fit: str = "cover", **keys: Any) -> Dataset:
    source = Source(path=str(path), label=keys.pop("label", "boxes"), **keys)
    spec = ImageSpec(patch=4, size=size, fit=fit)  # type: ignore[arg-type]
    return spec.build(source).read(source)


def test_voc_pictures_come_with_boxes_and_their_official_parts(voc: Path) -> None:
    dataset = read(voc, split="split")
    assert dataset.columns["split"].tolist() == ["train", "val", "test", "test"]
    assert dataset.columns["boxes"][0] == [[0, 0, 10, 20, "cat", 0], [10, 5, 40, 20, "dog", 1]]
    assert list(dataset.columns["boxes"][2:]) == [[], []]  # one without objects, one without an annotation
    assert len(read(voc, label="file").columns["file"]) == 4


def test_pictures_in_no_list_are_left_out_where_the_parts_are_asked_for(voc: Path) -> None:
    (voc / "ImageSets/Main/test.txt").write_text("c\n")
    assert len(read(voc, split="split")) == 3
    assert len(read(voc)) == 4


def test_mistakes_in_voc_folders(voc: Path) -> None:
    (voc / "Annotations/b.xml").write_text("<annotation><object></annotation>")
    with pytest.raises(InputError, match=r"b\.xml: not a readable annotation"):
        read(voc)
    xml(voc / "Annotations/b.xml", ("dog", 5, 5, 60, 9, 0))
    with pytest.raises(InputError, match=r"b\.jpg: box 1: \(4, 4, 60, 9\) of 'dog' reaches outside .* 40 × 20"):
        read(voc)
    xml(voc / "Annotations/b.xml", ("dog", 9, 5, 5, 9, 0))
    with pytest.raises(InputError, match=r"b\.jpg: box 1: \(8, 4, 5, 9\) of 'dog' is empty or inverted"):
        read(voc)
    (voc / "Annotations/b.xml").write_text("<annotation><object><name>x</name></object></annotation>")
    with pytest.raises(InputError, match=r"b\.xml: object 1: its bndbox lacks a number"):
        read(voc)
    xml(voc / "Annotations/b.xml", ("", 5, 5, 9, 9, 0))
    with pytest.raises(InputError, match=r"b\.xml: object 1: it has no name"):
        read(voc)
    xml(voc / "Annotations/b.xml")
    xml(voc / "Annotations/z.xml")
    with pytest.raises(InputError, match=r"z\.xml: no picture 'z' in .*JPEGImages"):
        read(voc)
    (voc / "Annotations/z.xml").unlink()
    (voc / "ImageSets/Main/test.txt").write_text("q\n")
    with pytest.raises(InputError, match=r"test\.txt: line 1: no picture 'q' in JPEGImages"):
        read(voc)
    (voc / "ImageSets/Main/test.txt").write_text("c\n")
    with pytest.raises(InputError, match="no column 'label'"):
        read(voc, label="label")


def coco(folder: Path, name: str = "instances.json", **changes: Any) -> Path:
    data = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 20]},
            {"id": 2, "image_id": 7, "category_id": 90, "bbox": [10.5, 5, 29.5, 15], "iscrowd": 1},
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}],
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(data))
    return folder / name


def test_coco_s_ids_may_skip_and_images_without_annotations_are_negatives(tmp_path: Path) -> None:
    for name in ("a", "b", "unlisted"):
        picture(tmp_path / "images" / f"{name}.jpg")
    found = coco(tmp_path / "annotations")
    for path in (tmp_path, found):
        boxes = list(read(path).columns["boxes"])
        assert boxes == [[[0, 0, 10, 20, "cat", 0], [10.5, 5, 40, 20, "dog", 1]], []]


def test_several_annotation_files_are_the_parts(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "pictures" / f"{name}.jpg")
    coco(tmp_path / "annotations", "instances_train2017.json")
    coco(tmp_path / "annotations", "instances_val2017.json", images=[{"id": 1, "file_name": "c.jpg"}], annotations=[])
    assert read(tmp_path, split="split").columns["split"].tolist() == ["train", "train", "val"]


def test_mistakes_in_coco_files(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "b.jpg")
    one = {"id": 5, "image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 20]}
    for changes, message in [
        ({"annotations": [one | {"image_id": 8}]}, "annotation 5: it is of image 8, which 'images' does not list"),
        ({"annotations": [one | {"category_id": 4}]}, "annotation 5: category 4 is unknown; known: 90 dog, 3 cat"),
        ({"annotations": [one | {"bbox": [1, 2, 3]}]}, r"annotation 5: bbox is \[1, 2, 3\]; expected"),
        ({"annotations": [one | {"bbox": [1, 2, 0, 3]}]}, r"a\.jpg: box 1: \(1, 2, 1, 5\) of 'cat' is empty"),
        ({"annotations": [one | {"bbox": ["1", 2, 3, 4]}]}, r"annotation 5: bbox is \['1', 2, 3, 4\]; expected"),
        ({"annotations": [one | {"image_id": [7]}]}, r"annotation 5: it is of image \[7\], which"),
        ({"annotations": ["box"]}, r"'annotations', entry 1 is 'box'; expected keys and values"),
        ({"categories": [{"name": "cat"}]}, r"'categories', entry 1: id is None; expected id and name"),
        ({"categories": {"3": "cat"}}, r"'categories' is \{'3': 'cat'\}; expected a list"),
        ({"images": [{"id": 7}]}, r"'images', entry 1: file_name is None; expected id and file_name"),
        ({"images": [{"id": 7, "file_name": f} for f in ("a.jpg", "b.jpg")]}, r"image 7 stands twice in 'images'"),
        ({"images": [{"id": 7, "file_name": "no.jpg"}]}, r"image 7: no picture 'no\.jpg' below"),
    ]:
        coco(tmp_path, **changes)
        with pytest.raises(InputError, match=message):
            read(tmp_path)
    (tmp_path / "instances.json").write_text("[]")
    with pytest.raises(InputError, match="no 'annotations' in it; expected COCO's"):
        read(tmp_path)


def test_boxes_of_arrays_may_be_lists_or_padded_and_reach_a_pixel_outside(tmp_path: Path) -> None:
    values = np.zeros((2, 8, 8, 1), np.uint8)
    padded = np.full((2, 2, 5), np.nan)
    padded[0, 0] = [-0.5, 0, 8.9, 4, 2]
    np.savez(tmp_path / "some.npz", x=values, boxes=padded)
    assert list(read(tmp_path / "some.npz").columns["boxes"]) == [[[0, 0, 8, 4, "2", 0]], []]
    source = Arrays(values, {"boxes": [[[0, 0, 8, 4, "2"]], []]}, label="boxes")
    assert ImageSpec(patch=4).build(source).read(source).columns["boxes"][0] == [[0, 0, 8, 4, "2", 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("cat", "'boxes' holds 'cat'; expected rows of x1, y1, x2, y2, class"),
        ([[1, 2, 3]], r"box 1: \[1, 2, 3\] is no box"),
        ([["a", 0, 1, 1, 0]], "box 1: .* are no numbers"),
        ([[0, 0, 1, float("inf"), 0]], "box 1: .* is not finite"),
        ([[0, 0, 1, 1, " "]], "box 1: its class is empty"),
        ([[0, 0, 1, 1, 0], [7, 7, 10, 8, 0]], r"example|picture 1: box 2: \(7, 7, 10, 8\) of '0' reaches outside"),
        ([[8.2, 0, 8.9, 4, 0]], "reaches outside the picture of 8 × 8"),
    ],
)
def test_rows_that_are_no_boxes(rows: Any, message: str) -> None:
    source = Arrays(np.zeros((1, 8, 8, 1), np.uint8), {"boxes": [rows]}, label="boxes")
    with pytest.raises(InputError, match=message):
        ImageSpec(patch=4).build(source)


def test_boxes_move_as_pixels_do() -> None:
    whole = np.zeros((30, 60, 1), np.float32)
    whole[6:24, 15:33] = 1
    for size, stretch in [((30, 30), False), ((40, 40), True), ((15, 45), False)]:
        moved = fit_boxes([[15, 6, 33, 24, "a", 0]], (30, 60), size, stretch)
        x1, y1, x2, y2 = moved.rows[0][:4]
        inside = np.zeros(size, np.float32)
        inside[round(y1) : round(y2), round(x1) : round(x2)] = 1
        assert np.abs(fit(whole, size, stretch)[:, :, 0] - inside).mean() < 0.03
        back = unfit_boxes(np.array([[x1, y1, x2, y2]]), (30, 60), size, stretch)
        assert back[0] == pytest.approx([15, 6, 33, 24], abs=0.01)


def test_what_the_cut_takes_away_is_counted_and_stretching_loses_nothing(voc: Path) -> None:
    cut = read(voc, size=20)
    assert cut.skipped == {"boxes whose centre was cut away": 2}
    assert cut.columns["boxes"][0] == [[0, 5, 20, 20, "dog", 1]]
    whole = read(voc, size=20, fit="stretch")
    assert whole.skipped == {}
    assert whole.columns["boxes"][0] == [[0, 0, 5, 20, "cat", 0], [5, 5, 20, 20, "dog", 1]]


def test_a_cache_gives_the_same_boxes(voc: Path, tmp_path: Path) -> None:
    source = Source(path=str(voc), label="boxes", split="split")
    domain = ImageSpec(patch=4, size=20).build(source)
    plain = domain.read(source)
    for _ in range(2):
        stored = domain.read(source, cache=tmp_path / "cache")
        assert list(stored.columns["boxes"]) == list(plain.columns["boxes"])
        assert stored.skipped == plain.skipped


def test_crops_are_the_objects_of_the_training_part(voc: Path) -> None:
    crops = read(f"crops:{voc}", size=12, label="label")
    assert crops.columns["label"].tolist() == ["cat"]  # 'dog' is difficult there, and b is for validation
    (voc / "ImageSets/Main/train.txt").write_text("")
    (voc / "ImageSets/Main/trainval.txt").write_text("")
    with pytest.raises(InputError, match="no lists say which pictures are for training"):
        read(f"crops:{voc}", size=12, label="label")
    with pytest.raises(InputError, match="no pictures with boxes there"):
        read(f"crops:{voc / 'JPEGImages'}", size=12, label="label")
