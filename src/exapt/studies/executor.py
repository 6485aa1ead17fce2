"""Running jobs side by side: worker processes that read one line a job and answer one line a job.

Fits are small and many: they are faster side by side, one thread each, than one after another on every core. One
thread each also makes a fit's result independent of how many workers there are. Workers are plain subprocesses
(`python -m exapt.studies.worker`): nothing is pickled, and a caller's script is never imported a second time.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from exapt.errors import InputError
from exapt.training.seeds import own_threads

Line = dict[str, Any]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """A fit's arithmetic in one thread, as in a worker, so that its result is the same."""
    with own_threads():
        torch.set_num_threads(1)
        yield


def run_here(jobs: Sequence[Line], work: Callable[[Line], None], done: Callable[[Line], None]) -> None:
    """One job after another in this process."""
    with one_thread():
        for job in jobs:
            work(job)
            done(job)


def run_apart(jobs: Sequence[Line], folder: Path, workers: int, done: Callable[[Line], None]) -> None:
    """Jobs over worker processes; the first failure stops all of them and is raised here as one line."""
    todo: queue.SimpleQueue[Line] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Line] = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)
    team = [_start(folder) for _ in range(min(workers, len(jobs)))]
    threads = [threading.Thread(target=_feed, args=(w, todo, answers), daemon=True) for w in team]
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            answer = answers.get()
            if "error" in answer:
                raise (InputError if answer.get("mistake") else RuntimeError)(answer["error"])
            done(answer["job"])
    finally:
        for worker in team:
            worker.kill()
            worker.wait()
        for worker, thread in zip(team, threads, strict=True):
            if thread.is_alive():  # an interrupt may come before it was started, and such a one cannot be joined
                thread.join(timeout=5)
            _close(worker)


def _close(worker: subprocess.Popen[str]) -> None:
    """Close the pipes of a worker whose thread has not done so."""
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _start(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "exapt.studies.worker", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    # A session of its own: an interrupt at the keyboard reaches the parent alone, which then ends its workers.
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def _feed(worker: subprocess.Popen[str], todo: queue.SimpleQueue[Line], answers: queue.SimpleQueue[Line]) -> None:
    assert worker.stdin is not None and worker.stdout is not None
    with suppress(BrokenPipeError), worker.stdin, worker.stdout:  # closing writes what a dead worker never read
        while True:
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            try:
                worker.stdin.write(json.dumps(job) + "\n")
                worker.stdin.flush()
                answer = worker.stdout.readline()
            except (BrokenPipeError, ValueError):
                answer = ""
            if not answer:
                answers.put({"error": _death(worker.wait(), job), "mistake": True})
                return
            answers.put(json.loads(answer))


def _death(code: int, job: Line) -> str:
    killed = "killed, perhaps for want of memory" if code == -signal.SIGKILL else f"exit code {code}"
    fit = (
        "the fit {arm}, {budget} labels, seed {seed}".format(**job) if "arm" in job else f"audit {job['audit']['kind']}"
    )
    return f"a worker process ended ({killed}) at {fit}; run it again to go on, perhaps with fewer --workers"
