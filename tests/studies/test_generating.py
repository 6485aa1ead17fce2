"""`exapt generate`: files of each kind, figures by hand, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from study_standins import cli, refused

import exapt
from exapt.studies.molecule_figures import checked, distances, figures_of, frechet, grid, scaffolds, share

Chem = pytest.importorskip("rdkit.Chem")
SMILES = ["CCO", "CCN", "c1ccccc1O", "CC(=O)O", "CCCC", "C1CC1C", "CCS", "OCCO"] * 4


def pretrained(folder: Path, kind: str, text: str, writing: str = "graph") -> Path:
    corpus = folder / ("corpus.smi" if kind == "molecule" else "corpus.txt")
    corpus.write_text(text)
    study = folder / f"{kind}.yaml"
    extra = "length: 24" + {"text": ", tokens: characters", "molecule": f", writing: {writing}"}[kind]
    study.write_text(
        f"domain: {{kind: {kind}, {extra}}}\ncorpus: {{path: '{corpus}', record: line}}\n"
        "backbone: {kind: transformer, width: 16, depth: 1, heads: 1, causal: true}\n"
        "objective: {kind: autoregressive}\npretrain: {steps: 2, batch: 8}\n"
    )
    exapt.pretrain(study, out=folder / kind)
    return folder / kind


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that has hardly learnt anything: its molecules are random ones."""
    return pretrained(tmp_path_factory.mktemp("molecules"), "molecule", "\n".join(SMILES))


def test_molecules_are_valid_however_little_was_learnt(writer, tmp_path, capsys):
    out, page = tmp_path / "new.smi", tmp_path / "new.html"
    words = ["generate", writer, "--count", 300, "--out", out, "--page", page, "--json"]
    code, said, err = cli(capsys, *words)
    assert (code, err) == (0, "")
    found = json.loads(said)
    lines = out.read_text().splitlines()
    assert len(lines) == 300 == found["valid"]["count"] == found["valid"]["of"]
    assert all(checked(line) for line in lines)
    assert found["without the mask"]["valid"]["count"] < 300
    assert found["novel"]["of"] == found["unique"]["count"] == len(set(lines))
    assert found["novel"]["count"] == len(set(lines) - {Chem.CanonSmiles(s) for s in SMILES})
    assert page.read_text().count("<svg") == 1
    assert "valid without the mask" in page.with_suffix(".md").read_text()
    assert json.loads(page.with_suffix(".json").read_text())["smiles"] == lines
    again = tmp_path / "again.smi"
    exapt.generate(writer, again, count=300)
    assert again.read_text() == out.read_text()
    exapt.generate(writer, again, count=300, seed=1)
    assert again.read_text() != out.read_text()


def test_selfies_are_written_by_the_same_command(tmp_path):
    pytest.importorskip("selfies")
    folder = pretrained(tmp_path, "molecule", "\n".join(SMILES), "selfies")
    found = exapt.generate(folder, tmp_path / "new.smi", count=60, max_atoms=6)
    lines = (tmp_path / "new.smi").read_text().splitlines()
    assert found["valid"]["count"] == 60 == len(lines)
    assert all(checked(line) and Chem.MolFromSmiles(line).GetNumAtoms() <= 6 for line in lines)


def test_sdf_and_csv_hold_the_same_molecules(writer, tmp_path):
    found = exapt.generate(writer, tmp_path / "a.csv", count=20, max_atoms=5, temperature=0.7, top_p=0.9)
    exapt.generate(writer, tmp_path / "a.sdf", count=20, max_atoms=5, temperature=0.7, top_p=0.9)
    assert found["drawn"]["max_atoms"] == 5
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert rows[0] == "number,smiles"
    molecules = list(Chem.SDMolSupplier(str(tmp_path / "a.sdf")))
    assert [m.GetProp("smiles") for m in molecules] == [row.split(",")[1] for row in rows[1:]]
    assert all(m.GetNumAtoms() <= 5 for m in molecules)


def test_texts_are_written_too(tmp_path, capsys):
    folder = pretrained(tmp_path, "text", "\n".join(["a cat sat", "a dog sat", "the cat ran"] * 8))
    found = exapt.generate(folder, tmp_path / "new.txt", count=7)
    assert found["count"] == 7
    assert len((tmp_path / "new.txt").read_text().splitlines()) == 7
    assert "valid" not in found
    assert "unknown ending '.smi'; valid here: .txt, .csv" in refused(
        capsys, "generate", folder, "--out", tmp_path / "x.smi"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", 0], "--count 0; valid: 1 or more"),
        (["--max-atoms", 0], "--max-atoms 0; valid: 1 or more"),
        (["--out", "x.xyz"], "unknown ending '.xyz'; valid here: .smi, .sdf, .csv"),
        (["--temperature", -1], "temperature: -1.0"),
        (["--against", "nowhere.smi"], "nowhere.smi"),
        (["--template", "CCO", "--avoid", "F"], "--template, --avoid: not for molecules; valid: --max-atoms"),
    ],
)
def test_mistakes_are_one_line(writer, tmp_path, capsys, words, message):
    given = words if "--out" in words else [*words, "--out", tmp_path / "x.smi"]
    assert message in refused(capsys, "generate", writer, *given)


def test_a_checkpoint_that_cannot_write_is_refused(checkpoint, tmp_path, capsys):
    assert "was not trained to write; valid: text, dna or protein" in refused(
        capsys, "generate", checkpoint, "--out", tmp_path / "x.txt"
    )


def test_figures_by_hand():
    found = figures_of(["CCO", "CCO", "CCN", "", "OCC", "c1ccccc1"], ["CCO"], seed=0)
    assert found["valid"]["count"] == 4  # '' is none, and OCC is not canonical
    assert found["unique"] == {"count": 3, "of": 4, "share": 0.75}
    assert (found["novel"]["count"], found["novel"]["of"]) == (2, 3)
    assert share(0, 0)["share"] is None
    # Wilson's interval at 90 %, z = 1.6449, of 8 of 10: (p + z²/2n ± z √(p q / n + z²/4n²)) / (1 + z²/n)
    z2, p, n = 1.6448536**2, 0.8, 10
    middle, half = p + z2 / 20, (z2 * (p * (1 - p) / n + z2 / 400)) ** 0.5
    found = share(8, 10)
    assert found["low"] == pytest.approx((middle - half) / (1 + z2 / 10), abs=1e-6)
    assert found["high"] == pytest.approx((middle + half) / (1 + z2 / 10), abs=1e-6)


def test_frechet_is_its_formula():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(50, 4)), rng.normal(1, 2, size=(60, 4))
    sigma, tau, gap = np.cov(one.T), np.cov(other.T), one.mean(0) - other.mean(0)
    wanted = gap @ gap + np.trace(sigma + tau - 2 * sqrtm(sigma @ tau).real)
    assert frechet(one, other) == pytest.approx(wanted, rel=1e-9)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_distances_are_in_deviations_of_the_corpus():
    rng = np.random.default_rng(0)
    corpus = rng.normal(size=(400, 8)) * 5
    found = distances(corpus + 10, corpus, corpus)
    for value in found["each"].values():
        assert value["floor"] == pytest.approx(0, abs=1e-9)
        assert value["wasserstein"] == pytest.approx(2, rel=0.1)


def test_scaffolds_and_drawings():
    found = scaffolds(["Cc1ccccc1", "CCc1ccccc1", "C1CC1C", "CCO"], ["c1ccccc1"])
    assert (found["different"], found["of"], found["without rings"]) == (2, 3, 1)
    assert (found["new"]["count"], found["new"]["of"]) == (1, 2)
    assert grid(["CCO", "c1ccccc1"]).startswith("<svg")
