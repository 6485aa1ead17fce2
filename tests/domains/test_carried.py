"""Pictures that libraries carry: patches, their parts, and what is said where there are none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from exapt.domains import ImageSpec, Source
from exapt.domains import carried as module
from exapt.domains.carried import INKS, SOURCES, carried
from exapt.errors import InputError

pytest.importorskip("skimage")
CUT = [name for name in SOURCES if name != "sklearn:digits"]


@pytest.mark.parametrize("path", CUT)
def test_patches_of_every_label_in_every_part(path: str) -> None:
    found = carried(path)
    count, height, width, channels = found.pictures.shape
    assert (height, width, channels) == (32, 32, 1 if path == "skimage:textures" else 3)
    assert found.pictures.dtype == np.uint8 and all(len(column) == count for column in found.columns.values())
    labels = set(found.columns["label"])
    for part in ("train", "valid", "test"):
        assert set(found.columns["label"][found.columns["split"] == part]) == labels
    assert 0.4 < float((found.columns["split"] == "train").mean()) < 0.7
    again = carried(path)
    assert np.array_equal(found.pictures, again.pictures)


def test_no_patch_shows_what_a_patch_of_another_block_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture whose pixels are all different: each block's patches hold pixels that no other block's hold."""
    side = module.SIDE
    whole = np.arange(side * side, dtype=np.float32).reshape(side, side, 1)
    found = module._cut({"numbers": whole})
    seen = {name: np.unique(found.pictures[found.columns["block"] == name]) for name in set(found.columns["block"])}
    assert len(seen) == 9 and sum(len(pixels) for pixels in seen.values()) == len(np.unique(found.pictures))
    rows, columns = (np.concatenate([f(p, side) for p in seen.values()]) for f in (np.floor_divide, np.mod))
    part = np.concatenate([np.full(len(pixels), k) for k, pixels in enumerate(seen.values())])
    for places in (np.unique(rows), np.unique(columns)):
        assert sorted(np.unique(np.diff(places))) == [1, 17]  # 16 pixels between blocks belong to none
    assert len(part) == 9 * 112 * 112


def test_inks_say_nothing_of_materials() -> None:
    plain, inked = carried("skimage:textures"), carried("skimage:inked")
    assert np.array_equal(plain.columns["label"], inked.columns["label"])
    names = list(INKS)
    table = np.array(
        [[np.sum((inked.columns["label"] == m) & (inked.columns["ink"] == i)) for i in names] for m in module.MATERIALS]
    )
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    assert float(((table - expected) ** 2 / expected).sum()) < 53.7  # chi square of 30 degrees at 0.5 %
    mean = inked.pictures.reshape(len(inked.pictures), -1, 3).mean(1)
    for name, colour in INKS.items():
        of_ink = mean[inked.columns["ink"] == name]
        shares, wanted = of_ink / of_ink.sum(1, keepdims=True), np.array(colour) / sum(colour)
        np.testing.assert_allclose(shares, np.broadcast_to(wanted, shares.shape), atol=0.01)


def test_read_as_any_source(tmp_path: Path) -> None:
    source = Source(path="skimage:photos", label="label", split="split", group="block")
    domain = ImageSpec().build(source, tmp_path)
    dataset = domain.read(source, tmp_path)
    assert domain.shape == (32, 32, 3) and len(dataset) == len(carried("skimage:photos").pictures)
    assert dataset.roles == {"label": ("label",), "group": ("block",), "split": ("split",)}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"path": "skimage:photo"},
            r"skimage:photo: no pictures .* did you mean 'skimage:photos'\? valid: ",
        ),
        (
            {"path": "sklearn:faces"},
            "sklearn:faces: no pictures of that name are carried; .*valid: skimage:inked.*sklearn:digit-scenes",
        ),
        ({"path": "skimage:inked", "label": "colour"}, "skimage:inked: no column 'colour'; .*ink"),
    ],
)
def test_one_line_says_what_there_is(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        ImageSpec().build(Source(**keys))
    assert "\n" not in str(error.value)


def test_a_missing_library_or_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.MATERIALS, "sand", "sand.png")
    with pytest.raises(InputError, match=r"skimage:textures: this release of scikit-image does not carry sand\.png"):
        carried("skimage:textures")
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match="skimage:photos: needs Pillow and scikit-image: pip install 'exapt"):
        carried("skimage:photos")
