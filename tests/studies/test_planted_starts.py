"""Starts planted to help and to do nothing, on scikit-learn's digits: true classes against the same ones shuffled."""

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

import exapt
from exapt.files import read_json

ADAPT = {"kind": "finetune", "rates": [0.0003, 0.001], "min_steps": 60, "max_steps": 60, "evaluations": 6}
STUDY = {
    "name": "starts",
    "domain": {"kind": "image", "patch": 2},
    "backbone": {"kind": "transformer", "width": 32, "depth": 2, "heads": 2},
    "objective": {"kind": "masked", "ratio": 0.4},
    "pretrain": {
        "epochs": 15,
        "batch": 128,
        "lr": 0.003,
        "schedule": {"kind": "cosine", "warmup": 0.05},
        "monitor": {"on": False},
    },
    "task": {"kind": "classify"},
    "adapt": ADAPT,
    "arms": ["pretrained", "scratch"],
    "more_arms": {name: {"start": name, "adapt": ADAPT} for name in ("true", "shuffled")},
    "compare": [["true", "scratch"], ["true", "shuffled"], ["true", "pretrained"], ["shuffled", "scratch"]],
    "budgets": [40],
    "seeds": 5,
}


def study(folder):
    """The pictures with their classes, and with the same classes in another order.

    All files hold the same bytes of each picture, so that the test part is known and left out of every corpus.
    """
    data = load_digits()
    classes = {"true": data.target, "shuffled": np.random.default_rng(0).permutation(data.target)}
    starts = {}
    for name, label in classes.items():
        path = folder / f"{name}.npz"
        np.savez(path, x=(data.images * 15.9).astype(np.uint8), kind=label)
        starts[name] = {"objective": {"kind": "supervised"}, "corpus": {"path": str(path), "label": "kind"}}
    source = {"path": str(folder / "true.npz")}
    own = {"corpus": source, "labelled": source | {"label": "kind"}, "starts": starts}
    path = folder / "starts.yaml"
    path.write_text(yaml.safe_dump(STUDY | own), encoding="utf-8")
    return exapt.run(path, out=folder / "run", workers=1)


@pytest.mark.slow
def test_true_classes_beat_shuffled_ones_and_a_fresh_network(tmp_path):
    result = study(tmp_path)
    note = read_json(result.folder / "run.json")
    tests = note["data"]["facts"]["test"]
    assert note["left_out_of_starts"] == {key: {"examples": tests, "of": 1797} for key in ("true", "shuffled")}
    found = {(p["arm"], p["against"]): p for p in result.data["verdict"]["pairs"]}
    assert found["true", "scratch"]["overall"]["verdict"] == "HELPS" and found["true", "scratch"]["holds"]
    assert found["true", "shuffled"]["overall"]["verdict"] == "HELPS" and found["true", "shuffled"]["holds"]
    assert found["shuffled", "scratch"]["overall"]["verdict"] != "HELPS"
