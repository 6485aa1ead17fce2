"""Several processes on one machine equal one process on the same examples, weighed by tokens."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from toy_training import Toy, dataset, fit, held_out, same

from exapt.errors import InputError
from exapt.training.launch import Launch, launch
from exapt.training.pretrained import load_pretrained
from exapt.training.weights import load_into, read_tensors

LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]

BATTERY = {"kind": "battery", "parts": [{"objective": {"kind": "masked", "ratio": ratio}} for ratio in (0.2, 0.5)]}


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_two_processes(out: Path, **specs: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Train by each spec in turn, into the folder of its name."""
    command = [*LAUNCH, "--master-port", str(port()), str(Path(__file__).with_name("train_in_ranks.py")), str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, json.dumps(specs)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def result(out: Path) -> tuple[Toy, dict[str, Any]]:
    model = Toy()
    assert load_into(model, read_tensors(out / "weights.safetensors", "backbone")).full
    return model, json.loads((out / "done.json").read_text())


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """DDP and FSDP2, micro-batches of unlike token counts: the same as one process on their union."""
    common: dict[str, Any] = {"steps": 8, "lr": 1e-3, "log_every": 1}
    halves = {"batch": 3, "accumulate": 2, **common}
    done = in_two_processes(tmp_path, data=halves, sharded={"parallel": "sharded", **halves})
    assert done.returncode == 0, done.stderr
    alone = Toy()
    expected = fit(alone, data=dataset(96), batch=12, precision="float32", evaluate=held_out(alone), **common)
    for name in ("data", "sharded"):
        model, facts = result(tmp_path / name)
        assert same(model, alone, within=1e-6)
        for one, other in zip(facts["history"], expected.history, strict=True):
            for key in ("step", "elements", "examples"):
                assert one.get(key) == other.get(key)
            for key in ("loss", "norm", "accuracy", "held_out_loss"):
                assert one.get(key, 0) == pytest.approx(other.get(key, 0), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["data", "sharded"])
def test_two_processes_resume_as_if_never_stopped(tmp_path: Path, parallel: str) -> None:
    spec: dict[str, Any] = {"batch": 3, "steps": 9, "parallel": parallel, "folder": True, "checkpoint_every": 2}
    in_two_processes(tmp_path, parts={**spec, "die_at": 6})
    done = in_two_processes(tmp_path, parts=spec, whole=spec)
    assert done.returncode == 0, done.stderr
    (whole, whole_facts), (resumed, resumed_facts) = result(tmp_path / "whole"), result(tmp_path / "parts")
    assert same(whole, resumed)
    assert whole_facts["best"] == resumed_facts["best"]
    with pytest.raises(InputError, match="processes = 2, this one has 1"):
        alone = Toy()
        changed = {k: v for k, v in spec.items() if k != "folder"}
        fit(alone, tmp_path / "parts" / "run", dataset(96), evaluate=held_out(alone), precision="float32", **changed)


@pytest.mark.slow
def test_two_processes_pretrain_together(tmp_path: Path) -> None:
    """DDP and FSDP2 see the same examples and draw the same masks, so their artifacts agree."""
    spec: dict[str, Any] = {"pretrain": True, "batch": 4, "steps": 6}
    done = in_two_processes(tmp_path, data=spec, sharded={**spec, "parallel": "sharded"})
    assert done.returncode == 0, done.stderr
    found = [load_pretrained(tmp_path / name / "run") for name in ("data", "sharded")]
    assert found[0].record["hardware"]["processes"] == 2
    assert same(found[0].backbone, found[1].backbone, within=1e-5)
    assert found[0].record["best"]["loss"] == pytest.approx(found[1].record["best"]["loss"], rel=1e-5)
    refused = in_two_processes(tmp_path, data={**spec, "steps": 7})
    assert refused.returncode != 0
    assert "training.steps = 6, this one has 7" in refused.stderr


def test_one_process_needs_no_launcher() -> None:
    here = launch("cpu")
    assert (here.rank, here.ranks, here.main) == (0, 1, True)
    with here.main_first():
        here.wait()


def test_importing_and_training_alone_does_not_import_accelerate() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from toy_training import *; fit(Toy())"
    code += "; assert 'accelerate' not in sys.modules and 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_fsdp_asked_of_accelerate_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="set parallel: sharded"):
        launch("cpu", "data")


def test_totals_over_one_process_are_themselves() -> None:
    import torch

    values = torch.tensor([1.0, 2.0])
    assert Launch(torch.device("cpu")).total(values) is values


@pytest.mark.slow
def test_two_processes_train_a_battery_and_measure_its_shares_alike(tmp_path: Path) -> None:
    """DDP measures on every process without a word between them; of FSDP2's shards it is refused."""
    spec: dict[str, Any] = {"pretrain": True, "objective": BATTERY, "steps": 6, "monitor": {"on": False}, "holdout": 0}
    done = in_two_processes(tmp_path, data=spec | {"batch": 4}, sharded=spec | {"batch": 4, "parallel": "sharded"})
    assert done.returncode != 0 and "set objective.measure=false" in done.stderr
    found = load_pretrained(tmp_path / "data" / "run").record["watched"]["battery"]
    assert set(found["parts"]) == {"masked", "masked-2"} and found["alarms"] == []
