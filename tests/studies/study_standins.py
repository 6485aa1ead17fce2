"""The smallest study that is a whole one: 4 × 4 pictures of two kinds, a network of one block, a few steps."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from exapt.cli import main

TINY = {
    "name": "tiny",
    "about": "Are <b>two kinds</b> told apart?",
    "domain": {"kind": "image", "patch": 2},
    "backbone": {"kind": "transformer", "width": 16, "depth": 1, "heads": 1},
    "objective": {"kind": "masked", "ratio": 0.5, "decoder_depth": 1},
    "pretrain": {"steps": 4, "batch": 32, "lr": 0.002},
    "task": {"kind": "classify"},
    "adapt": {"kind": "finetune", "rates": [0.001], "min_steps": 3, "max_steps": 3, "evaluations": 1},
    "probe": {"penalties": [0.1, 10.0]},
    "arms": ["pretrained", "scratch", "frozen"],
    "budgets": [8, 16],
    "seeds": 2,
    "margin": 0.05,
}
FITS = 3 * 2 * 2
"""Arms × budgets × seeds of `TINY`."""


def pictures(path, seed=0, count=160):
    """Two kinds of pictures that overlap, so that scores differ between fits."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2
    patterns = rng.integers(0, 256, (2, 4, 4))
    x = 0.4 * patterns[label] + rng.integers(0, 150, (count, 4, 4))
    np.savez(path, x=x.astype(np.uint8), label=label)
    return path


def study_file(folder, data, **changes):
    """`tiny.yaml` over a file of pictures."""
    source = {"corpus": {"path": str(data)}, "labelled": {"path": str(data), "label": "label"}}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | source | changes, allow_unicode=True), encoding="utf-8")
    return path


def scores(folder):
    """Every fit's score by arm, budget and seed, from the report."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {(f["arm"], f["budget"], f["seed"]): f["score"] for f in report["fits"]}


def cli(capsys, *words):
    """Exit code, standard output and standard error of a command line, run in this process."""
    capsys.readouterr()
    code = None
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    return code, said.out, said.err


def refused(capsys, *words):
    """The one line of a refusal; anything else about it fails."""
    code, out, err = cli(capsys, *words)
    assert code == 1, (code, out, err)
    assert out == "", out
    assert err.startswith("exapt: ") and err.count("\n") == 1 and err.endswith("\n"), err
    return err


def start(*words, cwd=None):
    """The command in a process group of its own, as a terminal starts it."""
    # A runner in the background hands down an ignored interrupt; a terminal does not.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{heard}; from exapt.cli import main; main()", *map(str, words)]
    return subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, start_new_session=True
    )


def living(folder):
    """The processes whose command line names a folder (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(folder).encode() in words and b"exapt.studies.worker" in words:
            found.append(int(entry.parent.name))
    return found
