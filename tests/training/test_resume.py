"""A resumed run equals one that never stopped, bit for bit; another one is refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import Toy, dataset, fit, held_out, same

from exapt.errors import InputError
from exapt.studies.executor import one_thread
from exapt.training.checkpoints import Checkpoints
from exapt.training.log import TIMING, read_metrics
from exapt.training.seeds import own_threads

RICH: dict[str, Any] = {"accumulate": 2, "batch": 3, "evaluate_every": 3, "log_every": 4, "checkpoint_every": 1}


def rich(die_at: int = 0) -> Toy:
    return Toy(noise=0.3, dropout=0.2, die_at=die_at)


def lines(folder: Path) -> list[dict[str, Any]]:
    found = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in TIMING} for line in found]


def tensors(folder: Path) -> Any:
    found = Checkpoints(folder / "checkpoints").newest()
    assert found
    return found


@pytest.mark.parametrize("stop", range(1, 13))
def test_resumed_at_any_step_equals_never_stopped(tmp_path: Path, stop: int) -> None:
    whole, first, second = rich(), rich(die_at=2 * stop), rich()
    fit(whole, tmp_path / "whole", evaluate=held_out(whole), **RICH)
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path / "parts", evaluate=held_out(first), **RICH)
    done = fit(second, tmp_path / "parts", evaluate=held_out(second), **RICH)
    assert same(second, whole)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert second.seen == whole.seen[2 * (stop - 1) :]
    assert [{k: v for k, v in line.items() if k not in TIMING} for line in done.history] == lines(tmp_path / "whole")
    (one, one_state), (other, other_state) = tensors(tmp_path / "parts"), tensors(tmp_path / "whole")
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert {**one_state, "seconds": 0} == {**other_state, "seconds": 0}


def test_resumed_between_checkpoints_walks_again_from_the_last(tmp_path: Path) -> None:
    spec = {**RICH, "checkpoint_every": 5}
    whole, first, second = rich(), rich(die_at=2 * 9), rich()
    fit(whole, tmp_path / "whole", evaluate=held_out(whole), **spec)
    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path / "parts", evaluate=held_out(first), **spec)
    assert lines(tmp_path / "parts")[-1]["step"] == 8
    fit(second, tmp_path / "parts", evaluate=held_out(second), **spec)
    assert len(second.seen) == 2 * (12 - 5)
    assert same(second, whole)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")


def test_a_folder_changes_nothing(tmp_path: Path) -> None:
    one, other = rich(), rich()
    fit(one, tmp_path, **RICH), fit(other, **RICH)
    assert same(one, other)


def test_a_finished_run_does_nothing_but_load(tmp_path: Path) -> None:
    first, second = rich(), rich()
    done = fit(first, tmp_path, evaluate=held_out(first), **RICH)
    again = fit(second, tmp_path, evaluate=held_out(second), **RICH)
    assert second.calls == 0
    assert same(first, second)
    assert (again.step, again.best, again.elements) == (done.step, done.best, done.elements)
    assert again.history == done.history


def test_an_early_stop_is_remembered(tmp_path: Path) -> None:
    scores = iter([2.0, 1.0, 9.0])
    fit(Toy(), tmp_path, evaluate=lambda: {"score": next(scores)}, evaluate_every=3, patience=1)
    again = Toy()
    done = fit(again, tmp_path, evaluate=lambda: {"score": 0.0}, evaluate_every=3, patience=1)
    assert (done.stopped, done.step, again.calls) == ("patience", 6, 0)


def test_fresh_discards_the_old_run(tmp_path: Path) -> None:
    fit(Toy(), tmp_path, steps=20)
    model, plain = Toy(), Toy()
    fit(model, tmp_path, resume=False), fit(plain)
    assert same(model, plain)
    assert [line["step"] for line in lines(tmp_path)] == [10, 12]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr": 0.5}, "training.lr = 0.02, this one has 0.5"),
        ({"steps": 13}, "training.steps = 12, this one has 13"),
        ({"schedule": {"kind": "linear"}}, "training.schedule.kind = 'cosine', this one has 'linear'"),
        ({"identity": {"data": "b", "model": {"width": 3}}}, "data = 'a', this one has 'b'"),
        ({"identity": {"data": "a", "model": {"width": 4}}}, "model.width = 3, this one has 4"),
        ({"identity": {"data": "a"}}, r"model = \{'width': 3\}, this one has '\(not there\)'"),
    ],
)
def test_another_run_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    same_run: dict[str, Any] = {"identity": {"data": "a", "model": {"width": 3}}}
    fit(Toy(), tmp_path, **same_run)
    with pytest.raises(InputError, match=words) as caught:
        fit(Toy(), tmp_path, **(same_run | change))
    assert "new folder" in str(caught.value)
    assert "resume=False" in str(caught.value)
    fit(Toy(), tmp_path, **same_run)


def test_more_frequent_checkpoints_are_no_other_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(die_at=9), tmp_path, checkpoint_every=4)
    model, whole = Toy(), Toy()
    fit(model, tmp_path, checkpoint_every=1, keep=7), fit(whole)
    assert same(model, whole)


KILLED = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import torch; torch.set_num_threads(1)
from toy_training import Toy, fit, held_out, dataset
model = Toy(noise=0.3, dropout=0.2)
print("ready", flush=True)
fit(model, Path(sys.argv[1]), dataset(200), steps=600, batch=4, accumulate=2, evaluate_every=23, log_every=7,
    checkpoint_every=11, evaluate=held_out(model))
print("done", flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    code = KILLED.format(tests=str(Path(__file__).parent))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_at_any_moment_and_resumed_equals_never_stopped(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"steps": 600, "batch": 4, "accumulate": 2, "evaluate_every": 23, "log_every": 7}
    spec |= {"checkpoint_every": 11, "data": dataset(200)}
    whole = rich()
    with one_thread():  # as in the killed process; the last part is begun with two
        fit(whole, tmp_path / "whole", evaluate=held_out(whole), **spec)
    seed = int(time.time())
    moments = random.Random(seed)
    killed = 0
    for _ in range(2):
        process = start(tmp_path / "killed")
        wait_for_checkpoints(tmp_path / "killed", killed + 1)
        time.sleep(moments.uniform(0, 0.2))
        with process:
            process.send_signal(signal.SIGKILL)
        killed = newest(tmp_path / "killed")
        assert 0 < killed < 600, f"seed {seed}"
    second = rich()
    with own_threads():
        torch.set_num_threads(2)
        fit(second, tmp_path / "killed", evaluate=held_out(second), **spec)
        assert torch.get_num_threads() == 2
    assert same(second, whole), f"seed {seed}"
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole"), f"seed {seed}"
    names = sorted(p.name for p in (tmp_path / "killed" / "checkpoints").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "whole" / "checkpoints").iterdir())


def newest(folder: Path) -> int:
    return max((json.loads(p.read_text())["step"] for p in (folder / "checkpoints").glob("step-*.json")), default=0)


def wait_for_checkpoints(folder: Path, beyond: int) -> None:
    """Until a checkpoint later than a step is there."""
    for _ in range(3000):
        found = sorted((folder / "checkpoints").glob("step-*.json")) if folder.exists() else []
        if found and int(found[-1].stem.split("-")[1]) > beyond:
            return
        time.sleep(0.01)
    raise AssertionError("no checkpoint came")
