"""Pictures: patches, hiding, brightness, sizes, and every source they come from."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exapt.domains import ImageSpec, Source, from_arrays, load_domain
from exapt.domains.patches import patch_positions, patchify, unpatchify
from exapt.errors import InputError

DIGITS = Source(path="sklearn:digits", label="label")
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (12, 8, 12, 3), dtype=np.uint8)
DOMAIN = ImageSpec().build(from_arrays(PICTURES))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()


@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
@settings(deadline=None)
def test_patches_equal_cutting_one_by_one(count: int, rows: int, columns: int, channels: int, side: int) -> None:
    pictures = torch.randn(count, channels, rows * side, columns * side, generator=rng())
    patches, positions = patchify(pictures, side), patch_positions(count, rows, columns)
    expected = [
        pictures[b, :, r * side : (r + 1) * side, c * side : (c + 1) * side].permute(1, 2, 0).reshape(-1)
        for b in range(count)
        for r in range(rows)
        for c in range(columns)
    ]
    assert torch.equal(patches, torch.stack(expected) if expected else patches)
    assert patches.shape == (count * rows * columns, side * side * channels)
    assert positions.tolist() == [[r, c] for _ in range(count) for r in range(rows) for c in range(columns)]
    assert torch.equal(unpatchify(patches, side, rows, columns), pictures)


def test_patches_must_fit() -> None:
    with pytest.raises(ValueError, match="patches of 3 do not tile 8 × 8"):
        patchify(torch.zeros(1, 1, 8, 8), 3)


def test_digits_need_no_file() -> None:
    domain = ImageSpec(patch=2).build(DIGITS)
    dataset = domain.read(DIGITS)
    assert domain.shape == (8, 8, 1)
    assert domain.inputs.length == 16
    assert len(dataset) == 1797
    assert np.bincount(dataset.columns["label"]).min() > 170
    batch = domain.collate([dataset[i] for i in range(1797)])
    assert batch.inputs.shape == (1797, 1, 8, 8)
    assert batch.inputs.mean().item() == pytest.approx(0, abs=1e-4)
    assert batch.inputs.std().item() == pytest.approx(1, abs=1e-3)


def test_each_channel_is_standardised() -> None:
    dataset = DOMAIN.read(from_arrays(PICTURES))
    batch = DOMAIN.collate(list(dataset))
    expected = (PICTURES - PICTURES.mean((0, 1, 2))) / PICTURES.std((0, 1, 2))
    np.testing.assert_allclose(batch.inputs.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    assert batch.offsets.tolist() == [6 * i for i in range(13)]
    assert batch.pictures
    flat = ImageSpec().build(from_arrays(np.full((3, 4, 4), 7, dtype=np.uint8)))
    assert torch.equal(
        flat.collate(list(flat.read(from_arrays(np.full((3, 4, 4), 7, np.uint8))))).inputs, torch.zeros(3, 1, 4, 4)
    )
    assert len(DOMAIN.collate([])) == 0


@given(st.floats(0, 1), st.integers(1, 5), st.integers(0, 99))
@settings(deadline=None)
def test_hidden_and_visible_patches_make_the_whole(ratio: float, count: int, seed: int) -> None:
    batch = DOMAIN.collate(list(DOMAIN.read(from_arrays(PICTURES[:count]))))
    patches = patchify(batch.inputs, 4)
    masked = DOMAIN.mask(batch, ratio, rng(seed))
    hidden = min(max(1, round(ratio * 6)), 5)
    owners = batch.segments
    assert owners[masked.where].bincount(minlength=count).tolist() == [hidden] * count
    seen = torch.tensor(sorted(set(range(6 * count)) - set(masked.where.tolist())))
    assert torch.equal(masked.batch.inputs, patches[seen])
    assert masked.batch.lengths.tolist() == [6 - hidden] * count
    positions = patch_positions(count, 2, 3)
    assert torch.equal(masked.batch.positions, positions[seen])
    assert masked.queries is not None
    assert torch.equal(masked.queries.positions, positions[masked.where])
    assert masked.queries.inputs.shape == (hidden * count, 0)
    assert masked.queries.lengths.tolist() == [hidden] * count
    mean, spread = patches.mean(1, keepdim=True), patches.var(1, keepdim=True, unbiased=False)
    torch.testing.assert_close(masked.target, ((patches - mean) / (spread + 1e-6).sqrt())[masked.where])


def test_hiding_draws_only_from_the_given_generator() -> None:
    batch = DOMAIN.collate(list(DOMAIN.read(from_arrays(PICTURES))))
    state = torch.get_rng_state()
    first, second, other = (DOMAIN.mask(batch, 0.5, rng(s)).where for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    counts = sum(torch.bincount(DOMAIN.mask(batch, 0.5, rng(s)).where % 6, minlength=6) for s in range(200))
    assert (counts - 1200).abs().max() < 120


def test_labels_of_patches_go_with_the_visible_ones() -> None:
    dataset = DOMAIN.read(from_arrays(PICTURES))
    marks = np.empty(12, dtype=object)
    marks[:] = [np.arange(6) + 10 * i for i in range(12)]
    batch = DOMAIN.collate(list(type(dataset)(**{**vars(dataset), "element_targets": {"label": marks}})))
    masked = DOMAIN.mask(batch, 0.5, rng())
    expected = torch.from_numpy(np.concatenate(marks))
    keep = torch.ones(72, dtype=torch.bool)
    keep[masked.where] = False
    assert torch.equal(masked.batch.element_targets["label"], expected[keep])


def test_one_patch_cannot_be_hidden() -> None:
    domain = ImageSpec(patch=8).build(from_arrays(PICTURES[:, :, :8]))
    with pytest.raises(InputError, match="use a smaller patch"):
        domain.mask(domain.collate(list(domain.read(from_arrays(PICTURES[:, :, :8])))), 0.5, rng())


def fill(folder: Path, channels: int = 3) -> None:
    for i, picture in enumerate(PICTURES):
        path = folder / ("cat" if i % 2 else "dog") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(picture[:, :, :channels]))


def test_a_folder_of_pictures_labels_by_folder(tmp_path: Path) -> None:
    fill(tmp_path)
    dataset = DOMAIN.read(Source(path=str(tmp_path), label="label", group="file"))
    assert dataset.columns["label"].tolist() == ["cat"] * 6 + ["dog"] * 6
    assert dataset.roles == {"label": ("label",), "group": ("file",)}
    order = [*range(1, 12, 2), *range(0, 12, 2)]
    np.testing.assert_array_equal(np.stack([e.inputs for e in dataset]), PICTURES[order])
    assert len(DOMAIN.read(Source(path=str(tmp_path / "cat" / "01.png")))) == 1


@pytest.mark.parametrize("kind", ["npz", "npy", "parquet", "hf", "list", "first"])
def test_every_source_gives_the_same_pictures(tmp_path: Path, kind: str) -> None:
    path, source = tmp_path / f"a.{kind}", None
    if kind == "npz":
        np.savez_compressed(path, images=PICTURES, y=np.arange(12)[:, None])
    elif kind == "npy":
        np.save(path, PICTURES)
    elif kind in ("parquet", "hf"):
        (tmp_path / "data").mkdir()
        path = tmp_path / "data" / "train.parquet"
        rows = [{"bytes": png(p), "path": None} if i % 2 else {"bytes": png(p)} for i, p in enumerate(PICTURES)]
        pq.write_table(pa.table({"image": rows, "y": list(range(12))}), path)
        source = Source(path=f"hf:{path.parent}" if kind == "hf" else str(path), label="y")
    elif kind == "list":
        source = from_arrays(list(PICTURES), label=range(12))
    else:
        square = PICTURES[:, :, :8].transpose(0, 3, 1, 2)
        domain = ImageSpec().build(from_arrays(square))
        assert domain.shape == (8, 8, 3)
        np.testing.assert_array_equal(domain.read(from_arrays(square))[3].inputs, PICTURES[3, :, :8])
        return
    source = source or Source(path=str(path), label=None if kind == "npy" else "y")
    for cache in (None, tmp_path / "cache"):
        dataset = DOMAIN.read(source, cache)
        np.testing.assert_array_equal(np.stack([e.inputs for e in dataset]), PICTURES)
        if dataset.columns:
            assert next(iter(dataset.columns.values())).tolist() == list(range(12))


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_number_of_channels_and_float_pixels(channels: int) -> None:
    pictures = RNG.normal(3, 2, (6, 4, 8, channels))
    domain = ImageSpec(patch=2).build(from_arrays(pictures))
    batch = domain.collate(list(domain.read(from_arrays(pictures))))
    assert batch.inputs.shape == (6, channels, 4, 8)
    assert batch.inputs.mean().item() == pytest.approx(0, abs=1e-5)


def test_size_covers_and_cuts_around_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 200
    tall = np.full((40, 10, 3), 50, np.uint8)
    domain = ImageSpec(patch=4, size=8).build(from_arrays([wide, tall]))
    dataset = domain.read(from_arrays([wide, tall]))
    assert dataset[0].inputs.shape == dataset[1].inputs.shape == (8, 8, 3)
    assert dataset[0].inputs[:, 1:-1].min() > 150, "the middle of the wide picture fills it: nothing is padded"
    assert (dataset[1].inputs == 50).all()
    oblong = ImageSpec(patch=4, size=(4, 8)).build(from_arrays([wide, tall]))
    assert oblong.shape == (4, 8, 3)


def test_modes_of_picture_files(tmp_path: Path) -> None:
    base = Image.fromarray(PICTURES[0])
    forms = {"P": 3, "L": 1, "1": 1, "RGBA": 4, "CMYK": 3, "LA": 1}
    for mode, channels in forms.items():
        folder = tmp_path / mode
        folder.mkdir()
        base.convert(mode).save(folder / ("a.tif" if mode in ("CMYK",) else "a.png"))
        assert ImageSpec().build(Source(path=str(folder))).shape == (8, 12, channels), mode
        assert ImageSpec(channels=3).build(Source(path=str(folder))).shape == (8, 12, 3), mode
    deep = np.arange(96, dtype=np.uint16).reshape(8, 12) * 600
    (tmp_path / "deep").mkdir()
    Image.fromarray(deep).save(tmp_path / "deep" / "a.png")
    domain = ImageSpec(channels=1).build(Source(path=str(tmp_path / "deep")))
    picture = domain.read(Source(path=str(tmp_path / "deep")))[0].inputs
    np.testing.assert_array_equal(picture[:, :, 0], deep.astype(np.float32))


def read_one(path: Path, **keys: object) -> np.ndarray:
    source = Source(path=str(path))
    return ImageSpec.parse({"patch": 1} | keys).build(source).read(source)[0].inputs


def test_deep_pictures_keep_their_depth(tmp_path: Path) -> None:
    deep = np.arange(96, dtype=np.uint16).reshape(8, 12) * 600
    Image.fromarray(deep).save(tmp_path / "a.png")
    for channels in (None, 1, 3):
        found = read_one(tmp_path, channels=channels)
        assert found.shape == (8, 12, channels or 1) and found.dtype == np.float32
        assert all(np.array_equal(found[:, :, c], deep) for c in range(channels or 1))
    with pytest.raises(InputError, match=r"a.png: a grey picture of uint16 pixels has no opacity; valid.*: 1, 3"):
        read_one(tmp_path, channels=4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "P bytes"])
def test_what_can_be_seen_through_lies_on_white(tmp_path: Path, mode: str) -> None:
    """Left half opaque grey 40, right half fully transparent with 200 underneath."""
    grey = np.repeat(np.repeat([[40, 200]], 8, 0), 4, 1).astype(np.uint8)
    picture = Image.fromarray(grey)
    if mode.startswith("P"):
        index = 200 if mode == "P" else bytes([255] * 200 + [0])
        picture.convert("P").save(tmp_path / "a.png", transparency=index)
    else:
        opacity = Image.fromarray(np.where(grey == 40, 255, 0).astype(np.uint8))
        whole = picture.convert("RGB").convert(mode)
        whole.putalpha(opacity)
        whole.save(tmp_path / "a.png")
    for channels in (1, 3):
        found = read_one(tmp_path, channels=channels)
        assert (found[:, :4] == 40).all() and (found[:, 4:] == 255).all()
    kept = read_one(tmp_path, channels=4)
    assert (kept[:, :4] == [40, 40, 40, 255]).all() and (kept[:, 4:, 3] == 0).all()


def test_pictures_stand_as_their_camera_says(tmp_path: Path) -> None:
    quarter = Image.Exif()
    quarter[0x112] = 6  # orientation: to be turned a quarter clockwise
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png", exif=quarter)
    np.testing.assert_array_equal(read_one(tmp_path), np.rot90(PICTURES[0], -1))


@pytest.mark.parametrize("ending", ["gif", "tif"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    assert (read_one(tmp_path, channels=3) == [255, 0, 0]).all()


def test_four_inks_become_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    found = read_one(tmp_path).reshape(-1, 3).astype(int)
    assert (abs(found - [255, 0, 0]) <= 3).all()


def cut_jpeg(folder: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(folder / "a.jpg")
    path = folder / "a.jpg"
    path.write_bytes(path.read_bytes()[:-120])


def not_a_picture(folder: Path) -> None:
    (folder / "a.png").write_text("hello")


def corrupt_folder(folder: Path) -> None:
    fill(folder)
    path = folder / "cat" / "05.png"
    path.write_bytes(path.read_bytes()[:60])


def odd_size(folder: Path) -> None:
    fill(folder)
    (folder / "cat" / "05.png").write_bytes(png(PICTURES[0, :4]))


def odd_channels(folder: Path) -> None:
    fill(folder)
    (folder / "dog" / "04.png").write_bytes(png(PICTURES[0, :, :, :1]))


def pickled(folder: Path) -> None:
    np.savez(folder / "a.npz", x=np.array([{"a": 1}], dtype=object))


def bad_row(folder: Path) -> None:
    pq.write_table(pa.table({"image": [png(PICTURES[0]), b"nonsense"]}), folder / "a.parquet")


def no_row(folder: Path) -> None:
    pq.write_table(pa.table({"image": [png(PICTURES[0]), None]}), folder / "a.parquet")


def save(**arrays: np.ndarray):
    return lambda folder: np.savez(folder / "a.npz", **arrays)


def cut(folder: Path) -> None:
    np.savez(folder / "a.npz", x=PICTURES)
    (folder / "a.npz").write_bytes((folder / "a.npz").read_bytes()[:-200])


MISTAKES = [
    (corrupt_folder, "", {}, r"cat/05.png: a damaged picture, or not one \("),
    (odd_size, "", {}, r"cat/05.png: its size is 4 × 12, the domain's 8 × 12; set domain.size|the first one's 8 × 12"),
    (odd_channels, "", {}, r"\d\d.png: it has 1 channels, .* 3; for picture files set domain.channels to 1 or 3"),
    (cut_jpeg, "", {}, r"a.jpg: a damaged picture, or not one \("),
    (not_a_picture, "", {}, r"a.png: not a picture in a format that Pillow reads; take it out or save it anew$"),
    (pickled, "a.npz", {}, r"a.npz: not a readable array file .* arrays of Python objects are refused"),
    (cut, "a.npz", {}, r"a.npz: a damaged compressed file"),
    (bad_row, "a.parquet", {}, r"a.parquet: row 2: not a picture in a format"),
    (no_row, "a.parquet", {}, r"a.parquet: row 2: no picture in this row"),
    (save(x=PICTURES), "a.npz", {"label": "y"}, r"a.npz: no column 'y'; .*valid: x"),
    (save(q=PICTURES), "a.npz", {}, r"a.npz: no column named image or .* one of: q"),
    (save(x=PICTURES, y=np.arange(3)), "a.npz", {"label": "y"}, r"12 pictures but 3 values of 'y'"),
    (save(x=np.zeros((3, 4))), "a.npz", {}, r"a.npz: an array \(3, 4\) is not pictures; expected \(n, H, W\)"),
    (save(x=np.full((2, 8, 12, 3), np.nan)), "a.npz", {}, r"a.npz: picture 1: pixels that are not finite numbers"),
    (save(x=np.array([["a"] * 4] * 4)[None]), "a.npz", {}, r"a.npz: picture 1: values of type <U1 are not pixels"),
    (save(x=PICTURES[:0]), "a.npz", {}, r"a.npz: no pictures in it"),
    (lambda folder: None, "", {}, r"holds no file that can be read; expected a folder of pictures"),
    (lambda folder: None, "none.npz", {}, r"none.npz: no such file or folder; expected a folder of pictures"),
    (fill, "", {"label": "breed"}, r"no column 'breed'; valid: file, folder, label"),
]


@pytest.mark.parametrize(("make", "name", "keys", "message"), MISTAKES)
def test_one_line_says_what_is_wrong(tmp_path: Path, make, name: str, keys: dict, message: str) -> None:
    (tmp_path / "data").mkdir()
    make(tmp_path / "data")
    source = Source(path=str(tmp_path / "data" / name), **keys)
    for cache in (None, tmp_path / "cache"):
        for attempt in (lambda c: ImageSpec().build(source, c), lambda c: DOMAIN.read(source, c)):
            with pytest.raises(InputError) as caught:
                attempt(cache)
            assert re.search(message, str(caught.value)), str(caught.value)


def test_patches_that_do_not_divide_name_those_that_do() -> None:
    with pytest.raises(InputError, match=r"8 × 12 do not divide into patches of 5; valid patch sizes: 1, 2, 4; or set"):
        ImageSpec(patch=5).build(from_arrays(PICTURES))
    with pytest.raises(InputError, match="learnt from a corpus"):
        ImageSpec().build()


def test_other_pictures_than_the_domains_are_refused(tmp_path: Path) -> None:
    other = RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=other)
    for source, cache in ((from_arrays(other), None), (Source(path=str(tmp_path / "a.npz")), tmp_path / "cache")):
        with pytest.raises(InputError, match=r"16 × 16, the domain's 8 × 12; set domain.size"):
            DOMAIN.read(source, cache)


def test_fingerprints_withstand_brightness_and_size() -> None:
    smooth = [np.add.outer(RNG.normal(size=32).cumsum(), RNG.normal(size=32).cumsum())[:, :, None] for _ in range(4)]
    scaled = [((p - p.min()) / np.ptp(p) * 200).astype(np.uint8) for p in smooth]
    domain = ImageSpec().build(from_arrays(scaled))
    prints = [domain.fingerprints(e).tolist() for e in domain.read(from_arrays(scaled))]
    brighter = [domain.fingerprints(e).tolist() for e in domain.read(from_arrays([p + np.uint8(40) for p in scaled]))]
    assert prints == brighter
    assert len({p[0] for p in prints}) == 4


def test_the_baseline_is_pixels() -> None:
    train, other = DOMAIN.classical(DOMAIN.read(from_arrays(PICTURES)), [DOMAIN.read(from_arrays(PICTURES[:2]))])
    assert train.shape == (12, 288)
    assert train.dtype == np.float32
    np.testing.assert_array_equal(train[:2], other)
    large = from_arrays(RNG.integers(0, 256, (2, 128, 256, 3), dtype=np.uint8))
    domain = ImageSpec().build(large)
    assert domain.classical(domain.read(large))[0].shape == (2, 32 * 64 * 3)


def test_saved_and_loaded(tmp_path: Path) -> None:
    DOMAIN.save(tmp_path)
    again = load_domain(tmp_path)
    assert again.describe() == DOMAIN.describe()
    dataset = again.read(from_arrays(PICTURES))
    assert torch.equal(again.collate(list(dataset)).inputs, DOMAIN.collate(list(dataset)).inputs)
