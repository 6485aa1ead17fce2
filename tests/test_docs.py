"""What README and docs say is true: commands, options, keys, links and examples."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import click
import pytest
import torch
import typer
import yaml
from pydantic import Field

import exapt
from exapt.audits import AUDITS
from exapt.cli import app
from exapt.domains import DnaSpec, ImageSpec, ProteinSpec, Source, TextSpec, from_arrays, load_domain
from exapt.errors import InputError
from exapt.studies.reading import catalogue, override, read_study, read_yaml
from exapt.studies.spec import StudySpec

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BASE = {
    "name": "base",
    "domain": {"kind": "text"},
    "corpus": {"path": "unlabelled.csv"},
    "labelled": {"path": "reviews.csv", "label": "label"},
    "task": {"kind": "classify"},
    "budgets": [32, 64],
}
"""What a YAML fragment is laid over."""
COMMANDS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SLOW_TO_RUN = "exapt.run("


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, '' for those without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every `exapt …` line in a page's plain blocks, comments left out."""
    for block in blocks(page, ""):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("exapt ", "torchrun ")):
                words = shlex.split(line, comments=True)
                yield words[words.index("exapt") + 1 :]


def transcripts() -> list[tuple[str, list[str], str]]:
    """Page, words and answer of every command that is shown behind a prompt."""
    found = []
    for page in PAGES:
        for block in blocks(page, ""):
            lines = block.splitlines()
            for line, answer in pairwise(lines):
                if line.startswith("$ exapt "):
                    found.append((page.name, shlex.split(line)[2:], answer))
    return found


def mentioned(page: Path) -> Iterator[list[str]]:
    """The words of every `exapt …` in running text."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for words in re.findall(r"`exapt (\w[^`]*)`", text):
        yield words.split()


def all_commands() -> list[tuple[str, list[str]]]:
    return [(page.name, words) for page in PAGES for words in (*commands(page), *mentioned(page))]


def load_reference() -> ModuleType:
    """docs/reference.py, which is no package."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("reference")
    finally:
        sys.path.pop(0)


def run_blocks(page: str) -> dict[str, Any]:
    """Run a page's Python blocks one after the other, but those that take minutes; what they defined."""
    space: dict[str, Any] = {"__name__": "docs"}
    for number, text in enumerate(blocks(ROOT / "docs" / page, "python")):
        if SLOW_TO_RUN not in text:
            exec(compile(text, f"{page}, block {number}", "exec"), space)
    return space


def test_the_reference_is_what_the_specs_say() -> None:
    written = (ROOT / "docs" / "study-reference.md").read_text("utf-8")
    assert written == load_reference().document(), "run `python docs/reference.py`"


def test_the_reference_explains_every_key_of_a_study() -> None:
    rows = (ROOT / "docs" / "study-reference.md").read_text("utf-8").split("## TextSpec")[0].splitlines()
    keys = {line.split("`")[1]: line for line in rows if line.startswith("| `")}
    assert list(keys) == list(StudySpec.model_fields)
    assert not [key for key, line in keys.items() if line.endswith("|  |")]


def test_commands_are_found() -> None:
    shown = {words[0] for _, words in all_commands()}
    assert shown == set(COMMANDS), "the docs leave a command out, or show one that is not there"


@pytest.mark.parametrize(("page", "words"), all_commands())
def test_a_command_in_the_docs_exists(page: str, words: list[str]) -> None:
    assert words[0] in COMMANDS, f"{page}: exapt {' '.join(words)}"
    options = {name for parameter in COMMANDS[words[0]].params for name in parameter.opts} | {"--help", "--debug"}
    given = {word for word in words[1:] if word.startswith("--")}
    assert given <= options, f"{page}: exapt {' '.join(words)}"


def settings() -> list[tuple[str, str, list[str]]]:
    """Page, study and assignments of every command with `--set`."""
    found = []
    for page in PAGES:
        for words in commands(page):
            sets = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
            if sets and words[0] in ("run", "pretrain"):
                found.append((page.name, words[1], sets))
    return found


@pytest.mark.parametrize(("page", "study", "sets"), settings())
def test_a_setting_in_the_docs_is_valid(page: str, study: str, sets: list[str]) -> None:
    data = read_yaml(study)[0] if study in catalogue() else BASE
    spec = StudySpec.parse(override(data, sets), page)
    assert "REQUIRED" not in (spec.labelled.path, spec.corpus and spec.corpus.path)


def audit_settings() -> list[tuple[str, str, list[str]]]:
    """Page, audit and assignments of every `exapt audit`."""
    found = []
    for page in PAGES:
        for words in commands(page):
            if words[0] == "audit" and len(words) > 1:
                found.append((page.name, words[1], [words[i + 1] for i, w in enumerate(words) if w == "--set"]))
    return found


@pytest.mark.parametrize(("page", "kind", "sets"), audit_settings())
def test_an_audit_in_the_docs_has_these_keys(page: str, kind: str, sets: list[str]) -> None:
    AUDITS[kind].parse(override({}, sets), page)


def test_every_audit_has_a_page_that_shows_its_command() -> None:
    shown = {kind: page for page, kind, _ in audit_settings()}
    assert set(shown) == set(AUDITS)
    assert {page.stem for page in (ROOT / "docs" / "audits").glob("*.md")} >= set(AUDITS)


@pytest.mark.parametrize(("page", "words", "answer"), transcripts())
def test_a_mistake_in_the_docs_is_answered_as_shown(page: str, words: list[str], answer: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(BASE))
    assert words[:2] == ["run", "mine.yaml"] and words[2] == "--set"
    with pytest.raises(InputError) as caught:
        read_study(tmp_path / "mine.yaml", words[3::2])
    said = str(caught.value).replace(f"{tmp_path}/", "")
    assert f"exapt: {said}".startswith(answer.removesuffix("…").rstrip()), page


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_yaml_in_the_docs_is_a_study(page: Path) -> None:
    for text in blocks(page, "yaml"):
        data = yaml.safe_load(text)
        spec = StudySpec.parse(data if "name" in data else BASE | data, page.name)
        assert all(spec.plain().get(key) is not None for key in data)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_pictures_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_names_in_python_examples_exist(page: Path) -> None:
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                home = importlib.import_module(str(node.module))
                assert not [alias.name for alias in node.names if not hasattr(home, alias.name)], page.name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "exapt":
                assert node.attr in exapt.__all__, page.name


def test_the_table_of_verbs_has_their_words() -> None:
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    table = re.findall(r"`exapt\.(\w+)\(([^`]*)\)`", text.split("## A study in Python")[0])
    assert len(table) >= 12
    for name, words in table:
        accepted = inspect.signature(getattr(exapt, name)).parameters
        given = [word.strip().rstrip("=") for word in words.split(",") if word.strip()]
        assert set(given) <= set(accepted), f"exapt.{name}"


def test_examples_of_the_statistics_run(capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks("evidence.md")
    printed = capsys.readouterr().out.strip()
    assert f"prints `{printed}`" in (ROOT / "docs" / "evidence.md").read_text("utf-8")


def test_examples_of_the_python_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    space = run_blocks("python.md")
    assert space["study"].all_arms()["last-block"].adapt.last == 1
    assert space["batch"].offsets.tolist() == [0, 12, 19, 31]
    assert space["features"].pooled("mean").shape == (3, 64)
    assert "True" in capsys.readouterr().out
    assert space["conclusion"].verdict == "HELPS"
    assert "</html>" in space["html"]


@pytest.fixture(scope="module")
def melodies() -> dict[str, Any]:
    """What the page on adding a domain defines, after it was run."""
    return run_blocks("adding-a-domain.md")


def test_the_example_domain_learns(melodies: dict[str, Any]) -> None:
    assert melodies["trained"].step == 20
    score = melodies["task"].metric(
        melodies["fitted"].predict(melodies["test"]), melodies["task"].truth(melodies["test"])
    )
    assert score > 0.9, "scales can be told apart by which notes they hold"


def test_the_example_domain_reads_files_and_names_mistakes(melodies: dict[str, Any], tmp_path: Path) -> None:
    domain = melodies["MelodySpec"]().build()
    (tmp_path / "tunes.csv").write_text("notes,mode\n60 62 64,major\n60 62 63,minor\n")
    dataset = domain.read(Source(path=str(tmp_path / "tunes.csv"), label="mode"), tmp_path / "cache")
    assert domain.decode(dataset[1].inputs) == "60 62 63"
    assert dataset.column("mode").tolist() == ["major", "minor"]
    (tmp_path / "wrong.csv").write_text("notes\n60 62\n60 C4\n")
    with pytest.raises(InputError, match=r"wrong.csv: row 2: 'C4' is no MIDI note; valid: whole numbers from 0 to 127"):
        domain.read(Source(path=str(tmp_path / "wrong.csv")))


def test_the_example_domain_packs_and_transposes(melodies: dict[str, Any]) -> None:
    domain = melodies["MelodySpec"](transpose=3).build()
    dataset = domain.read(from_arrays(["60 62 64", "127 0", "40"]))
    batch = domain.collate(list(dataset))
    for place, example in enumerate(dataset):
        assert torch.equal(batch.select([place]).inputs, domain.collate([example]).inputs)
    shifts = set()
    for seed in range(40):
        moved = domain.augment(batch, torch.Generator().manual_seed(seed)).inputs
        difference = moved - batch.inputs
        first = difference[1:4]
        assert (first == first[0]).all() and abs(int(first[0])) <= 3
        assert torch.equal(moved[5:9], batch.inputs[5:9]), "from 0 to 127 there is no room"
        assert (difference[[0, 4, 9, 11]] == 0).all(), "start and end tokens are no notes"
        shifts.add(int(first[0]))
    assert shifts == set(range(-3, 4))


def test_the_example_domain_pretrains_once_it_is_known(
    melodies: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exapt.backbones import TransformerSpec
    from exapt.domains import specs
    from exapt.objectives import MaskedSpec
    from exapt.training.pretrain import pretrain
    from exapt.training.spec import TrainingSpec

    union = TextSpec | DnaSpec | ProteinSpec | ImageSpec | melodies["MelodySpec"]
    monkeypatch.setattr(specs, "DomainSpec", Annotated[union, Field(discriminator="kind")])
    spec = melodies["MelodySpec"](length=16)
    training = TrainingSpec(steps=2, batch=8)
    source = from_arrays(["60 62 64 65 67 69 71 72"] * 8 + ["60 63 67 70"] * 8)
    done = pretrain(
        source, spec, TransformerSpec(size="nano"), MaskedSpec(), training, tmp_path / "run", progress=False
    )
    again = load_domain(tmp_path / "run" / "domain")
    assert again.spec == spec == done.domain.spec
    assert again.describe() == spec.build().describe()


REVIEWS = "text,label\n" + "".join(
    f"{'a good and lovely film' if i % 2 else 'a bad and dull film'} with scene {i},{'yes' if i % 2 else 'no'}\n"
    for i in range(160)
)
TINY = {
    "run": ["--set", "seeds=2", "--workers", "1"],
    "pretrain": ["--set", "backbone={kind: transformer, size: nano}", "--set", "pretrain={steps: 2, batch: 8}"],
    "adapt": ["--set", "adapt.min_steps=2", "--set", "adapt.max_steps=2"],
    "prove": ["--set", "adapt.min_steps=2", "--set", "adapt.max_steps=2", "--workers", "1"],
}


@pytest.mark.slow
def test_the_tutorial_from_its_own_file_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "tutorial.md"
    (tmp_path / "mine.yaml").write_text(blocks(page, "yaml")[0])
    (tmp_path / "reviews.csv").write_text(REVIEWS)
    (tmp_path / "unlabelled.csv").write_text(REVIEWS.replace("label", "other"))
    steps = [words for words in commands(page) if "models/" in " ".join(words)]
    assert [words[0] for words in steps] == ["pretrain", "probe", "adapt", "prove", "predict", "embed", "export"]
    for words in steps:
        small = ["2" if before == "--seeds" else word for before, word in zip(["", *words], words, strict=False)]
        small = ["16,32" if before == "--budgets" else word for before, word in zip(["", *small], small, strict=False)]
        result = CliRunner().invoke(app, [*small, *TINY.get(words[0], [])], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert rows[0] == "index,label,probability_no,probability_yes" and len(rows) == 161
    assert (tmp_path / "runs" / "prove-mine" / "report.html").is_file()
    assert (tmp_path / "models" / "mine-hf" / "config.json").is_file()
