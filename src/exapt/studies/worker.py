"""A worker process: `python -m exapt.studies.worker RUN` reads a job a line and answers a line for each."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

import torch
import yaml

from exapt.errors import DivergenceError, InputError
from exapt.studies.auditing import audit_job
from exapt.studies.corpora import same_data
from exapt.studies.fits import records, run_job
from exapt.studies.folder import RunFolder
from exapt.studies.prepare import Prepared, reopen
from exapt.studies.spec import StudySpec


def main(folder: str) -> None:
    """Serve jobs until the standard input ends, which it also does when the parent is gone."""
    torch.set_num_threads(1)
    # Answers go to a private copy of the standard output, so that nothing a library prints can mix with them.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    run = RunFolder(folder)
    prepared: Prepared | None = None
    lines = _listen()
    while True:
        job = json.loads(lines.get())
        try:
            if prepared is None:
                spec = StudySpec.parse(yaml.safe_load((Path(folder) / "study.yaml").read_text("utf-8")), "study.yaml")
                prepared = reopen(spec, run)
                same_data(prepared.data, run)
            if "audit" in job:
                audit_job(prepared, job["audit"], records(prepared))
            else:
                run_job(prepared, job)
            _answer(answers, {"job": job})
        except (InputError, DivergenceError) as error:
            _answer(answers, {"job": job, "error": str(error), "mistake": True})
        except Exception as error:  # the parent must hear of anything, whatever it is
            traceback.print_exc()
            _answer(answers, {"job": job, "error": f"{type(error).__name__}: {error}"})


def _listen() -> queue.SimpleQueue[str]:
    """The lines of the standard input. At its end nobody waits for an answer, so a fit at work is given up at once."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return lines


def _answer(stream: IO[str], line: dict[str, Any]) -> None:
    stream.write(json.dumps(line) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(sys.argv[1])
