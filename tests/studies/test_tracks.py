"""A model along a genome: windows of both strands where they stand, hits apart, and every record that cannot be."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from exapt.adaptation import ClassicalSpec, Start, fit
from exapt.cli import app
from exapt.domains import DnaSpec, from_arrays
from exapt.domains.base import Dataset, Source
from exapt.errors import InputError
from exapt.studies.tracks import Scan, apart, scan_file
from exapt.tasks import ClassifySpec, RegressSpec
from exapt.verbs import predict

BOX = "TTGACATATAAT"
RNG = np.random.default_rng(0)
DNA = "".join(RNG.choice(list("ACGT"), 400))


def other_strand(sequence: str) -> str:
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


GENOME = DNA[:100] + BOX + DNA[100:200] + other_strand(BOX) + DNA[200:280]


@dataclass
class Finder:
    """Stands for a fitted model: the share of BOX's letters that a window begins with."""

    domain: Any = field(default_factory=lambda: DnaSpec(length=16).build())
    task: Any = field(
        default_factory=lambda: ClassifySpec().build(
            DnaSpec().build().read(from_arrays(["A", "C"], label=["none", "promoter"]))
        )
    )

    def predict(self, dataset: Dataset) -> np.ndarray:
        texts = [self.domain.decode(torch.from_numpy(e.inputs.astype(np.int64))) for e in dataset]
        found = np.array([np.mean([a == b for a, b in zip(text, BOX, strict=False)]) for text in texts])
        return np.stack([1 - found, found], 1)


def fasta(folder: Path, text: str, name: str = "g.fa") -> Source:
    (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return Source(path=str(folder / name))


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_hits_of_both_strands_in_a_bed(tmp_path: Path) -> None:
    source = fasta(tmp_path, f">chr1 the first\n{GENOME[:50]}\n{GENOME[50:]}\n>chr2\n{DNA[300:340]}\n")
    done = scan_file(Finder(), source, tmp_path / "t.bed", Scan(len(BOX), stride=1, threshold=0.9))
    assert rows(tmp_path / "t.bed") == [
        ["chr1", "100", "112", "promoter", "1000", "+"],
        ["chr1", "212", "224", "promoter", "1000", "-"],
    ]
    assert (done.rows, done.records, done.bases, done.short) == (2, 2, len(GENOME) + 40, [])
    assert GENOME[100:112] == BOX == other_strand(GENOME[212:224])


@pytest.mark.parametrize(("stride", "at"), [(1, None), (4, None), (5, 0), (3, 11)])
def test_a_graph_has_every_window_where_it_says(tmp_path: Path, stride: int, at: int | None, monkeypatch: Any) -> None:
    monkeypatch.setattr("exapt.studies.tracks.CHUNK", 12 * 7)
    out = tmp_path / "t.bedgraph"
    scan_file(Finder(), fasta(tmp_path, f">c\n{GENOME}\n"), out, Scan(len(BOX), stride=stride, at=at))
    assert not out.exists()
    place = 6 if at is None else at
    for sign, name in (("+", "plus"), ("-", "minus")):
        found = rows(tmp_path / f"t.{name}.bedgraph")
        wanted = []
        for start in range(0, len(GENOME) - 11, stride):
            text = GENOME[start : start + 12]
            text = text if sign == "+" else other_strand(text)
            value = np.mean([a == b for a, b in zip(text, BOX, strict=True)])
            middle = start + (place if sign == "+" else 11 - place)
            first = middle - stride // 2
            wanted.append(["c", str(max(0, first)), str(min(len(GENOME), first + stride)), f"{value:.5g}"])
        assert found == wanted
        ends = [(int(a), int(b)) for _, a, b, _ in found]
        assert all(b <= c and a < b for (a, b), (c, _) in pairwise(ends)), "none overlap"


def test_soft_masked_and_unknown_bases(tmp_path: Path) -> None:
    text = GENOME[:100] + BOX.lower() + "N" * 30 + "RYK" + GENOME[150:]
    done = scan_file(
        Finder(), fasta(tmp_path, f">c\n{text}\n", "g.fa.gz"), tmp_path / "t.bed", Scan(12, stride=1, threshold=0.99)
    )
    assert rows(tmp_path / "t.bed")[0] == ["c", "100", "112", "promoter", "1000", "+"]
    clean = [sum(text[i : i + 12].upper().count(b) for b in "ACGT") for i in range(len(text) - 11)]
    assert done.unknown == 2 * sum(n < 0.9 * 12 for n in clean)
    assert "windows hold too many unknown bases" in done.notes(12)[0]
    graph = tmp_path / "t.bg"
    scan_file(Finder(), Source(path=str(tmp_path / "g.fa.gz")), graph, Scan(12, stride=1, strand="minus"))
    assert len(rows(graph)) == len(clean) - done.unknown // 2


def test_short_and_empty_records_are_named(tmp_path: Path) -> None:
    source = fasta(tmp_path, f">a\nACGT\n>b\n>c\n{GENOME}\n>d\nA\n>e\nC\n")
    done = scan_file(Finder(), source, tmp_path / "t.bed", Scan(12, stride=1, threshold=0.99))
    assert done.short == ["a", "b", "d", "e"]
    assert done.notes(12) == ["4 records are shorter than 12 bases and have no value: a, b, d, …"]
    assert {row[0] for row in rows(tmp_path / "t.bed")} == {"c"}


def test_hits_that_overlap_leave_the_best() -> None:
    starts, values = np.array([0, 5, 9, 11, 30]), np.array([0.7, 0.9, 0.8, 0.6, 0.6])
    assert apart(starts, values, 6).tolist() == [1, 3, 4], "11 overlaps 9, but not 5"
    assert apart(starts, np.ones(5), 6).tolist() == [0, 2, 4]
    assert apart(starts[:0], values[:0], 6).tolist() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">a\nACGT\n>a\nACGT\n", "g.fa: record 2 'a' stands there twice; every record of a track needs its own name"),
        ("> \nACGT\n", "g.fa: record 1 has no name"),
        (">a\nACGTACGTACGTACGT\n>b\nACGMKLV\n", "record 'b': position 6: 'L' is a residue"),
        (">a\nAC-GT\n", "record 'a': position 3: '-' is an alignment's gap"),
    ],
)
def test_mistakes_in_a_genome(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        scan_file(Finder(), fasta(tmp_path, text), tmp_path / "t.bed", Scan(12))
    assert said in str(error.value)
    assert not (tmp_path / "t.bed").exists()


def test_mistakes_in_what_is_asked(tmp_path: Path) -> None:
    source, out = fasta(tmp_path, f">c\n{GENOME}\n"), tmp_path / "t.bed"
    for scan, said in (
        (Scan(0), "--window 0 --stride 10"),
        (Scan(12, strand="forward"), "--strand forward; valid"),
        (Scan(12, at=12), "--at 12; valid: 0 to 11"),
        (Scan(12, label="enhancer"), "--label enhancer: the model does not know it"),
    ):
        with pytest.raises(InputError, match=said):
            scan_file(Finder(), source, out, scan)
    with pytest.raises(InputError, match="along the records of a FASTA; give its path"):
        scan_file(Finder(), from_arrays(["ACGT"]), out, Scan(12))
    (tmp_path / "t.csv").write_text("sequence\nACGT\n")
    with pytest.raises(InputError, match=r"t.csv: tracks are written along the records of a FASTA \("):
        scan_file(Finder(), Source(path=str(tmp_path / "t.csv")), out, Scan(12))
    numbers = RegressSpec().build(DnaSpec().build().read(from_arrays(["A", "C"], label=[0.5, 2.5])))
    with pytest.raises(InputError, match="numbers have no threshold"):
        scan_file(Finder(task=numbers), source, out, Scan(12))


def test_from_the_command_line_with_a_real_model(tmp_path: Path) -> None:
    domain = DnaSpec(tokens="kmer", k=3, length=16).build()
    texts = [BOX + "".join(RNG.choice(list("ACGT"), 3)) for _ in range(20)]
    texts += ["".join(RNG.choice(list("ACGT"), 15)) for _ in range(20)]
    data = domain.read(from_arrays(texts, label=[1] * 20 + [0] * 20))
    task = ClassifySpec().build(data)
    data = task.attach(data)
    fit(ClassicalSpec(), Start(domain), task, data, data.subset(range(0, 40, 4)), 0).save(tmp_path / "model")
    source = fasta(tmp_path, f">c\n{GENOME}\n>tiny\nAC\n")
    out = tmp_path / "t.bed"
    words = ["predict", str(tmp_path / "model"), source.path, "--out", str(out), "--window", "15", "--stride", "1"]
    result = CliRunner().invoke(app, [*words, "--threshold", "0.8"])
    assert result.exit_code == 0, result.output
    assert "1 records are shorter than 15 bases" in result.output
    assert ["c", "100", "115"] in [row[:3] for row in rows(out)]
    count = predict(tmp_path / "model", source.path, out=tmp_path / "t.bedgraph", window=15, stride=5, strand="plus")
    assert count == len(rows(tmp_path / "t.bedgraph")) == len(range(0, len(GENOME) - 14, 5))
    with pytest.raises(InputError, match="--window is missing"):
        predict(tmp_path / "model", source.path, out=out)
    with pytest.raises(InputError, match="--window 60: that is 20 tokens, and the model reads 16 at most"):
        predict(tmp_path / "model", source.path, out=out, window=60)
    with pytest.raises(InputError, match=r"strid: no word of a scan; .*stride"):
        predict(tmp_path / "model", source.path, out=out, window=15, strid=3)
    with pytest.raises(InputError, match=r"written as .bedgraph or .bed; or leave window out"):
        predict(tmp_path / "model", source.path, out=tmp_path / "t.csv", window=15)
