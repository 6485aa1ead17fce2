"""Metrics on disk, TensorBoard, and what is shown while training."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from toy_training import Toy, fit

from exapt.errors import InputError
from exapt.training.bar import Bar
from exapt.training.log import MetricsLog, read_metrics


def test_lines_beyond_the_checkpoint_and_half_lines_go(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": 1 / step})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    again = MetricsLog(tmp_path, step=2)
    assert [line["step"] for line in again.history] == [1, 2]
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]
    assert again.history[1]["loss"] == 0.5


def test_nan_becomes_null(tmp_path: Path) -> None:
    MetricsLog(tmp_path).write({"step": 1, "loss": float("nan")})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": None}


def test_tensorboard_events_are_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(Toy(), tmp_path, tensorboard=True)
    assert list((tmp_path / "tensorboard").glob("events.out.*"))


def test_tensorboard_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'exapt\[track\]'"):
        fit(Toy(), tmp_path, tensorboard=True)


def test_without_a_terminal_there_is_a_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar(4, done=0)
    for step in range(1, 5):
        bar.update(step, "loss 1.0" if step == 4 else "")
    bar.close()
    shown = capsys.readouterr().err
    assert shown.startswith("step 4/4  loss 1.0")
    assert shown.rstrip().endswith("0:00 left")


def test_without_progress_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Toy())
    assert capsys.readouterr() == ("", "")


def test_in_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = Bar(3)
    bar.update(1, "loss 2.5")
    assert bar._rich.tasks[0].completed == 1
    assert bar._rich.tasks[0].fields["text"] == "loss 2.5"
    bar.close()


def test_the_plain_line_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("exapt.training.bar.time.perf_counter", lambda: now[0])
    bar = Bar(100, done=20)
    now[0] = 10.0
    assert bar.line(40, "loss 1.5") == "step 40/100  loss 1.5  2.00 steps/s  0:30 left"
