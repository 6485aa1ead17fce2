"""FASTA and FASTQ: any line length, any block size, labels beside or in the headers."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.domains import DnaSpec, ProteinSpec, Source, fasta
from exapt.domains.opening import File
from exapt.domains.pieces import Letters, Wanted
from exapt.errors import InputError

DNA = DnaSpec().build()
ANY = Wanted(None, ("sequence",))


def naive(text: str) -> list[tuple[str, str]]:
    """The plainest reader: the oracle."""
    records: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith(">"):
            records.append((line[1:].strip(), ""))
        elif records:
            records[-1] = (records[-1][0], records[-1][1] + "".join(line.split()))
    return records


def read(path: Path) -> list[tuple[str, str]]:
    found = []
    for piece, headers in fasta.headed(File(path)):
        assert isinstance(piece.values, Letters)
        text, stops = piece.values.codes.tobytes().decode(), piece.values.lengths.cumsum().tolist()
        found += [(h, text[a:b]) for h, a, b in zip(headers, [0, *stops], stops, strict=False)]
    return found


lines = st.lists(st.text("ACGTN acgt\r", max_size=12), max_size=4)
files = st.lists(st.tuples(st.text("ab =>1", max_size=6), lines), min_size=1, max_size=6)


@given(files, st.integers(1, 40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_file_in_any_block_size_reads_as_the_plain_reader_does(
    tmp_path_factory: pytest.TempPathFactory, records: list, block: int, ends: bool
) -> None:
    text = "".join(f">{header}\n" + "".join(f"{line}\n" for line in body) for header, body in records)
    text = text if ends else text.rstrip("\n") or ">"
    path = tmp_path_factory.mktemp("fasta") / "a.fa"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "BLOCK", block)
        assert read(path) == naive(text.replace("\r", ""))


def test_blank_lines_may_come_first(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text("\n\n  \n>x y=1\nAC\nGT\n\n>z\nA\n")
    dataset = DNA.read(Source(path=str(tmp_path / "a.fa")))
    assert [DNA.decode(dataset[i].inputs) for i in range(2)] == ["ACGT", "A"]


def test_a_folder_and_a_limit(tmp_path: Path) -> None:
    for name, text in {"b.fna": ">x\nAAA\n", "a.fa": ">y\nCC\n>z\nG\n"}.items():
        (tmp_path / name).write_text(text)
    source = Source(path=str(tmp_path), label="file", limit=3)
    dataset = DNA.read(source)
    assert dataset.lengths.tolist() == [2, 1, 3]
    assert dataset.columns["file"].tolist() == ["a.fa", "a.fa", "b.fna"]
    assert DNA.read(source.model_copy(update={"limit": 2})).lengths.tolist() == [2, 1]


@pytest.mark.parametrize("name", ["a.fastq", "a.fq.gz"])
def test_fastq_also_over_several_lines(tmp_path: Path, name: str) -> None:
    text = "@r1 x\nACGT\n+\n@@+I\n\n@r2\nAC\nGT\nN\n+r2\n@I\nII+\n"
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    dataset = DNA.read(Source(path=str(tmp_path / name), group="id"))
    assert [DNA.decode(dataset[i].inputs) for i in range(2)] == ["ACGT", "ACGTN"]
    assert dataset.columns["id"].tolist() == ["r1", "r2"]


SEQUENCES = ">p1 first\nMKV\n>p2\nAC\nDE\n>p3\nGG\n"
LABELS = ">p2 SET=train VALIDATION=True\nHHEC\n>p1 SET=test VALIDATION=False\nCEC\n"
MASKS = ">p1\n011\n>p2\n1111\n>p3\n00\n"


def pair_files(folder: Path, zipped: bool) -> str:
    parts = {"s.fasta": SEQUENCES, "l.fasta": LABELS, "m.fasta": MASKS}
    if not zipped:
        for name, text in parts.items():
            (folder / name).write_text(text)
        return str(folder / "s.fasta")
    with zipfile.ZipFile(folder / "flip.zip", "w") as archive:
        for name, text in parts.items():
            archive.writestr(f"splits/{name}", text)
    return str(folder / "flip.zip") + "::splits/s.fasta"


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_a_second_fasta_labels_the_first_by_name(tmp_path: Path, zipped: bool, cached: bool) -> None:
    source = Source(path=pair_files(tmp_path, zipped), label="l.fasta", mask="m.fasta", split="SET")
    domain = ProteinSpec().build()
    dataset = domain.read(source, tmp_path / "cache" if cached else None)
    assert [domain.decode(dataset[i].inputs) for i in range(len(dataset))] == ["MKV", "ACDE"]
    assert dataset.columns["l.fasta"].tolist() == ["?EC", "HHEC"]
    assert dataset.columns["SET"].tolist() == ["test", "valid"]
    assert dataset.skipped == {"without a label": 1}
    assert set(dataset.columns) == {"l.fasta", "SET"}


def test_pairs_that_do_not_fit(tmp_path: Path) -> None:
    path = pair_files(tmp_path, False)
    (tmp_path / "short.fasta").write_text(">p1\nCE\n")
    (tmp_path / "other.fasta").write_text(">q1\nCEC\n")
    domain = ProteinSpec().build()
    with pytest.raises(InputError, match=r"s.fasta: record 'p1': 3 letters, but its record in short.fasta has 2"):
        domain.read(Source(path=path, label="short.fasta"))
    with pytest.raises(InputError, match=r"no record has the name of one in other.fasta, such as 'q1'"):
        domain.read(Source(path=path, label="other.fasta"))
    with pytest.raises(InputError, match=r"no file 'none.fasta' beside it"):
        domain.read(Source(path=path, label="none.fasta"))


def test_labels_in_the_headers(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">s1 TARGET=1.5 OS=Dengue virus 3 PE=4\nMKV\n>s2 OS=E. coli TARGET=-2\nMK\n")
    dataset = ProteinSpec().build().read(Source(path=str(tmp_path / "a.fa"), label="TARGET", group="OS"))
    assert dataset.columns["TARGET"].tolist() == ["1.5", "-2"]
    assert dataset.columns["OS"].tolist() == ["Dengue virus 3", "E. coli"]
