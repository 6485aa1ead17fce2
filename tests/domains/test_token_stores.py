"""Stores, caches and windows."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exapt.domains import DnaSpec, ImageSpec, Source, TextSpec, from_arrays
from exapt.domains.caching import cached
from exapt.domains.cutting import SHORTEST, cuts
from exapt.domains.stores import PictureStore, TokenStore, WindowStore
from exapt.errors import InputError

DNA = DnaSpec(length=10).build()


def genome(folder: Path, bases: int = 500) -> Source:
    sequence = "".join(np.random.default_rng(0).choice(list("ACGT"), bases))
    (folder / "g.fa").write_text(f">one\n{sequence}\n>two\nACGTA\n")
    return Source(path=str(folder / "g.fa"))


def test_a_cached_corpus_is_memory_mapped_and_the_same(tmp_path: Path) -> None:
    source = genome(tmp_path)
    plain, kept = DNA.read(source), DNA.read(source, tmp_path / "cache")
    assert isinstance(kept.store, TokenStore)
    assert isinstance(kept.store.ids, np.memmap)
    assert kept.fingerprint() == plain.fingerprint()
    for a, b in zip(plain, kept, strict=True):
        np.testing.assert_array_equal(a.inputs, b.inputs)


def test_a_second_reading_encodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = genome(tmp_path)
    first = DNA.read(source, tmp_path / "cache")
    monkeypatch.setattr(type(DNA), "encode_piece", lambda *_: pytest.fail("encoded again"))
    assert DNA.read(source, tmp_path / "cache").fingerprint() == first.fingerprint()


def test_the_cache_is_keyed_by_content_and_tokens_not_by_place(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    source = genome(tmp_path)
    DNA.read(source, cache)
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "g.fa"
    moved.write_bytes(Path(source.path).read_bytes())
    DNA.read(Source(path=str(moved)), cache)
    assert len(list(cache.iterdir())) == 1
    DnaSpec(tokens="kmer").build().read(source, cache)
    DNA.read(source.model_copy(update={"limit": 1}), cache)
    genome(tmp_path, 501)
    DNA.read(source, cache)
    assert len(list(cache.iterdir())) == 4
    DnaSpec(length=20).build().read(source, cache)
    assert len(list(cache.iterdir())) == 4, "the length does not change the ids"


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    source = genome(tmp_path)
    DNA.read(source, tmp_path / "cache")
    ids = next((tmp_path / "cache").glob("*/ids.bin"))
    ids.write_bytes(ids.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"damaged cache.*delete this folder"):
        DNA.read(source, tmp_path / "cache")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left on device"):
        cached(tmp_path, "x", write)
    assert not list(tmp_path.iterdir())


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "who").write_text("second")
        other = tmp_path / "x"
        other.mkdir()
        (other / "who").write_text("first")

    assert (cached(tmp_path, "x", write) / "who").read_text() == "first"


def test_another_process_maps_the_same_file(tmp_path: Path) -> None:
    dataset = DNA.read(genome(tmp_path, 5000), tmp_path / "cache")
    data = pickle.dumps(dataset.store)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert isinstance(again.ids, np.memmap)
    np.testing.assert_array_equal(again[0], dataset.store[0])
    windows = DNA.windows(dataset)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(windows))[3].inputs, windows[3].inputs)


def test_pictures_are_memory_mapped_too(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=pictures, y=np.arange(20))
    source = Source(path=str(tmp_path / "a.npz"), label="y")
    domain = ImageSpec().build(source, tmp_path / "cache")
    kept, plain = domain.read(source, tmp_path / "cache"), domain.read(source)
    assert isinstance(kept.store, PictureStore)
    assert isinstance(kept.store.pictures, np.memmap)
    np.testing.assert_array_equal(kept.store.pictures, pictures)
    np.testing.assert_array_equal(plain[7].inputs, pictures[7])
    assert kept.columns["y"].tolist() == plain.columns["y"].tolist() == list(range(20))
    assert len(pickle.dumps(kept.store)) < 1000


def test_fingerprints_follow_content() -> None:
    domain = TextSpec(tokens="characters").build(from_arrays(["abcd"]))
    one = domain.read(from_arrays(["ab", "cd"], label=[1, 2]))
    assert one.fingerprint() == domain.read(from_arrays(["ab", "cd"], label=[1, 2])).fingerprint()
    others = [(["abc", "d"], [1, 2]), (["ab", "cd"], [1, 3]), (["cd", "ab"], [1, 2])]
    prints = {domain.read(from_arrays(texts, label=labels)).fingerprint() for texts, labels in others}
    assert len(prints | {one.fingerprint(), one.subset([0]).fingerprint(), one.subset([1, 0]).fingerprint()}) == 6
    long = [domain.read(from_arrays(["ab"], label=[[0] * 2000 + [i]])).fingerprint() for i in (0, 1)]
    assert long[0] != long[1], "long label lists must not be shortened"


@given(st.lists(st.integers(0, 60), max_size=6), st.integers(1, 20), st.integers(0, 50))
def test_windows_cover_every_record_in_order(lengths: list[int], size: int, phase: int) -> None:
    record, start, stop = cuts(np.array(lengths, dtype=np.int64), size, phase)
    least = min(SHORTEST, size)
    for i, length in enumerate(lengths):
        mine = [(int(a), int(b)) for r, a, b in zip(record, start, stop, strict=True) if r == i]
        if length <= size:
            assert mine == ([(0, length)] if length else []), "a short record stays whole"
            continue
        assert all(least <= b - a <= size for a, b in mine)
        missing = set(range(length)) - {p for a, b in mine for p in range(a, b)}
        ends = [*range(phase % size), *range(length - (length - phase % size) % size, length)]
        assert missing <= set(ends), "only short pieces at the ends are dropped"
        assert sum(b - a for a, b in mine) == length - len(missing), "windows do not overlap"
        assert all(a % size == phase % size or a == 0 for a, _ in mine)


def test_windows_are_views_with_columns_and_labels(tmp_path: Path) -> None:
    dataset = DNA.read(genome(tmp_path).model_copy(update={"group": "id"}))
    marks = np.empty(2, dtype=object)
    marks[:] = [np.arange(500), np.arange(5)]
    dataset = type(dataset)(**{**vars(dataset), "element_targets": {"label": marks}})
    windows = DNA.windows(dataset, phase=3)
    assert isinstance(windows.store, WindowStore)
    assert windows.lengths.max() == 10
    assert windows[0].inputs.base is not None, "a window is a view"
    assert windows.columns["id"].tolist() == ["one"] * 49 + ["two"]
    for i in (0, 10, 49):
        at = windows[i].element_targets["label"]
        record = int(windows.columns["id"][i] == "two")
        np.testing.assert_array_equal(windows[i].inputs, dataset[record].inputs[at])
    assert windows.subset([5, 2]).fingerprint() != windows.fingerprint()
    assert DNA.windows(dataset, 4).fingerprint() != windows.fingerprint()
    assert len(DNA.windows(windows)) == len(windows), "windows fit into windows"
    np.testing.assert_array_equal(DNA.windows(windows)[7].inputs, windows[7].inputs)
