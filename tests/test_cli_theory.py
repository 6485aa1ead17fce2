"""The commands `prior` and `signal`: words, JSON, a page, and mistakes in one line."""

import json

import pytest

from exapt.cli import main


def cli(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(list(words))
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_prior_says_the_labels(capsys):
    code, out, _ = cli(capsys, "prior")
    assert code == 0 and "is worth 187.5 labels at any number of labels" in out


def test_prior_in_json(capsys):
    _, out, _ = cli(capsys, "prior", "--dimension", "20", "--distance", "2", "--scratch-distance", "1", "--json")
    found = json.loads(out)
    assert found["verdict"] == "HURTS" and found["effect"] == -15


def test_signal_writes_a_page(capsys, tmp_path):
    page = tmp_path / "my signal.html"
    code, out, _ = cli(capsys, "signal", "--rule", "centroid", "--noise", "0.55", "--out", str(page))
    assert code == 0 and str(page) in out
    text = page.read_text("utf-8")
    assert "<svg" in text and "my signal.md" in text
    assert json.loads(page.with_suffix(".json").read_text("utf-8"))["audits"][0]["name"] == "signal"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("prior", "--distance", "0"), "distance 0"),
        (("signal", "--rule", "nearst"), "did you mean 'nearest'"),
        (("signal", "--weak", "2"), "expected strong > weak > 0"),
    ],
)
def test_mistakes_are_one_line(capsys, words, said):
    code, out, err = cli(capsys, *words)
    assert code == 1 and out == "" and said in err and err.count("\n") == 1
