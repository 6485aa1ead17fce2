"""Tables hold what was written, in every format."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from exapt.errors import InputError
from exapt.studies.tables import write_table

COLUMNS = {"index": np.arange(3), "label": np.array(["a", "b, c", "ü"], dtype=object), "p": np.eye(3)[:, :2]}


def test_csv(tmp_path):
    write_table(tmp_path / "t.csv", COLUMNS)
    with open(tmp_path / "t.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["label"] for r in rows] == ["a", "b, c", "ü"]
    assert [float(r["p_1"]) for r in rows] == [0.0, 1.0, 0.0]


def test_npz_needs_no_pickle(tmp_path):
    write_table(tmp_path / "t.npz", COLUMNS)
    with np.load(tmp_path / "t.npz", allow_pickle=False) as table:
        assert table["label"].tolist() == ["a", "b, c", "ü"]
        assert np.array_equal(table["p"], COLUMNS["p"])


def test_parquet(tmp_path):
    write_table(tmp_path / "t.parquet", COLUMNS)
    assert pq.read_table(tmp_path / "t.parquet", memory_map=False)["p_0"].to_pylist() == [1.0, 0.0, 0.0]


def test_unknown_ending(tmp_path):
    with pytest.raises(InputError, match=r"unknown ending '\.xlsx'; valid: \.csv, \.npz, \.parquet"):
        write_table(tmp_path / "t.xlsx", COLUMNS)
