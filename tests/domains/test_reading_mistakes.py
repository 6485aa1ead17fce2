"""A user's mistake gets one line that names the file, the row and what would be valid."""

from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path

import pytest

from exapt.domains import DnaSpec, ProteinSpec, Source, TextSpec, from_arrays
from exapt.errors import InputError

TEXT = TextSpec(tokens="characters").build(from_arrays(["abc def"]))
FIELDS = {"text": TEXT, "dna": DnaSpec().build(), "protein": ProteinSpec().build()}

CASES = [
    ("text", "none.csv", None, {}, r"none.csv: no such file or folder; expected a .txt, .csv"),
    ("text", "a.csv", b"", {}, r"a.csv: the file is empty; expected"),
    ("text", "a.csv", b"\n\n", {}, r"a.csv: the table is empty; expected a header line"),
    ("text", "a.csv", b"text,label\n", {}, r"a.csv: no records in it"),
    ("text", "a.csv", b"text\n  \n\t\n", {}, r"a.csv: no records in it, or only empty ones \(2\)"),
    ("text", "a.csv", b"body,label\nx,1\n", {}, r"a.csv: no column named text or review or content; .* body, label"),
    (
        "text",
        "a.csv",
        b"body,label\nx,1\n",
        {"column": "bdy"},
        r"no column 'bdy'; did you mean 'body'\? valid: body, label",
    ),
    ("text", "a.csv", b"text,label\nx,1\n", {"label": "lable"}, r"no column 'lable'; did you mean 'label'\?"),
    ("text", "a.csv", b"text,label\nx,1\ny\n", {"label": "label"}, r"a.csv: row 2 has 1 fields, the header has 2"),
    ("text", "a.csv", b"text,label\nx,1\n ,0\n", {"label": "label"}, r"a.csv: row 2: empty, but labelled"),
    ("text", "a.csv", b"text,label\nx\xff,1\n", {}, r"a.csv: not UTF-8 text"),
    ("text", "a.csv", b'text,label\n"x\n', {}, r"a.csv: row 1 has 1 fields"),
    (
        "text",
        "a.csv",
        b"text,y,m\nx,H,11\n",
        {"label": "y", "mask": "m"},
        r"row 1: the mask must be as long as the label",
    ),
    ("text", "a.jsonl", b'{"text": "x"}\n{"text": \n', {}, r"a.jsonl: line 2 is not valid JSON"),
    ("text", "a.jsonl", b'{"text": "x"}\n["y"]\n', {}, r"a.jsonl: line 2 holds list; expected a JSON object"),
    ("text", "a.jsonl", b'{"text": "x"}\n{"txt": "y"}\n', {}, r"a.jsonl: line 2 has no key 'text'; there are: txt"),
    ("text", "a.jsonl", b'{"text": "x"}\n{"text": 5}\n', {}, r"a.jsonl: line 2: expected text, found int 5"),
    ("text", "a.jsonl", b"\n \n", {}, r"a.jsonl: the file is empty; expected one JSON object a line"),
    ("text", "a.parquet", b"not parquet at all", {}, r"a.parquet: a damaged parquet file"),
    ("text", "a.docx", b"x", {}, r"a.docx: cannot read '.docx' files here; valid: .csv, .jsonl"),
    ("text", "a.fasta", b">a\nACGT\n", {}, r"a.fasta: cannot read '.fasta' files here"),
    ("text", "a.txt.gz", b"not gzip", {}, r"a.txt.gz: a damaged compressed file"),
    ("text", "a.txt.gz", gzip.compress(b"words " * 9999)[:-20], {}, r"a.txt.gz: a damaged compressed file"),
    ("text", "a.txt.gz", gzip.compress(b""), {}, r"a.txt.gz: no records in it"),
    (
        "text",
        "a.txt",
        b"x",
        {"label": "sentiment"},
        r"a.txt: a .txt file has no column 'sentiment'; valid: file, folder, label",
    ),
    ("text", "a.zip", b"PK nonsense", {}, r"a.zip: a damaged zip archive"),
    ("text", "a.txt::b.txt", b"x", {}, r"no such file|'::' names a member of a .zip"),
    ("dna", "a.fa", b"ACGT\n>x\nACGT\n", {}, r"a.fa: not FASTA: it starts with 'ACGT', not with a header line '>name'"),
    ("dna", "a.fa", b"\n \n", {}, r"a.fa: the file is empty; expected FASTA records"),
    ("dna", "a.fa", b">x\n\n>y\n", {}, r"a.fa: no records in it, or only empty ones \(2\)"),
    (
        "dna",
        "a.fa",
        b">x 1\nACGT\n>y 2\nACG\nTE\n",
        {},
        r"a.fa: record 'y': position 5: 'E' is a residue of proteins and no base; .* valid: ACGTU, and N",
    ),
    ("dna", "a.fa", b">x\nAC-GT\n", {}, r"record 'x': position 3: '-' is an alignment's gap; take the gaps out"),
    (
        "dna",
        "a.fa",
        b">x\nACGT\n",
        {"label": "y"},
        r"a.fa: record 'x': the header has no 'y='; valid: file, folder, header, id",
    ),
    ("dna", "a.fa", b">x\n>y\nACGT\n", {"label": "id"}, r"a.fa: record 'x': empty, but labelled"),
    ("dna", "a.fa.gz", gzip.compress(b">x\nACGT\n" * 999)[:-9], {}, r"a.fa.gz: a damaged compressed file"),
    ("dna", "a.fq", b"@r\nACGT\n+\nIII\n", {}, r"a.fq: record 'r': 4 letters but 3 qualities"),
    ("dna", "a.fq", b"@r\nACGT\n+\nIIII\nACGT\n", {}, r"a.fq: not FASTQ: expected a header line '@name', found 'ACGT'"),
    ("dna", "a.csv", b"sequence\nACGT\nAC\xc3\xa9T\n", {}, r"a.csv: row 2: position 3: 'é' is not a letter"),
    ("dna", "a.csv", b"seqs\nACGT\n", {}, r"no column named sequence or seq; set column to one of: seqs"),
    ("protein", "a.fa", b">x\nMK*V\n", {}, r"record 'x': position 3: '\*' is not a letter of this alphabet"),
    ("protein", "a.fa", b">x\nMK1V*\n", {}, r"record 'x': position 3: '1'"),
    ("protein", "a.fa", b">x\nMK..V\n", {}, r"position 3: '.' is an alignment's gap"),
]


@pytest.mark.parametrize(("field", "name", "content", "keys", "message"), CASES)
def test_one_line_says_what_is_wrong(
    tmp_path: Path, field: str, name: str, content: bytes | None, keys: dict, message: str
) -> None:
    if content is not None:
        (tmp_path / name.partition("::")[0]).write_bytes(content)
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(InputError) as caught:
            FIELDS[field].read(Source(path=str(tmp_path / name), **keys), cache)
        assert re.search(message, str(caught.value)), str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").iterdir()), "a failed read left something"


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no file that can be read; expected a .txt"):
        TEXT.read(Source(path=str(tmp_path)))
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.csv").write_text("text\na\n")
    with pytest.raises(InputError, match=r"holds files of several kinds \(.csv, .txt\)"):
        TEXT.read(Source(path=str(tmp_path)))


def test_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.csv", "text\na\n")
        archive.writestr("y.csv", "text\na\n")
    with pytest.raises(InputError, match=r"name one member as a.zip::MEMBER; there are: x.csv, y.csv"):
        TEXT.read(Source(path=str(tmp_path / "a.zip")))
    with pytest.raises(InputError, match=r"no member 'z.csv'; there are: x.csv, y.csv"):
        TEXT.read(Source(path=f"{tmp_path / 'a.zip'}::z.csv"))


def test_arrays() -> None:
    with pytest.raises(InputError, match="2 examples but 3 values of 'label'"):
        TEXT.read(from_arrays(["a", "b"], label=[1, 2, 3]))
    with pytest.raises(InputError, match="memory: example 2: expected text, found float"):
        TEXT.read(from_arrays(["a", float("nan")]))
    with pytest.raises(InputError, match="memory: no records"):
        TEXT.read(from_arrays([]))


def test_hugging_face_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        InputError, match=r"hf:owner/name: .* did not load \(Couldn't reach .*\); check name, split and network"
    ):
        TEXT.read(Source(path="hf:owner/name"))


def test_the_cache_must_be_writable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose a writable one"):
        TEXT.read(Source(path=str(tmp_path / "a.txt")), tmp_path / "file" / "cache")


def test_text_and_pictures_need_a_corpus() -> None:
    with pytest.raises(InputError, match="learnt from a corpus; give one"):
        TextSpec().build()
    with pytest.raises(InputError, match="learnt from a corpus; give one"):
        DnaSpec(tokens="bpe").build()
