"""Every kind of file gives the same records."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exapt.domains import Dataset, Source, TextSpec, from_arrays

TEXTS = ["one two", "three, four", 'five "six"\nseven', "acht ähm"]
LABELS = ["a", "b", "a", "b"]


def domain(tokens: str = "characters"):
    return TextSpec(tokens=tokens, length=64).build(from_arrays(TEXTS))


def back(dataset: Dataset) -> list[str]:
    return domain().texts(dataset)


def write_csv(path: Path, delimiter: str = ",") -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows(
            [["id", "Text", "label"], *([i, t, y] for i, (t, y) in enumerate(zip(TEXTS, LABELS, strict=True)))]
        )


def write_jsonl(path: Path) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        for text, label in zip(TEXTS, LABELS, strict=True):
            file.write(json.dumps({"text": text, "label": label}) + "\n\n")


def write_parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), path)


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.ndjson.gz", "a.parquet", "b.zip::in/a.jsonl"]
)
def test_every_table_gives_the_same_records(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.replace("::", "-").replace("/", "-")
    if "csv" in name or "tsv" in name:
        write_csv(path, "\t" if "tsv" in name else ",")
    elif "zip" in name:
        write_jsonl(tmp_path / "a.jsonl")
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            archive.write(tmp_path / "a.jsonl", "in/a.jsonl")
            archive.writestr("in/readme.md", "nothing")
        path = tmp_path / "b.zip::in/a.jsonl"  # type: ignore[assignment]
    elif "parquet" in name:
        write_parquet(path)
    else:
        write_jsonl(path)
    dataset = domain().read(Source(path=str(path), label="label"))
    assert back(dataset) == TEXTS
    assert dataset.columns["label"].tolist() == LABELS
    assert dataset.roles == {"label": ("label",)}
    assert domain().read(Source(path=str(path), limit=2)).lengths.tolist() == [7, 11]


def test_an_archive_with_one_readable_member_needs_no_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.csv", "text\nhello\n")
    assert len(domain().read(Source(path=str(tmp_path / "b.zip")))) == 1


def test_a_local_hugging_face_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    write_parquet(tmp_path / "data" / "train.parquet")
    dataset = domain().read(Source(path=f"hf:{tmp_path / 'data'}:train", label="label", limit=3), tmp_path / "kept")
    assert back(dataset) == TEXTS[:3]
    assert dataset.columns["label"].tolist() == LABELS[:3]


def test_the_column_can_be_named_and_numbers_stay_numbers(tmp_path: Path) -> None:
    rows = [{"body": "x", "y": 1, "z": 0.5}, {"body": "y", "y": 2, "z": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = Source(path=str(tmp_path / "a.jsonl"), column="body", label=["y", "z"])
    for dataset in (
        domain().read(source),
        domain().read(source, tmp_path / "cache"),
        domain().read(source, tmp_path / "cache"),
    ):
        assert dataset.columns["y"].dtype == np.int64
        np.testing.assert_array_equal(dataset.columns["z"], [0.5, np.nan])


def test_lists_and_long_strings_of_labels_are_kept_as_read(tmp_path: Path) -> None:
    rows = [{"text": "ab", "tags": [1, None], "word": "x" * 100}, {"text": "c", "tags": [2], "word": None}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = Source(path=str(tmp_path / "a.jsonl"), label=["tags", "word"])
    for dataset in (domain().read(source), domain().read(source, tmp_path / "cache")):
        assert dataset.columns["tags"].tolist() == [[1, None], [2]]
        assert dataset.columns["word"].tolist() == ["x" * 100, ""]


def test_rows_without_text_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,g\nhello,1\n  ,2\n,3\nworld,4\n")
    source = Source(path=str(tmp_path / "a.csv"), group="g")
    for dataset in (
        domain().read(source),
        domain().read(source, tmp_path / "c"),
        domain().read(source, tmp_path / "c"),
    ):
        assert dataset.lengths.tolist() == [5, 5]
        assert dataset.skipped == {"empty": 2}
        assert dataset.columns["g"].tolist() == ["1", "4"]


DOCUMENT = "A first line.\nA second.\n\nNew paragraph\nof two lines.\n"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, [DOCUMENT]),
        ("file", [DOCUMENT]),
        ("line", ["A first line.", "A second.", "New paragraph", "of two lines."]),
        ("paragraph", ["A first line.\nA second.", "New paragraph\nof two lines."]),
    ],
)
def test_what_one_record_of_a_txt_is(tmp_path: Path, record: str | None, expected: list[str]) -> None:
    (tmp_path / "a.txt").write_text(DOCUMENT)
    spec = TextSpec(tokens="characters").build(Source(path=str(tmp_path / "a.txt")))
    assert spec.texts(spec.read(Source(path=str(tmp_path / "a.txt"), record=record))) == expected


@pytest.mark.parametrize("tokens", ["characters", "bpe"])
def test_a_long_document_read_in_blocks_is_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    monkeypatch.setattr("exapt.domains.records.BLOCK", 50)
    text = "".join(f"line {i} of the document\n" for i in range(100))
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(text)
    domain = TextSpec(tokens=tokens, length=64).build(Source(path=str(tmp_path)))
    for cache in (None, tmp_path / "cache"):
        assert domain.texts(domain.read(Source(path=str(tmp_path / "a.txt")), cache)) == [text]
    both = domain.read(Source(path=str(tmp_path), label="file", limit=5))
    assert domain.texts(both) == [text, text]
    assert both.columns["file"].tolist() == ["a.txt", "b.txt"]


def test_a_folder_labels_by_its_own_folders(tmp_path: Path) -> None:
    for name in ("neg/1.txt", "neg/2.txt", "pos/1.txt", ".hidden/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    dataset = domain().read(Source(path=str(tmp_path), label="label", group="file"))
    assert dataset.columns["label"].tolist() == ["neg", "neg", "pos"]
    assert dataset.columns["file"].tolist() == ["neg/1.txt", "neg/2.txt", "pos/1.txt"]


def test_flips_set_and_validation_columns_become_one_split(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,set,validation\na,train,\nb,train,True\nc,test,False\n")
    dataset = domain().read(Source(path=str(tmp_path / "a.csv"), split="set"))
    assert dataset.columns["set"].tolist() == ["train", "valid", "test"]
    assert list(dataset.columns) == ["set"]


def test_masked_labels_are_missing(tmp_path: Path) -> None:
    rows = [{"text": "abc", "y": "HEC", "m": "101"}, {"text": "ab", "y": "HH", "m": "11"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = domain().read(Source(path=str(tmp_path / "a.jsonl"), label="y", mask="m"))
    assert dataset.columns["y"].tolist() == ["H?C", "HH"]
    listed = [{"text": "abc", "y": [0, 1, 2], "m": [1, 0, 1]}]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, listed)))
    dataset = domain().read(Source(path=str(tmp_path / "b.jsonl"), label="y", mask="m"))
    assert dataset.columns["y"].tolist() == [[0, None, 2]]


def test_arrays_are_a_source() -> None:
    arrays = from_arrays(TEXTS, label=[0, 1, 0, 1], group=np.array(["a", "a", "b", "b"]), split=["train"] * 4)
    dataset = domain().read(arrays)
    assert back(dataset) == TEXTS
    assert dataset.columns["label"].tolist() == [0, 1, 0, 1]
    assert dataset.roles == {"label": ("label",), "group": ("group",), "split": ("split",)}
