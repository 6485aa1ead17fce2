"""Pre-training as a whole, and the artifact it leaves."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_training import same

from exapt.backbones import TransformerSpec
from exapt.domains import DnaSpec, ImageSpec, Source, TextSpec, from_arrays
from exapt.domains.base import Arrays
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.training import pretrained as artifact
from exapt.training.holdout import HeldOut, hold_out
from exapt.training.launch import Launch
from exapt.training.log import TIMING, read_metrics
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import load_pretrained, save_pretrained
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

TEXTS = [
    f"the {animal} sat on the {thing} number {i}"
    for i in range(30)
    for animal in ("cat", "dog")
    for thing in ("mat", "log")
]
DOMAIN = TextSpec(tokens="characters", length=32)
NETWORK = TransformerSpec(size="nano", width=32, depth=2, heads=2, dropout=0.1)
TRAINING = {"steps": 8, "batch": 8, "evaluate_every": 3, "checkpoint_every": 2, "log_every": 2, "device": "cpu"}


def run(folder: Path, corpus: Source | Arrays | None = None, **change: Any) -> artifact.Pretrained:
    parts: dict[str, Any] = {"domain": DOMAIN, "backbone": NETWORK, "objective": MaskedSpec()}
    spec = TrainingSpec.parse(TRAINING | {k: v for k, v in change.items() if k not in (*parts, "resume")})
    parts |= {k: v for k, v in change.items() if k in parts}
    corpus = corpus or from_arrays(TEXTS)
    return pretrain(corpus, *parts.values(), spec, folder, resume=change.get("resume", True), progress=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    run(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_record_says_how_the_weights_came_to_be(made: Path) -> None:
    record = load_pretrained(made).record
    assert record["steps"] == 8
    assert record["best"]["loss"] <= record["last"]["held_out_loss"]
    assert record["data"]["examples"] == len(TEXTS)
    assert record["data"]["trained on"] + record["data"]["held out"] == record["data"]["elements"]
    assert record["elements"] > 0
    assert record["seconds"] > 0
    assert record["versions"].keys() >= {"exapt", "torch", "numpy", "python"}
    assert record["hardware"]["device"] == "cpu"
    assert record["training"]["lr"] == 1e-3
    assert record["seed"] == 0


def test_what_is_loaded_is_what_was_trained(tmp_path: Path) -> None:
    done = run(tmp_path / "run")
    again = load_pretrained(tmp_path / "run")
    assert same(done.backbone, again.backbone)
    assert same(done.objective, again.objective)
    assert all(report.full and report.share == 1.0 for report in again.load_report.values())
    assert not same(again.backbone, again.fresh_backbone(seed=1))
    assert same(again.fresh_backbone(seed=1), again.fresh_backbone(seed=1))
    assert again.domain.digest() == done.domain.digest()


def test_the_best_weights_have_the_recorded_loss(made: Path) -> None:
    """The held-out loss, computed anew from the artifact, is the one the record tells."""
    found = load_pretrained(made)
    dataset = found.domain.read(from_arrays(TEXTS))
    training = TrainingSpec.parse(TRAINING)
    _, held = hold_out(dataset, found.domain, training.holdout, training.seed)
    assert held
    model = Pretraining(found.backbone, found.objective).eval()
    with torch.no_grad():
        figures = HeldOut(model, found.domain, held, training, Launch(torch.device("cpu")))()
    assert figures["loss"] == pytest.approx(found.record["best"]["loss"], abs=1e-6)


def test_a_finished_run_is_loaded_not_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exapt.training.pretrain.train", lambda *a, **k: pytest.fail("trained again"))
    assert run(folder).record["steps"] == 8


def test_an_interrupted_run_ends_as_one_that_was_not(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def die(self: Any, batch: Any, rng: Any) -> Any:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return forward(self, batch, rng)

    forward = Pretraining.forward
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Pretraining, "forward", die)
        run(tmp_path / "run")
    with pytest.raises(InputError, match="has not finished"):
        load_pretrained(tmp_path / "run")
    done = run(tmp_path / "run")
    assert same(done.backbone, load_pretrained(made).backbone)
    lines = [
        [{k: v for k, v in line.items() if k not in TIMING} for line in read_metrics(f / "metrics.jsonl")]
        for f in (made, tmp_path / "run")
    ]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.5}, "training.lr = 0.001, this one has 0.5"),
        ({"steps": 9}, "training.steps = 8, this one has 9"),
        ({"backbone": NETWORK.model_copy(update={"depth": 1})}, "backbone.depth = 2, this one has 1"),
        ({"objective": MaskedSpec(ratio=0.5)}, "objective.ratio = None, this one has 0.5"),
        ({"domain": TextSpec(tokens="characters", length=16)}, "domain.length = 32, this one has 16"),
        ({"corpus": from_arrays(TEXTS[:-1])}, "data = '"),
    ],
)
def test_another_run_is_refused(folder: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(folder, **change)


def test_a_network_that_looks_the_wrong_way_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"autoregressive needs .*backbone\.causal is false"):
        run(tmp_path / "run", Source(path="gone.txt"), objective=AutoregressiveSpec())
    assert not (tmp_path / "run").exists()


def test_fresh_starts_again(folder: Path, made: Path) -> None:
    other = run(folder, lr=0.01, resume=False)
    assert other.record["training"]["lr"] == 0.01
    assert not same(other.backbone, load_pretrained(made).backbone)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    for resume in (True, False):
        with pytest.raises(InputError, match=r"holds files that are no pre-training run \(thesis.tex"):
            run(tmp_path, resume=resume)
    assert (tmp_path / "thesis.tex").exists()


def test_pictures_and_next_tokens_pretrain_too(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    small = TransformerSpec(size="nano", width=32, depth=1, heads=2)
    seen = run(tmp_path / "a", from_arrays(pictures), domain=ImageSpec(patch=2), backbone=small)
    assert seen.record["best"]["loss"] > 0
    causal = small.model_copy(update={"causal": True})
    written = run(tmp_path / "b", backbone=causal, objective=AutoregressiveSpec())
    assert written.load_report["objective"].full


def test_a_single_long_record_is_held_out_in_blocks() -> None:
    genome = "".join(np.random.default_rng(0).choice(list("ACGT"), 20_000))
    domain = DnaSpec(tokens="base", length=32).build(from_arrays([genome]))
    dataset = domain.read(from_arrays([genome]))
    kept, held = hold_out(dataset, domain, 0.1, seed=1)
    assert held
    assert int(kept.lengths.sum() + held.lengths.sum()) == 20_000
    assert 0.05 < held.lengths.sum() / 20_000 < 0.15
    letters = {tuple(held[i].inputs[:100].tolist()) for i in range(len(held))}
    assert letters.isdisjoint(tuple(kept[i].inputs[:100].tolist()) for i in range(len(kept)))
    again = hold_out(dataset, domain, 0.1, seed=1)[1]
    assert again
    assert again.fingerprint() == held.fingerprint()


def test_one_short_example_cannot_be_held_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holdout to 0"):
        run(tmp_path, from_arrays(["a short text of one line"]))
    assert run(tmp_path, from_arrays(["a short text of one line"]), holdout=0, resume=False).record["best"] is None


def test_augmentation_is_for_training_alone() -> None:
    seen: list[str] = []

    def augment(batch: Any, rng: Any) -> Any:
        seen.append("augmented")
        return batch

    class Nothing(torch.nn.Module):
        def forward(self, backbone: Any, batch: Any, rng: Any) -> Any:
            return batch

    nothing: Any = Nothing()
    model = Pretraining(nothing, nothing, augment)
    model(None, None)
    model.eval()
    model(None, None)
    assert seen == ["augmented"]


def edit(path: Path, change: Any) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def test_less_than_a_full_match_fails_unless_allowed(folder: Path) -> None:
    edit(folder / "exapt.json", lambda f: f["specs"]["backbone"].update(depth=3))
    with pytest.raises(
        InputError, match=r"backbone.safetensors: does not fill the backbone: .* missing \(stack.layers.2"
    ):
        load_pretrained(folder)
    report = load_pretrained(folder, allow_partial=True).load_report["backbone"]
    assert report.missing
    assert not report.left_over
    assert 0.5 < report.share < 1


@pytest.mark.parametrize("name", ["backbone.safetensors", "objective.safetensors", "domain/domain.json"])
def test_damaged_files_are_named(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=f"{name}: its checksum"):
        load_pretrained(folder)
    path.unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        load_pretrained(folder)


def test_swapped_weights_are_found_out(folder: Path) -> None:
    shutil.copy(folder / "objective.safetensors", folder / "backbone.safetensors")
    edit(
        folder / "exapt.json",
        lambda f: f["checksums"].update({"backbone.safetensors": f["checksums"]["objective.safetensors"]}),
    )
    with pytest.raises(InputError, match="holds objective, where backbone was expected"):
        load_pretrained(folder)


def test_a_checkpoint_of_another_domain_is_refused(made: Path) -> None:
    assert load_pretrained(made, domain="text")
    with pytest.raises(InputError, match="a checkpoint of domain text, where dna is wanted"):
        load_pretrained(made, domain="dna")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no exapt checkpoint"),
        ({"config.json": "{}"}, "Hugging Face checkpoint"),
        ({"step-00000004.json": "{}"}, "step checkpoints of a run that has not finished"),
        ({"pytorch_model.bin": ""}, "pickled weights"),
        ({"exapt.json": '{"format": "exapt pretrained 99"}'}, "format 'exapt pretrained 99' is not one"),
        ({"exapt.json": '{"format": "exapt pretrained 1"}'}, "'checksums' is missing"),
        ({"exapt.json": "{"}, "not valid JSON"),
    ],
)
def test_what_is_no_artifact_is_called_by_its_name(tmp_path: Path, files: dict[str, str], words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        load_pretrained(tmp_path)


def test_paths_that_are_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_pretrained(tmp_path / "nothing")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(InputError, match="pickled weights are refused"):
        load_pretrained(tmp_path / "model.pt")
    (tmp_path / "model.txt").write_text("")
    with pytest.raises(InputError, match="a file, not a checkpoint"):
        load_pretrained(tmp_path / "model.txt")


def test_a_spec_from_another_version_is_named(folder: Path) -> None:
    edit(folder / "exapt.json", lambda f: f["specs"]["backbone"].update(flavour=3))
    with pytest.raises(InputError, match=r"backbone.transformer.flavour"):
        load_pretrained(folder)


def test_a_full_disk_leaves_the_former_artifact(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_pretrained(folder)
    fresh = before.fresh_backbone(seed=5)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    specs = {"backbone": NETWORK, "objective": MaskedSpec()}
    for place in ("write_tensors", "write_json"):
        with monkeypatch.context() as patched:
            patched.setattr(artifact, place, full)
            with pytest.raises(InputError, match="No space left on device"):
                save_pretrained(folder, before.domain, fresh, before.objective, {}, specs=specs)
    assert same(load_pretrained(folder).backbone, before.backbone)
    assert not list(folder.glob(".*"))


def test_an_artifact_needs_the_specs(folder: Path) -> None:
    found = load_pretrained(folder)
    with pytest.raises(ValueError, match="carries no spec"):
        save_pretrained(folder, found.domain, found.backbone, torch.nn.Identity(), {})  # type: ignore[arg-type]
