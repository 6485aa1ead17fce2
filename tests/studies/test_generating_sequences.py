"""`exapt generate` for sequences: every constraint and filter holds, files of each kind, and mistakes in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from study_standins import cli, refused

import exapt
from exapt.studies.constraints import Constraints
from exapt.studies.generating_sequences import Wishes

BASE = "ACDEFGHIKLMNPQRSTVWYACDE"
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def family(count: int = 60) -> list[str]:
    rng = np.random.default_rng(0)
    words = []
    for _ in range(count):
        letters = list(BASE)
        for place in rng.choice(len(BASE), 3, replace=False):
            letters[place] = str(rng.choice(list(RESIDUES)))
        words.append("".join(letters))
    return words


def pretrained(folder: Path, kind: str, objective: str, more: str = "") -> Path:
    name = f"{kind}-{objective}"
    words = {"protein": family(), "dna": ["ACGTTGCA" * 3] * 20, "text": ["a cat sat", "the dog ran"] * 10}[kind]
    corpus = folder / f"{kind}.txt"
    corpus.write_text("\n".join(words))
    study, causal = folder / f"{name}.yaml", str(objective != "masked").lower()
    study.write_text(
        f"domain: {{kind: {kind}, length: 30{more}}}\ncorpus: {{path: '{corpus}', record: line}}\n"
        f"backbone: {{kind: transformer, width: 16, depth: 1, heads: 1, causal: {causal}}}\n"
        f"objective: {{kind: {objective}}}\npretrain: {{steps: 2, batch: 8}}\n"
    )
    exapt.pretrain(study, out=folder / name)
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sequences")


@pytest.fixture(scope="module")
def masked(folder: Path) -> Path:
    return pretrained(folder, "protein", "masked")


@pytest.fixture(scope="module")
def forward(folder: Path) -> Path:
    return pretrained(folder, "protein", "autoregressive")


def written(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith(">")]


@pytest.mark.parametrize("which", ["masked", "forward"])
def test_fixed_places_stay_and_what_is_to_be_avoided_does_not_appear(which, request, tmp_path, capsys):
    checkpoint, out, page = request.getfixturevalue(which), tmp_path / "new.fasta", tmp_path / "new.html"
    words = ["--template", BASE, "--fixed", "1-4, 9,20-", "--avoid", "C", "--avoid", "KL", "--distinct"]
    code, said, err = cli(capsys, "generate", checkpoint, "--out", out, "--count", 12, "--page", page, "--json", *words)
    assert (code, err) == (0, "")
    found, new = json.loads(said), written(out)
    assert len(new) == 12 == len(set(new)) == found["count"]
    kept = [0, 1, 2, 3, 8, *range(19, len(BASE))]
    assert all(len(text) == len(BASE) and all(text[i] == BASE[i] for i in kept) for text in new)
    assert not any("KL" in text or "C" in text[4:19] for text in new)
    assert out.read_text().startswith(">generated-1 score=-")
    record = json.loads((tmp_path / "new.fasta.json").read_text())
    assert [one["text"] for one in record["sequences"]] == new
    assert record["drawn"]["constraints"]["fixed"] == "1-4, 9,20-"
    assert found["identity to the nearest"] is not None
    assert "identity to the template" in page.with_suffix(".md").read_text()
    again = tmp_path / "again.fasta"
    assert cli(capsys, "generate", checkpoint, "--out", again, "--count", 12, "--page", page, *words)[0] == 0
    assert again.read_text() == out.read_text()


def test_lengths_starts_and_files(masked, forward, tmp_path, capsys):
    for checkpoint in (masked, forward):
        out = tmp_path / "new.csv"
        words = ["--count", 8, "--length", "6-9", "--start", "MK", "--seed", 3]
        assert cli(capsys, "generate", checkpoint, "--out", out, *words)[0] == 0
        with open(out, newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 8
        assert all(row["text"].startswith("MK") and 6 <= len(row["text"]) <= 9 for row in rows)
        assert all(float(row["score"]) < 0 for row in rows)
    assert (
        cli(capsys, "generate", masked, "--out", tmp_path / "a.txt", "--count", 3, "--length", 5, "--no-score")[0] == 0
    )
    assert [len(text) for text in written(tmp_path / "a.txt")] == [5, 5, 5]
    assert json.loads((tmp_path / "a.txt.json").read_text())["score"] is None


def test_several_templates_take_turns(masked, tmp_path, capsys):
    file = tmp_path / "t.fasta"
    file.write_text(">a\nACDEF\n>b\nMKVLAG\n")
    words = ["--template", file, "--fixed", "1-5", "--count", 4]
    assert "leaves none" not in cli(capsys, "generate", masked, "--out", tmp_path / "n.txt", *words)[2]
    assert [text[:5] for text in written(tmp_path / "n.txt")] == ["ACDEF", "MKVLA"] * 2


@pytest.mark.parametrize(("kind", "more"), [("dna", ""), ("text", ", tokens: characters"), ("text", "")])
def test_other_fields(kind, more, folder, tmp_path):
    for objective in ("masked", "autoregressive"):
        place = folder / f"{kind}{len(more)}"
        place.mkdir(exist_ok=True)
        checkpoint = pretrained(place, kind, objective, more)
        found = exapt.generate(checkpoint, tmp_path / "x.txt", count=4, wishes=Wishes(Constraints(length="7")))
        assert found["count"] == 4
        assert found["score"] < 0
        if kind == "dna" or more:
            assert {len(text) for text in json_texts(tmp_path / "x.txt.json")} == {7}


def json_texts(path: Path) -> list[str]:
    return [one["text"] for one in json.loads(path.read_text())["sequences"]]


def test_filters_hold_and_say_what_they_refused(forward, tmp_path, capsys):
    out = tmp_path / "x.txt"
    words = ["--template", BASE, "--fixed", "1-12", "--count", 10]
    for option, value in (("--max-identity", 0.55), ("--max-pair", 0.7), ("--min-complexity", 2.5)):
        code, _, _ = cli(capsys, "generate", forward, "--out", out, *words, option, value)
        assert code == 0
        record = json.loads(out.with_name("x.txt.json").read_text())
        assert record["count"] + sum(record["refused"].values()) == record["tried"]
        if option == "--max-identity":
            assert all(one["identity"] <= value for one in record["sequences"])
        if option == "--min-complexity":
            assert all(one["complexity"] >= value for one in record["sequences"])
    code, said, err = cli(capsys, "generate", forward, "--out", out, *words, "--min-score", 0)
    assert code == 0
    assert "only 0 of 10 asked for: of 200 drawn, 200 too unlikely" in err
    assert said.startswith("0 written")


def test_judges_compare_with_controls(masked, tmp_path, capsys):
    corpus = tmp_path / "family.fasta"
    corpus.write_text("".join(f">{i}\n{text}\n" for i, text in enumerate(family())))
    table = tmp_path / "measured.csv"
    lines = [f"{text},{sum(a == b for a, b in zip(text, BASE, strict=True))}" for text in family()]
    table.write_text("sequence,fitness\n" + "\n".join(lines) + "\n")
    words = ["--template", BASE, "--fixed", "1-20", "--count", 6]
    code, said, _ = cli(capsys, "generate", masked, "--out", tmp_path / "x.csv", "--judge", corpus, *words)
    assert code == 0
    assert "profile of family.fasta: designs" in said
    more = ["--judge", table, "--judge-label", "fitness", "--page", tmp_path / "p.html", "--json"]
    found = json.loads(cli(capsys, "generate", masked, "--out", tmp_path / "y.csv", *words, *more)[1])
    (judge,) = found["judges"]
    assert judge["name"] == "oracle of measured.csv"
    assert judge["measured"] == 60
    assert len(judge["scores"]) == 6
    assert "rank correlation" in (tmp_path / "p.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a masked checkpoint writes into given places; say how many: --length 80, or --template"),
        (["--length", "5-3"], "--length 5-3; valid: 1 to 28 tokens"),
        (["--length", "99"], "--length 99; valid: 1 to 28"),
        (["--length", "5", "--fixed", "1"], "--fixed 1: needs a template"),
        (["--length", "5", "--avoid", "8"], "--avoid '8': not letters of this checkpoint; valid: ACDEF"),
        (["--length", "5", "--start", "MK", "--template", "ACD"], "--start with --template"),
        (["--length", "5", "--template", "ACD"], "--length with --template"),
        (["--template", "ACDX"], "--template: sequence 1: token 4 is none that the checkpoint knows"),
        (["--template", "A" * 29], "--template: sequence 1 has 29 tokens; valid: 1 to 28"),
        (["--template", "./nowhere.fasta"], "./nowhere.fasta: no such file"),
        (["--template", "ACD", "--fixed", "1-4"], "--fixed: 1-4 does not lie in the template; valid: places 1 to 3"),
        (["--template", "ACD", "--fixed", "0"], "--fixed: 0 does not lie"),
        (["--template", "ACD", "--fixed", "x"], "--fixed: 'x' is no place or range"),
        (["--template", "ACD", "--fixed", "1-"], "leaves none of the template's 3 places free"),
        (["--length", "5", "--min-identity", 0.5], "--min-identity: there is no template to compare with"),
        (["--template", "ACD", "--min-identity", 2], "--min-identity 2; valid: 0 to 1"),
        (["--template", "ACD", "--min-identity", 0.9, "--max-identity", 0.5], "--min-identity 0.9 is above"),
        (["--length", "5", "--min-complexity", 9], "--min-complexity 9; valid: 0 to 3.58 bits"),
        (["--length", "5", "--min-score", 1], "--min-score 1; valid: 0 or less"),
        (["--length", "5", "--sweeps", 0], "sweeps: 0; valid: 1 or more"),
        (["--length", "5", "--block", 2], "block: 2.0; valid: above 0"),
        (["--length", "5", "--judge-label", "f"], "--judge-label f: of which file?"),
        (["--length", "5", "--max-atoms", 3], "--max-atoms 3: only for molecules"),
        (["--length", "5", "--out", "x.smi"], "unknown ending '.smi'; valid here: .fasta, .fa, .txt, .csv"),
        (["--length", "5", "--against", "nowhere.fasta"], "nowhere.fasta"),
    ],
)
def test_mistakes_are_one_line(masked, tmp_path, capsys, words, message):
    given = words if "--out" in words else [*words, "--out", tmp_path / "x.txt"]
    assert message in refused(capsys, "generate", masked, *given)


def test_judges_that_hold_too_little(masked, tmp_path, capsys):
    few = tmp_path / "few.fasta"
    few.write_text(">a\nACD\n>b\nACE\n")
    words = ["generate", masked, "--out", tmp_path / "x.txt", "--length", 5, "--judge"]
    assert "2 members; a profile needs 10 or more" in refused(capsys, *words, few)
    table = tmp_path / "few.csv"
    table.write_text("sequence,f\nACD,1\nACE,2\n")
    assert "2 measured sequences; an oracle needs 20 or more" in refused(capsys, *words, table, "--judge-label", "f")
    table.write_text("sequence,f\nACD,much\n")
    assert "row 1: 'f' holds 'much', which is no number" in refused(capsys, *words, table, "--judge-label", "f")
