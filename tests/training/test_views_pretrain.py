"""Objectives over views from specs to an artifact: resumed runs, best weights, exports, several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from test_ranks import LAUNCH, port
from toy_training import same

from exapt.backbones import TransformerSpec
from exapt.domains import TextSpec, from_arrays
from exapt.errors import InputError
from exapt.integrations.huggingface import export_huggingface, import_huggingface
from exapt.objectives import ByolSpec, MaskedSpec, SigregSpec, SimclrSpec, SimsiamSpec, VicregSpec
from exapt.training.log import TIMING, read_metrics
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained, load_pretrained
from exapt.training.run import Run
from exapt.training.spec import TrainingSpec

TEXTS = [f"the {animal} sat on the mat number {i}" for i in range(40) for animal in ("cat", "dog")]
EVERY: list[Any] = [SimclrSpec(), VicregSpec(), ByolSpec(), SimsiamSpec(), SigregSpec(views=2, slices=16)]


def quick(folder: Path, objective: Any, **keys: Any) -> Pretrained:
    spec = {"steps": 8, "batch": 16, "holdout": 0.2, "device": "cpu", "checkpoint_every": 1, "log_every": 1, **keys}
    network = TransformerSpec(width=16, depth=1, heads=1)
    domain = TextSpec(tokens="characters", length=32)
    return pretrain(from_arrays(TEXTS), domain, network, objective, TrainingSpec.parse(spec), folder, progress=False)


QUICK = ("simclr", "byol")
RESUMED = [pytest.param(spec, marks=[] if spec.kind in QUICK else pytest.mark.slow, id=spec.kind) for spec in EVERY]


@pytest.mark.parametrize("objective", RESUMED)
def test_a_resumed_run_equals_one_that_never_stopped(
    objective: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quick(tmp_path / "whole", objective)
    take = Run.take

    def dying(self: Run, step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt
        take(self, step)

    monkeypatch.setattr(Run, "take", dying)
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path / "parts", objective)
    monkeypatch.setattr(Run, "take", take)
    parts = quick(tmp_path / "parts", objective)
    assert same(parts.backbone, whole.backbone) and same(parts.objective, whole.objective)
    lines = [
        [{k: v for k, v in line.items() if k not in TIMING} for line in read_metrics(tmp_path / name / "metrics.jsonl")]
        for name in ("parts", "whole")
    ]
    assert lines[0] == lines[1]
    last = [line for line in lines[0] if "held_out_loss" in line][-1]
    assert {"held_out_alignment", "held_out_uniformity"} <= set(last)


def test_where_the_loss_judges_nothing_the_last_weights_are_kept(tmp_path: Path) -> None:
    assert quick(tmp_path / "byol", ByolSpec()).record["weights"] == "last"
    assert quick(tmp_path / "byol", ByolSpec()).record["weights"] == "last", "and the finished run is found again"
    assert quick(tmp_path / "simclr", SimclrSpec()).record["weights"] == "best"
    with pytest.raises(InputError, match=r"objective\.kind=simsiam is not a better network; leave patience out"):
        quick(tmp_path / "simsiam", SimsiamSpec(), patience=2)


def test_batches_of_one_example_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Vicreg compares examples with each other; set pretrain\.batch to 2"):
        quick(tmp_path, VicregSpec(), batch=1)
    quick(tmp_path / "masked", MaskedSpec(), batch=1)


def test_what_is_exported_is_the_backbone_alone(tmp_path: Path) -> None:
    trained = quick(tmp_path / "run", SimclrSpec())
    export_huggingface(trained, tmp_path / "out")
    found = import_huggingface(tmp_path / "out")
    assert found.head is None and same(found.backbone, trained.backbone)


def in_two(out: Path) -> None:
    command = [*LAUNCH, "--master-port", str(port()), str(Path(__file__).with_name("views_in_ranks.py")), str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_two_processes_equal_one_with_all_examples(tmp_path: Path) -> None:
    """Unlike halves of a batch: losses, gradients as the loop weighs them, running statistics, the average network."""
    in_two(tmp_path)
    sys.path.insert(0, str(Path(__file__).parent))
    from views_in_ranks import step

    alone = step(0, 1)
    for name, (loss, gradients, state) in alone.items():
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)[name]
            assert found[0] == pytest.approx(loss, rel=1e-9), name
            torch.testing.assert_close(found[1], gradients, rtol=1e-7, atol=1e-10)
            torch.testing.assert_close(found[2], state, rtol=1e-7, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["data", "sharded"])
def test_two_processes_pretrain_together(tmp_path: Path, parallel: str) -> None:
    specs = {
        spec.kind: {"pretrain": True, "objective": spec.plain(), "batch": 4, "steps": 6, "parallel": parallel}
        for spec in EVERY
    }
    script = str(Path(__file__).with_name("train_in_ranks.py"))
    command = [*LAUNCH, "--master-port", str(port()), script, str(tmp_path), json.dumps(specs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for name in specs:
        found = load_pretrained(tmp_path / name / "run")
        assert found.record["hardware"]["processes"] == 2
        assert all(tensor.isfinite().all() for tensor in found.objective.state_dict().values())


def test_a_single_held_out_example_is_no_lowest_loss(tmp_path: Path) -> None:
    """It has none to be compared with: a loss of 0 would keep the weights of the first evaluation."""
    done = quick(tmp_path, SimclrSpec(), holdout=0.01, evaluate_every=2, steps=4)
    assert (done.record["weights"], done.record["best"], done.record["last"]) == ("last", None, None)
    assert not any("held_out_loss" in line for line in read_metrics(tmp_path / "metrics.jsonl"))
