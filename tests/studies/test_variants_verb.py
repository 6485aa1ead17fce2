"""`exapt variants` on files: tables, wild types, comparison with measured effects, and its mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from exapt.cli import main
from exapt.errors import InputError
from exapt.objectives import MaskedSpec
from exapt.studies.variants import agreement, read_wild
from exapt.tasks.metrics import spearman
from exapt.training.pretrained import save_pretrained
from protein_standins import WILD, network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    domain, backbone, objective = network()
    save_pretrained(tmp_path / "net", domain, backbone, objective, {}, specs={"objective": MaskedSpec()})
    (tmp_path / "wt.fasta").write_text(f">wt\n{WILD.lower()}*\n")
    rows = ["mutant,effect,other"] + [f"{old}{i + 21}{new},{i}.5,{-i}" for i, old in enumerate(WILD) for new in "AY"]
    (tmp_path / "m.csv").write_text("\n".join([*rows, "M21*,,0", "K22K,1,1"]) + "\n")
    return tmp_path


def run(folder: Path, capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as code:
        main(["variants", str(folder / "net"), str(folder / "m.csv"), *words])
    said = capsys.readouterr()
    return int(code.value.code or 0), said.out, said.err


def test_scores_are_written_and_compared(folder: Path, capsys) -> None:
    out = folder / "scores.csv"
    words = ["--wild-type", str(folder / "wt.fasta"), "--offset", "20", "--label", "effect", "--beside", "other"]
    code, said, _ = run(
        folder, capsys, *words, "--how", "masked-marginals,wild-type-marginals", "--out", str(out), "--json"
    )
    found = json.loads(said)
    assert code == 0 and found["mutants"] == 22 and found["stops"] == 1
    assert {*found["spearman"]} == {"masked-marginals", "wild-type-marginals", "other"}
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 22 and rows[-1]["masked-marginals"] == "0.0" and rows[-2]["masked-marginals"] == "nan"


def test_words_for_people(folder: Path, capsys) -> None:
    words = ["--wild-type", WILD, "--offset", "20", "--label", "effect", "--labels", "8", "--seeds", "2"]
    code, said, _ = run(folder, capsys, *words)
    assert code == 0 and "Spearman's ρ" in said and "8 labels: letters" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--wild-type", WILD], "row 1: 'M21A': expects M at 21, but the wild type has 10 residues; offset 20 fits"),
        (["--wild-type", "nowhere.fasta"], "nowhere.fasta"),
        (["--wild-type", WILD, "--offset", "20", "--how", "magic"], "--how magic; valid: masked-marginals"),
        (["--wild-type", WILD, "--offset", "20", "--label", "effects"], "no column 'effects'"),
        (["--wild-type", WILD, "--offset", "20", "--out", "x.doc"], "unknown ending '.doc'"),
        (["--wild-type", WILD, "--offset", "20", "--column", "code"], "no column 'code'"),
        (["--wild-type", WILD, "--labels", "many"], "--labels many: expected whole numbers"),
    ],
)
def test_mistakes_are_one_line(folder: Path, capsys, words: list[str], message: str) -> None:
    code, _, error = run(folder, capsys, *words)
    assert code == 1 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nMK\n>b\nMK\n", "2 records; the wild type must be the only one"),
        (">a\nMK-V\n", "position 3: '-' is an alignment's gap; take the gaps out"),
        (">a\nMK*V\n", "position 3: '\\*' is no amino acid"),
    ],
)
def test_wild_types_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.fa").write_text(text)
    with pytest.raises(InputError, match=message):
        read_wild(str(tmp_path / "w.fa"))


def test_a_table_in_another_encoding_is_refused(folder: Path, capsys) -> None:
    (folder / "m.csv").write_bytes("mutant,effect\nM1A,naïve\n".encode("latin-1"))
    code, _, error = run(folder, capsys, "--wild-type", WILD)
    assert code == 1 and "UTF-8" in error


def test_ranks_on_what_all_know() -> None:
    rng = np.random.default_rng(0)
    measured, a, b = rng.normal(size=(3, 50))
    a[:10], measured[-5:] = np.nan, np.nan
    found = agreement({"a": a, "b": b}, measured)
    assert found["common"] == 35 and found["spearman"]["b"]["all"]["n"] == 45
    assert found["spearman"]["a"]["rho"] == pytest.approx(spearman(a[10:45], measured[10:45]))
    assert found["spearman"]["a"]["low"] < found["spearman"]["a"]["rho"] < found["spearman"]["a"]["high"]
