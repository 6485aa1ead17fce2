"""Killed or interrupted, a study goes on where it stood, with the same result, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from study_standins import FITS, living, scores, start, study_file

import exapt
from exapt.studies import executor

linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads Linux's list of processes")

DIE_AMONG_FITS = """
import os, signal
from exapt.studies import folder
from exapt.cli import main
real, fits = folder.write_json, []
def write_json(path, data):
    if path.parent.name == "fits":
        fits.append(path)
        if len(fits) == 4:  # its items are written, its record is not
            os.kill(os.getpid(), signal.SIGKILL)
    real(path, data)
folder.write_json = write_json
main()
"""
DIE_AMONG_STEPS = """
import os, signal
from exapt.training import run
from exapt.cli import main
real = run.Run.take
def take(self, step):
    if step == 3 and self.folder is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, step)
run.Run.take = take
main()
"""


def dies(program, *words):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_among_its_fits_a_study_makes_only_the_others(finished, tmp_path):
    dies(DIE_AMONG_FITS, "run", finished.study, "--out", tmp_path / "run", "--workers", "1")
    assert len(list((tmp_path / "run" / "fits").glob("*.json"))) == 3
    result = exapt.run(finished.study, out=tmp_path / "run", workers=1)
    assert result.computed == FITS - 3
    assert scores(tmp_path / "run") == scores(finished.folder)


def test_killed_in_pre_training_a_study_ends_with_the_same_weights(finished, tmp_path):
    dies(DIE_AMONG_STEPS, "run", finished.study, "--out", tmp_path / "run", "--workers", "1")
    assert not list((tmp_path / "run").glob("fits/*"))
    fewer = ["arms=[pretrained, scratch]", "budgets=[8]"]
    exapt.run(finished.study, out=tmp_path / "run", set=fewer, workers=1)
    weights = "checkpoints/pretrained-0/backbone.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (finished.folder / weights).read_bytes()
    whole = scores(finished.folder)
    assert all(score == whole[key] for key, score in scores(tmp_path / "run").items())


@linux
@pytest.mark.parametrize("how", ["interrupt", "kill"])
def test_no_worker_outlives_its_study(finished, tmp_path, how):
    run = tmp_path / "run"
    adapt = {"kind": "finetune", "rates": [0.001], "min_steps": 1_000_000, "max_steps": 1_000_000}
    study = study_file(tmp_path, finished.data, adapt=adapt)
    process = start("run", study, "--out", run, "--workers", "2", "--json")
    wait(lambda: len(living(run)) == 2 or process.poll() is not None, 180)
    assert process.poll() is None, process.stderr.read()
    if how == "interrupt":
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
    else:
        process.kill()
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    wait(lambda: not living(run), 60)
    if how == "interrupt":
        assert process.returncode == 130
        assert out == "" and err == (
            "exapt: interrupted; what is finished is kept, and the same command goes on from there\n"
        )


def test_a_worker_that_dies_is_told_in_one_line(finished, tmp_path, monkeypatch):
    from exapt.studies import executor

    real = executor._start

    def stillborn(folder):
        worker = real(folder)
        worker.kill()
        return worker

    monkeypatch.setattr(executor, "_start", stillborn)
    with pytest.raises(exapt.InputError, match=r"a worker process ended \(killed.*\) at the fit .*fewer --workers"):
        exapt.run(finished.study, out=tmp_path / "run", workers=2)


def wait(ready, seconds):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "nothing came of waiting"
        time.sleep(0.1)


def test_an_interrupt_before_the_first_job_is_one_still(tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(executor.threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.run_apart([{"arm": "a", "budget": 8, "seed": 0}] * 2, tmp_path, 2, lambda job: None)
    assert not living(tmp_path)
