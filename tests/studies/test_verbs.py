"""The verbs beside whole studies, from Python and from the command line: pretrain, adapt, probe, prove and the rest."""

import csv
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from study_standins import TINY, cli, pictures, refused, study_file

import exapt
from exapt.files import read_json

QUICK = ["adapt.min_steps=3", "adapt.max_steps=3", "adapt.rates=[0.001]", "probe.penalties=[0.1, 10]"]
SETS = [word for assignment in QUICK for word in ("--set", assignment)]


def said(capsys, *words):
    """What a command printed under --json; it must be one JSON object and nothing else."""
    code, out, err = cli(capsys, *words, "--json")
    assert (code, err) == (0, ""), (code, err)
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.fixture(scope="module")
def fitted(finished, checkpoint, tmp_path_factory):
    """An adapted model's folder and its record."""
    out = tmp_path_factory.mktemp("fitted") / "model"
    record = exapt.adapt(checkpoint, str(finished.data), label="label", out=out, budget=20, set=QUICK)
    return out, record


def test_pretrain_alone_reads_a_study(finished, tmp_path, capsys):
    words = ["pretrain", finished.study, "--out", tmp_path / "pre"]
    found = said(capsys, *words)
    assert found["checkpoint"] == str(tmp_path / "pre") and found["steps"] == TINY["pretrain"]["steps"]
    assert exapt.load(tmp_path / "pre").backbone.width == 16
    assert said(capsys, *words) == found  # finished: loaded, not trained again
    assert "holds a run with training.lr = 0.002, this one has 0.1" in refused(
        capsys, *words, "--set", "pretrain.lr=0.1"
    )
    assert said(capsys, *words, "--set", "pretrain.lr=0.1", "--fresh")["training"]["lr"] == 0.1


def test_pretrain_needs_no_labelled_part(finished, tmp_path):
    (tmp_path / "p.yaml").write_text(
        f"domain: {{kind: image, patch: 2}}\ncorpus: {{path: '{finished.data}'}}\n"
        "backbone: {kind: transformer, width: 16, depth: 1, heads: 1}\npretrain: {steps: 2, batch: 8}\n"
    )
    done = exapt.pretrain(tmp_path / "p.yaml", out=tmp_path / "pre")
    assert "pre-trained 2 steps" in done.sentence()


def test_adapt_keeps_a_model_and_an_honest_interval(fitted):
    out, record = fitted
    assert record["train"] + record["valid"] == 20 and record["test"] == 32
    low, high = record["interval"]
    assert low < record["score"] <= high <= 1 and high - low > 0.03
    assert {p.name for p in out.iterdir()} == {
        "fitted.json", "fitted.safetensors", "backbone.safetensors", "domain", "score.json",
    }  # fmt: skip
    assert read_json(out / "score.json")["score"] == record["score"]


def test_the_interval_of_a_perfect_score_is_wilsons():
    from exapt.studies.single import interval_over_examples

    class Task:
        metric_name, per_element = "accuracy", False

        def metric(self, prediction, truth):
            return float((prediction == truth).mean())

    right = np.ones(48, dtype=int)
    low, high = interval_over_examples(Task(), right, right, np.ones(48, dtype=int), 0)  # type: ignore[arg-type]
    z = 1.6448536269514722
    assert low == pytest.approx(1 / (1 + z**2 / 48)) and high == 1.0


def test_the_interval_of_elements_draws_whole_examples():
    from exapt.studies.single import interval_over_examples

    class Task:
        metric_name, per_element, resamples = "accuracy", True, 1000

        def metric(self, prediction, truth):
            return float((prediction == truth).mean())

    truth = np.repeat([1, 0] * 10, 50)  # ten examples all right, ten all wrong: the elements are not independent
    low, high = interval_over_examples(Task(), np.ones(1000, dtype=int), truth, np.full(20, 50), 0)  # type: ignore[arg-type]
    assert low == pytest.approx(0.3, abs=0.06) and high == pytest.approx(0.7, abs=0.06)


def test_adapt_from_the_command_line(finished, checkpoint, fitted, tmp_path, capsys):
    words = ["adapt", checkpoint, finished.data, "--label", "label", "--budget", "20", *SETS]
    found = said(capsys, *words, "--out", tmp_path / "model")
    assert found | {"out": ""} == fitted[1] | {"out": ""}  # the same words, the same fit
    code, out, _ = cli(capsys, *words, "--out", tmp_path / "model")
    assert code == 0 and out.startswith(f"accuracy {found['score']:.4f} on 32 test examples")


def test_predict_in_every_format(finished, fitted, tmp_path, capsys):
    out, _ = fitted
    for ending in ("csv", "npz", "parquet"):
        found = said(capsys, "predict", out, finished.data, "--out", tmp_path / f"p.{ending}")
        assert found == {"rows": 160, "out": str(tmp_path / f"p.{ending}")}
    with (tmp_path / "p.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "p.parquet", memory_map=False).to_pydict()
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert [int(row["label"]) for row in rows] == arrays["label"].astype(int).tolist()
        assert arrays["probability_1"].tolist() == table["probability_1"] == [float(r["probability_1"]) for r in rows]
    assert [row["index"] for row in rows] == [str(i) for i in range(160)]
    assert all((float(r["probability_1"]) > 0.5) == (r["label"] == "1") for r in rows)


def test_embed_is_what_the_backbone_gives(finished, checkpoint, tmp_path, capsys):
    found = said(capsys, "embed", checkpoint, finished.data, "--out", tmp_path / "e.npz", "--pooling", "max")
    assert found == {"rows": 160, "width": 16, "out": str(tmp_path / "e.npz")}
    loaded = exapt.load(checkpoint)
    examples = loaded.domain.read(exapt.Source(path=str(finished.data)))
    batch = loaded.domain.collate([examples[i] for i in range(160)])
    with torch.no_grad():
        plain = loaded.backbone.eval()(batch).elements.reshape(160, 4, 16).amax(1)
    with np.load(tmp_path / "e.npz", allow_pickle=False) as table:
        np.testing.assert_allclose(table["feature"], plain.numpy(), atol=1e-5)


def test_arrays_in_memory_are_embedded_and_predicted(finished, checkpoint, fitted, tmp_path):
    with np.load(finished.data) as data:
        pictures_in_memory = exapt.from_arrays(data["x"])
    assert exapt.embed(checkpoint, pictures_in_memory, out=tmp_path / "e.csv") == (160, 16)
    assert exapt.predict(fitted[0], pictures_in_memory, out=tmp_path / "p.csv") == 160
    with pytest.raises(exapt.InputError, match=r"save arrays with numpy\.savez and give the path"):
        exapt.probe(checkpoint, pictures_in_memory, label="label")


def test_probe_has_a_random_network_as_its_floor(finished, checkpoint, capsys):
    found = said(capsys, "probe", checkpoint, finished.data, "--label", "label", "--budget", "40", *SETS)
    rows = found["probes"]
    assert [(r["features"], r["probe"]) for r in rows] == [
        ("pretrained", "linear"), ("pretrained", "knn"), ("random", "linear"), ("random", "knn"),
    ]  # fmt: skip
    assert rows == exapt.probe(checkpoint, str(finished.data), label="label", budget=40, set=QUICK)
    assert len({r["score"] for r in rows}) > 1


def test_prove_a_checkpoint_and_require_a_verdict(finished, checkpoint, tmp_path, capsys):
    shutil.copytree(checkpoint, tmp_path / "Größe 7")
    more = ["--set", "arms=[pretrained, scratch]", "--set", "margin=0.05"]
    words = ["prove", tmp_path / "Größe 7", finished.data, "--label", "label", "--budgets", "8,16", "--seeds", "2"]
    words += [*SETS, *more, "--workers", "1"]
    found = said(capsys, *words, "--out", tmp_path / "run")
    assert found["fits_computed"] == 8 and found["report"] == str(tmp_path / "run" / "report.html")
    assert any("made outside this study" in w for w in read_json(tmp_path / "run" / "report.json")["warnings"])
    meets = {
        "helps": found["verdict"] == "HELPS",
        "not-harms": found["verdict"] in ("HELPS", "EQUIVALENT", "NON-INFERIOR"),
    }
    for bar, met in meets.items():
        code, out, err = cli(capsys, *words, "--out", tmp_path / "run", "--require", bar, "--json")
        assert code == (0 if met else 2) and err == ""
        assert json.loads(out)["fits_computed"] == 0


def test_report_from_the_command_line(finished, capsys):
    found = said(capsys, "report", finished.folder)
    assert found["sentence"] == finished.result.sentence and found["fits_computed"] == 0
    code, out, _ = cli(capsys, "report", finished.folder)
    assert code == 0 and out == f"{finished.result.sentence}\n{finished.folder / 'report.html'}\n"


def test_a_checkpoint_of_tokens_is_exported(tmp_path, capsys):
    (tmp_path / "g.fa").write_text(">a\n" + "ACGTTGCA" * 40 + "\n")
    (tmp_path / "p.yaml").write_text(
        "domain: {kind: dna, length: 32}\ncorpus: {path: '" + str(tmp_path / "g.fa") + "'}\n"
        "backbone: {kind: transformer, width: 16, depth: 1, heads: 1}\npretrain: {steps: 1, batch: 4, holdout: 0}\n"
    )
    exapt.pretrain(tmp_path / "p.yaml", out=tmp_path / "pre")
    assert said(capsys, "export", tmp_path / "pre", "--out", tmp_path / "hf") == {"out": str(tmp_path / "hf")}
    assert {"config.json", "model.safetensors"} <= {p.name for p in (tmp_path / "hf").iterdir()}
    said(capsys, "export", tmp_path / "pre", "--out", tmp_path / "hf")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    said_no = refused(capsys, "export", tmp_path / "pre", "--out", tmp_path / "mine")
    assert "holds other files (thesis.tex, …)" in said_no


def test_a_text_file_says_how_it_was_divided(tmp_path, capsys):
    (tmp_path / "lines.txt").write_text("one line\nand another\nand a third\n")
    (tmp_path / "p.yaml").write_text(
        f"domain: {{kind: text, tokens: characters, length: 16}}\ncorpus: {{path: '{tmp_path / 'lines.txt'}'}}\n"
        "backbone: {kind: transformer, width: 16, depth: 1, heads: 1}\npretrain: {steps: 1, batch: 4, holdout: 0}\n"
    )
    exapt.pretrain(tmp_path / "p.yaml", out=tmp_path / "pre")
    words = ["embed", tmp_path / "pre", tmp_path / "lines.txt", "--out", tmp_path / "e.csv"]
    _, out, _ = cli(capsys, *words)
    assert (
        out.startswith("1 rows") and "lines.txt: the whole file is one example; --record line takes one a line" in out
    )
    _, out, _ = cli(capsys, *words, "--record", "line")
    assert out == f"3 rows of 16 features in {tmp_path / 'e.csv'}\n"
    assert "record: Input should be 'file', 'line' or 'paragraph'" in refused(capsys, *words, "--record", "page")


def damaged(checkpoint, place, change):
    shutil.copytree(checkpoint, place)
    change(place)
    return place


def test_damaged_checkpoints_are_refused(finished, checkpoint, tmp_path, capsys):
    def cut(folder):
        path = folder / "backbone.safetensors"
        path.write_bytes(path.read_bytes()[:-8])

    def flip(folder):
        path = folder / "backbone.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))

    def brighten(folder):
        path = folder / "domain" / "domain.json"
        path.write_text(path.read_text().replace("mean", "MEAN"))

    def widen(folder):
        path = folder / "exapt.json"
        path.write_text(path.read_text().replace('"width": 16', '"width": 32'))

    def halve(folder):
        path = folder / "exapt.json"
        path.write_text(path.read_text()[:200])

    expected = {
        cut: "backbone.safetensors: its checksum is not the recorded one: the file was truncated or changed",
        flip: "backbone.safetensors: its checksum is not the recorded one",
        brighten: "domain.json: its checksum is not the recorded one",
        widen: "backbone.safetensors: does not fill the backbone",
        halve: "exapt.json: not valid JSON",
    }
    for number, (change, words) in enumerate(expected.items()):
        place = damaged(checkpoint, tmp_path / str(number), change)
        assert words in refused(capsys, "embed", place, finished.data, "--out", tmp_path / "e.csv")
        assert words in refused(capsys, "prove", place, finished.data, "--label", "label", "--out", tmp_path / "run")


def test_what_is_no_checkpoint_is_refused_for_what_it_is(finished, fitted, tmp_path, capsys):
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    (tmp_path / "pickles").mkdir()
    shutil.copy(tmp_path / "weights.pt", tmp_path / "pickles" / "pytorch_model.bin")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "bert"}')
    expected = {
        tmp_path / "weights.pt": "weights.pt: pickled weights are refused, because opening one can run any code",
        tmp_path / "pickles": "a folder of pickled weights, which are refused",
        tmp_path / "hf": "a Hugging Face checkpoint (use it as backbone: {kind: hub",
        tmp_path / "gone": "gone: no such folder; expected a folder with exapt.json",
        finished.data: "pics.npz: a file, not a checkpoint",
        fitted[0]: "no exapt checkpoint; expected a folder with exapt.json",
    }
    for path, words in expected.items():
        assert words in refused(capsys, "embed", path, finished.data, "--out", tmp_path / "e.csv")
        assert words in refused(capsys, "probe", path, finished.data, "--label", "label")
        assert words in refused(capsys, "export", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_wrong_words_for_a_verb(finished, checkpoint, fitted, tmp_path, capsys):
    other = pictures(tmp_path / "other.npz", count=20)
    with np.load(other) as data:
        np.savez(tmp_path / "large.npz", x=np.kron(data["x"], np.ones((1, 2, 2), np.uint8)))
    model, data, to = fitted[0], finished.data, tmp_path / "x.csv"
    labelled = ["probe", checkpoint, data, "--label"]
    expected = {
        ("predict", checkpoint, data, "--out", to): "no fitted model; expected a folder with fitted.json",
        ("predict", model, tmp_path / "large.npz", "--out", to): "its size is 8 × 8, the domain's 4 × 4",
        ("predict", model, data, "--out", tmp_path / "x.xls"): "unknown ending '.xls'; valid: .csv, .npz, .parquet",
        ("predict", model, tmp_path / "gone.npz", "--out", to): "gone.npz: no such file",
        ("embed", checkpoint, data, "--out", to, "--pooling", "men"): "--pooling men; valid: mean, max",
        ("export", checkpoint, "--out", tmp_path / "o", "--to", "onnx"): "--to onnx; valid: huggingface",
        ("export", checkpoint, "--out", tmp_path / "o"): "valid: backbone.kind=transformer over tokens",
        ("report", tmp_path): "no run here (no study.yaml); give the folder that `exapt run` wrote",
        (*labelled, "lable"): "no column 'lable'; did you mean 'label'?",
        (*labelled, "label", "--task", "clasify"): "task.kind 'clasify' is unknown; did you mean 'classify'?",
        (*labelled, "label", "--budget", "3"): "a budget of 3 labels is too small; valid: 4",
        (*labelled, "label", "--budget", "500"): "a budget of 500 labels, but the pool holds 128; choose at most 128",
        (*labelled, "label", "--set", "prob.penalties=[1]"): "unknown key 'prob'; did you mean 'probe'?",
        ("probe", checkpoint, data): "which column is the label? Set labelled.label (--label)",
        ("adapt", checkpoint, data, "--label", "label", "--out", tmp_path): "holds files that are no fitted model",
        ("prove", checkpoint, data, "--label", "label", "--seeds", "1"): "with 1 seed no interval exists",
        ("prove", checkpoint, data, "--label", "label", "--budgets", "8,x"): "--budgets 8,x: expected whole numbers",
        ("prove", checkpoint, data, "--label", "label", "--require", "help"): "--require help; did you mean 'helps'?",
    }
    for words, complaint in expected.items():
        assert complaint in refused(capsys, *words), words
    (model / "fitted.safetensors").rename(model / "aside")
    shutil.copytree(model, tmp_path / "model")
    (model / "aside").rename(model / "fitted.safetensors")
    assert "fitted.safetensors: missing, truncated or changed" in refused(
        capsys, "predict", tmp_path / "model", data, "--out", to
    )


def test_a_run_that_was_never_finished_has_no_report(finished, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for name in ("study.yaml", "run.json"):
        shutil.copy(finished.folder / name, tmp_path / "run" / name)
    note = read_json(tmp_path / "run" / "run.json")
    del note["data"], note["checkpoints"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(note))
    said_of_it = refused(capsys, "report", tmp_path / "run")
    assert "this run has not come to its fits; go on with `exapt run`" in said_of_it


def test_run_from_the_command_line_prints_one_object(finished, tmp_path, capsys):
    study = study_file(tmp_path, finished.data, arms=["pretrained", "scratch"], budgets=[8])
    found = said(capsys, "run", study, "--out", tmp_path / "run", "--workers", "1")
    assert set(found) == {"verdict", "sentence", "report", "fits_computed", "pairs"} and found["fits_computed"] == 4
    code, out, err = cli(capsys, "run", study, "--out", tmp_path / "run", "--workers", "1")
    assert code == 0 and out == f"{found['sentence']}\n{tmp_path / 'run' / 'report.html'}\n"
    assert err == "0 fits to make, 4 on disk\n"


def test_a_checkpoint_is_shrunk(finished, tmp_path, capsys):
    checkpoint = finished.folder / "checkpoints" / "pretrained-0"
    sizes = said(capsys, "shrink", checkpoint, "--out", tmp_path / "small", "--share", "0.5")
    assert sizes["neurons"][1] * 2 == sizes["neurons"][0] and sizes["bytes"][1] < sizes["bytes"][0]
    assert exapt.load(tmp_path / "small").backbone.size() == sizes["parameters"][1]
    assert "--share 1; expected between 0 and 1" in refused(
        capsys, "shrink", checkpoint, "--out", tmp_path / "none", "--share", "1"
    )
