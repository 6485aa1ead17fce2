"""A small study of pictures of three kinds, taken by two cameras, for audits that look at a whole one."""

import numpy as np
import yaml

import exapt
from exapt.audits import Subject
from exapt.studies.auditing import subject_of
from exapt.studies.fits import records
from exapt.studies.runner import _reopened

KINDS, COUNT = 3, 240
STUDY = {
    "name": "kinds",
    "domain": {"kind": "image", "patch": 2},
    "backbone": {"kind": "transformer", "width": 16, "depth": 1, "heads": 1},
    "objective": {"kind": "masked", "ratio": 0.5, "decoder_depth": 1},
    "pretrain": {"steps": 8, "batch": 32, "lr": 0.002, "evaluate_every": 4},
    "task": {"kind": "classify"},
    "adapt": {"kind": "finetune", "rates": [0.003], "min_steps": 10, "max_steps": 10, "evaluations": 2},
    "probe": {"penalties": [0.1, 10.0]},
    "arms": ["pretrained", "scratch"],
    "budgets": [24],
    "seeds": 3,
}


def pictures(path, seed=0):
    """Pictures (240, 4, 4) of three patterns, brighter from camera b."""
    rng = np.random.default_rng(seed)
    label, camera = np.arange(COUNT) % KINDS, rng.integers(0, 2, COUNT)
    patterns = rng.integers(0, 200, (KINDS, 4, 4))
    x = 0.7 * patterns[label] + rng.integers(0, 60, (COUNT, 4, 4)) + 40 * camera[:, None, None]
    names = np.array(["one", "two", "three"])
    np.savez(path, x=x.astype(np.uint8), label=names[label], camera=np.array(["a", "b"])[camera])
    return path


def study_file(folder, data, **changes):
    """The study as YAML over a file of pictures."""
    source = {"corpus": {"path": str(data)}, "labelled": {"path": str(data), "label": "label"}}
    path = folder / "kinds.yaml"
    path.write_text(yaml.safe_dump(STUDY | source | changes), encoding="utf-8")
    return path


def run(folder, **changes):
    """A finished run of the study."""
    return exapt.run(study_file(folder, pictures(folder / "pics.npz"), **changes), out=folder / "run", workers=1)


def subject(folder) -> Subject:
    """What the audits of a finished run look at."""
    prepared = _reopened(folder)
    return subject_of(prepared, records(prepared))
