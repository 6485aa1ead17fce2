"""Sources planted to help, to harm and to do nothing, on scikit-learn's digits, through whole studies.

Five pre-training runs each, one a seed: with one run for all seeds a single lucky or unlucky start decides.
"""

import numpy as np
import pytest
import yaml

import exapt

STUDY = {
    "name": "planted",
    "domain": {"kind": "image", "patch": 2},
    "backbone": {"kind": "transformer", "width": 32, "depth": 2, "heads": 2},
    "objective": {"kind": "masked", "ratio": 0.6},
    "labelled": {"path": "sklearn:digits", "label": "label"},
    "task": {"kind": "classify"},
    "adapt": {"rates": [0.0003, 0.001], "min_steps": 80, "max_steps": 80, "evaluations": 8},
    "arms": ["pretrained", "scratch"],
    "budgets": [80],
    "seeds": 5,
    "checkpoints": 5,
}


def stripes(count=1797):
    """Pictures (n, 8, 8) of the same upright stripes, shifted: each patch follows from any other."""
    phase = np.random.default_rng(0).integers(0, 8, count)
    return np.stack([np.tile((np.arange(8) + p) % 8 < 4, (8, 1)) * 255 for p in phase]).astype(np.uint8)


def noise(count=1797):
    """Pictures of independent pixels: nothing can be learnt."""
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8)).astype(np.uint8)


def study(folder, pictures, epochs, lr, **changes):
    """The outcome of a study of one source; `pictures` None pre-trains on the digits themselves."""
    corpus = {"path": "sklearn:digits"}
    if pictures is not None:
        np.savez(folder / "corpus.npz", x=pictures)
        corpus = {"path": str(folder / "corpus.npz")}
    plan = {"epochs": epochs, "batch": 128, "lr": lr, "schedule": {"kind": "cosine", "warmup": 0.05}}
    path = folder / "planted.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"corpus": corpus, "pretrain": plan} | changes), encoding="utf-8")
    return exapt.run(path, out=folder / "run", workers=1)


@pytest.mark.slow
def test_a_harmful_source_is_called_so(tmp_path):
    assert study(tmp_path, stripes(), epochs=15, lr=0.003).verdict == "HARMS"


@pytest.mark.slow
def test_a_useful_source_is_called_so(tmp_path):
    assert study(tmp_path, None, epochs=80, lr=0.003, seeds=10, checkpoints=1).verdict == "HELPS"


@pytest.mark.slow
def test_noise_and_hardly_any_step_neither_help_nor_harm(tmp_path):
    found = study(tmp_path, noise(), epochs=1, lr=0.00001)
    assert found.verdict in ("EQUIVALENT", "NON-INFERIOR", "INCONCLUSIVE")


@pytest.mark.slow
def test_a_watched_harmful_source_is_left_and_does_not_harm(tmp_path):
    found = study(tmp_path, stripes(), epochs=15, lr=0.003, watch={"every": 21, "finetune": 0})
    assert found.verdict != "HARMS"
    assert all("the weights of step" in sentence for sentence in found.data["method"] if "was watched" in sentence)
