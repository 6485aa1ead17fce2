"""Every mistake is one line that names file, row or key and says what would be valid, before time is spent."""

import numpy as np
import pytest
import yaml
from study_standins import TINY, cli, pictures, refused, study_file

import exapt
from exapt.studies import folder as run_folder
from exapt.studies import starts


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    """Whatever is wrong is found before the first step."""
    from exapt.training import pretrain

    def never(*_, **__):
        raise AssertionError("pre-training began")

    monkeypatch.setattr(pretrain, "train", never)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a genome, good labelled sequences and good pictures, and the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "genome.fa").write_text(">one\n" + "".join(rng.choice(list("ACGT"), 400)) + "\n")
    sequences(tmp_path / "good.csv", [0, 1] * 20)
    pictures(tmp_path / "pics.npz", count=60)
    return tmp_path


def sequences(path, labels, extra="", header="sequence,label"):
    """A csv of different sequences under a header."""
    rng = np.random.default_rng(len(labels))
    rows = [f"{''.join(rng.choice(list('ACGT'), 30))},{label}" for label in labels]
    path.write_text("\n".join([header, *rows]) + "\n" + extra)
    return path


def of_sequences(capsys, corpus="genome.fa", labelled="good.csv", **changes):
    """What is said of a study of sequences; `changes` go into its YAML."""
    source = {"path": labelled, "column": "sequence", "label": "label"} | changes.pop("labelled_by", {})
    data = TINY | {"domain": {"kind": "dna", "length": 64}, "objective": {"kind": "masked"}}
    data |= {"corpus": {"path": corpus}, "labelled": source} | changes
    with open("study.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump(data, file)
    return refused(capsys, "run", "study.yaml", "--out", "run", "--workers", "1", "--json")


def test_the_corpus(place, capsys):
    (place / "empty.fa").touch()
    (place / "bare.fa").write_text("ACGTACGT\n")
    (place / "letters.fa").write_text(">a\nACGT\n>b\nACJT\n")
    (place / "hollow.fa").write_text(">a\n>b\n")
    (place / "broken.fa.gz").write_text("not gzip")
    assert "gone.fa: no such file or folder; expected a FASTA" in of_sequences(capsys, "gone.fa")
    assert "empty.fa: the file is empty; expected a FASTA" in of_sequences(capsys, "empty.fa")
    assert "bare.fa: not FASTA: it starts with 'ACGTACGT', not with a header" in of_sequences(capsys, "bare.fa")
    assert "letters.fa: record 'b': position 3: 'J' is not a letter" in of_sequences(capsys, "letters.fa")
    assert "hollow.fa: no records in it, or only empty ones (2)" in of_sequences(capsys, "hollow.fa")
    assert "broken.fa.gz: a damaged compressed file" in of_sequences(capsys, "broken.fa.gz")


@pytest.mark.parametrize(
    ("labels", "extra", "words"),
    [
        ([], "", "no records in it"),
        ([1] * 30, "", "column 'label' holds only '1'; a classification needs at least two classes"),
        ([0, 1, ""] + [0, 1] * 10, "", "row 3: 'label' is empty (1 of 23 rows); fill it in"),
        ([0, 1] * 10, "ACGTXX,1\n", "row 21: position 5: 'X' is not a letter of this alphabet; valid: ACGTU"),
        ([0, 1] * 10, "ACGT\n", "row 21 has 1 fields, the header has 2"),
        ([0, 1] * 10, ",1\n", "row 21: empty, but labelled"),
        ([0, 1] * 10 + [2], "", "label '2' stands only among the 17 examples of the pool"),
        ([0, 1] * 5, "", "budget 16 needs 16 labelled examples, but 8 are left beside the 2 kept for the test"),
    ],
)
def test_the_labelled_file(place, capsys, labels, extra, words):
    sequences(place / "bad.csv", labels, extra)
    assert f"bad.csv: {words}" in of_sequences(capsys, labelled="bad.csv")


def test_labelled_files_that_cannot_be_read(place, capsys):
    (place / "empty.csv").touch()
    (place / "latin.csv").write_bytes(b"sequence,label\nAC\xff\xfe,1\n")
    sequences(place / "other.csv", [0, 1] * 20, header="seq_x,label")
    assert "gone.csv: no such file or folder" in of_sequences(capsys, labelled="gone.csv")
    assert "empty.csv: the file is empty" in of_sequences(capsys, labelled="empty.csv")
    assert "latin.csv: not UTF-8 text" in of_sequences(capsys, labelled="latin.csv")
    assert "other.csv: no column 'sequence'; valid: label, seq_x" in of_sequences(capsys, labelled="other.csv")
    assert "good.csv: no column 'lable'; did you mean 'label'?" in of_sequences(capsys, labelled_by={"label": "lable"})


def test_a_wrong_path_of_the_labelled_file_is_found_before_the_corpus_is_read(place, capsys, monkeypatch):
    monkeypatch.setattr(starts, "pretrain", None)
    assert "gone.csv: no such file" in of_sequences(capsys, labelled="gone.csv")


def test_a_label_seen_only_in_the_test_part(place, capsys):
    labels = [f"{i % 2},train" for i in range(30)] + ["0,test", "1,test", "2,test"]
    sequences(place / "given.csv", labels, header="sequence,label,part")
    said = of_sequences(capsys, labelled="given.csv", labelled_by={"split": "part"})
    assert "given.csv: label '2' is seen only in the test part; every class must be learnable" in said


@pytest.mark.parametrize(
    ("value", "words"),
    [("nan", "'label' is empty"), ("inf", "'label' is infinite"), ("abc", "'label' is 'abc'; a regression needs")],
)
def test_targets_that_are_no_numbers(place, capsys, value, words):
    sequences(place / "bad.csv", [0.5, 1.5] * 12 + [value])
    assert f"bad.csv: row 25: {words}" in of_sequences(capsys, labelled="bad.csv", task={"kind": "regress"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 1}, "study.yaml: with 1 seed no interval exists and nothing can be concluded; use at least 2"),
        ({"budgets": [2, 8]}, "good.csv: a budget of 2 labels is too small; valid: 4 (2 for each of 2 classes)"),
        ({"budgets": [8, 300]}, "choose budgets up to 32"),
        ({"budgets": []}, "study.yaml: budgets: List should have at least 1 item"),
        ({"budget": [8]}, "study.yaml: unknown key 'budget'; did you mean 'budgets'?"),
        ({"pretrain": {"steps": 1, "lrr": 1}}, "study.yaml: unknown key 'pretrain.lrr'; did you mean 'lr'?"),
        ({"pretrain": {"steps": 1, "lr": -1}}, "study.yaml: pretrain.lr: Input should be greater than 0 (found -1)"),
        ({"domain": {"kind": "dan"}}, "study.yaml: domain.kind 'dan' is unknown; did you mean 'dna'? valid: atoms, "),
        (
            {"domain": {"length": 64}},
            "study.yaml: domain.kind is missing; valid: atoms, dna, graph, image, molecule, protein, quantities, "
            "table, text",
        ),
        ({"task": {"kind": "classify", "metric": "acc"}}, "study.yaml: task.metric: Input should be 'accuracy', "),
        ({"more_arms": {"mine": {"adapt": {"kind": "prob"}}}}, "more_arms.mine.adapt.kind 'prob' is unknown"),
        ({"more_arms": {"mine": {"adapt": {}}}}, "study.yaml: more_arms.mine.adapt.kind is missing"),
        ({"more_arms": {"mine": {"start": "gone", "adapt": {"kind": "knn"}}}}, "gone: no such folder; expected a fold"),
        ({"pretrain": {"steps": 1, "epochs": 1}}, "give either steps or epochs, and null for the other"),
    ],
)
def test_the_study(place, capsys, changes, words):
    assert words in of_sequences(capsys, **changes)


def test_the_yaml(place, capsys):
    (place / "broken.yaml").write_text("name: x\nbudgets: [1\n")
    (place / "list.yaml").write_text("- a\n")
    (place / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "broken.yaml, line 3: not valid YAML" in refused(capsys, "run", "broken.yaml")
    assert "list.yaml: expected keys and values, found list" in refused(capsys, "run", "list.yaml")
    assert "binary.yaml: not a text file" in refused(capsys, "run", "binary.yaml")
    assert "digit: no such study or file; did you mean 'digits'?" in refused(capsys, "run", "digit")
    assert "corpus.path is not set. It needs a genome in FASTA" in refused(capsys, "run", "promoters")


def test_pictures(place, capsys):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for kind in "ab":
        (place / "folder" / kind).mkdir(parents=True)
        for i in range(20):
            picture = rng.integers(0, 255, (4, 4), dtype=np.uint8)
            image.fromarray(picture).save(place / "folder" / kind / f"{i}.png")
    (place / "folder" / "b" / "7.png").write_bytes(b"\x89PNG nothing")
    study = study_file(place, "pics.npz")
    said = refused(capsys, "run", study, "--out", "run", "--set", "labelled.path=folder")
    assert "folder/b/7.png: not a picture in a format that Pillow reads" in said
    said = refused(capsys, "run", study, "--out", "run", "--set", "corpus.path=folder")
    assert "folder/b/7.png: not a picture in a format that Pillow reads" in said
    assert "valid patch sizes: 1, 2, 4" in refused(capsys, "run", study, "--out", "run", "--set", "domain.patch=3")
    objects = np.array([None] * 20, dtype=object)
    np.savez(place / "objects.npz", x=np.zeros((20, 4, 4), np.uint8), label=objects)
    said = refused(capsys, "run", study, "--out", "run", "--set", "labelled.path=objects.npz")
    assert "objects.npz: not a readable array file" in said and "Python objects are refused" in said


def test_a_corrected_mistake_may_use_the_same_folder(place, capsys):
    assert "seq.csv: no such file" in of_sequences(capsys, labelled="seq.csv", margin=0.1)
    assert "choose budgets up to 32" in of_sequences(capsys, budgets=[8, 64], validation=0.3)


def test_the_folder(place, capsys, monkeypatch):
    study = study_file(place, "pics.npz")
    (place / "thesis").mkdir()
    (place / "thesis" / "thesis.tex").write_text("years of work")
    assert "thesis: holds files that are no exapt run (thesis.tex" in refused(capsys, "run", study, "--out", "thesis")
    said = refused(capsys, "run", study, "--out", "pics.npz")
    assert "pics.npz: cannot create this folder" in said and "choose a writable one" in said

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", "run/.study.yaml.x")

    monkeypatch.setattr(run_folder, "write_text", denied)
    assert "could not be written (Permission denied)" in refused(capsys, "run", study, "--out", "run")


def test_any_trouble_of_the_disk_is_one_line(place, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "run/report.html")

    monkeypatch.setattr("exapt.verbs.read_study", full)
    assert refused(capsys, "run", "digits") == (
        "exapt: run/report.html: No space left on device; what is finished is kept\n"
    )


def test_another_studys_folder_is_refused(finished, place, capsys):
    said = refused(capsys, "run", finished.study, "--out", finished.folder, "--set", "margin=0.2")
    assert "holds a study with margin = 0.05, this one has 0.2; choose another folder with --out" in said


def test_debug_shows_where(place, capsys):
    with pytest.raises(exapt.InputError, match="no such study"):
        cli(capsys, "run", "nothing", "--debug")
