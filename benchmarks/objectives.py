"""Every objective on digits: nearest neighbours and a linear probe against the random network it began as.

    OMP_NUM_THREADS=1 python benchmarks/objectives.py [--seeds 3] [--steps 150] [kind …]

1,200 of scikit-learn's digits are trained on without their labels, the other 597 are tested on. Paired differences from
the same seed's untrained network, with 90 % t-intervals over seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from exapt.backbones import TransformerSpec
from exapt.domains import ImageSpec, from_arrays
from exapt.objectives import ByolSpec, MaskedSpec, SigregSpec, SimclrSpec, SimsiamSpec, VicregSpec
from exapt.training.monitor import pooled
from exapt.training.neighbours import neighbour_score
from exapt.training.pretrain import pretrain
from exapt.training.seeds import derive
from exapt.training.spec import TrainingSpec

TRAINED = 1200
KINDS: dict[str, Any] = {
    "masked": MaskedSpec(ratio=0.6),
    "simclr": SimclrSpec(),
    "vicreg": VicregSpec(),
    "byol": ByolSpec(),
    "simsiam": SimsiamSpec(),
    "sigreg": SigregSpec(slices=64),
}
NETWORK = TransformerSpec(width=32, depth=2, heads=2)
DOMAIN = ImageSpec.parse({"patch": 2, "target": "pixels", "views": {"crop": [0.6, 1.0], "flip": 0, "rotation": 15}})


def scores(backbone: Any, domain: Any, data: Any) -> tuple[float, float]:
    """Accuracy of 20 nearest neighbours (leave-one-out) and of a linear probe on the digits not trained on."""
    labels = data.column("label").astype(int)
    with torch.inference_mode():
        features = pooled(backbone.eval(), domain, data)
    scaler = StandardScaler().fit(features[:TRAINED].numpy())
    train, test = (scaler.transform(part.numpy()) for part in (features[:TRAINED], features[TRAINED:]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = LogisticRegression(C=1.0, max_iter=300).fit(train, labels[:TRAINED])
    return neighbour_score(features[TRAINED:], labels[TRAINED:]), float(probe.score(test, labels[TRAINED:]))


def one(kind: str, seed: int, steps: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(kNN, probe) of the network as it began and after pre-training, and processor seconds."""
    pictures, labels = load_digits(return_X_y=True)
    corpus = from_arrays(pictures.reshape(-1, 8, 8).astype("float32"), label=labels)
    domain = DOMAIN.build(corpus)
    data = domain.read(corpus)
    began = time.process_time()
    training = TrainingSpec.parse(
        {"steps": steps, "batch": 128, "lr": 4e-3, "holdout": 0, "device": "cpu", "precision": "float32", "seed": seed}
        | {"monitor": {"on": False}}
    )
    with tempfile.TemporaryDirectory() as folder:
        select = lambda _, dataset: dataset.subset(range(TRAINED))  # noqa: E731
        trained = pretrain(
            corpus, DOMAIN, NETWORK, KINDS[kind], training, Path(folder) / "run", progress=False, select=select
        )
    spent = time.process_time() - began
    start = NETWORK.build(domain.inputs, seed=derive(seed, "backbone"))
    return np.array(scores(start, domain, data)), np.array(scores(trained.backbone, domain, data)), spent


def interval(gains: np.ndarray) -> str:
    """Mean with the half width of its 90 % t-interval."""
    half = student.ppf(0.95, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return f"{gains.mean():+.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="kind")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    print("| objective | kNN | gain | linear | gain | processor time |\n| --- | --- | --- | --- | --- | --- |")
    for kind in options.kinds:
        runs = [one(kind, seed, options.steps) for seed in range(options.seeds)]
        before, after = (np.array([run[i] for run in runs]) for i in (0, 1))
        knn, linear = (interval(after[:, i] - before[:, i]) for i in (0, 1))
        means, seconds = after.mean(0), np.mean([run[2] for run in runs])
        print(f"| {kind} | {means[0]:.3f} | {knn} | {means[1]:.3f} | {linear} | {seconds:.1f} s |", flush=True)
    print(f"untrained: kNN {before.mean(0)[0]:.3f}, linear {before.mean(0)[1]:.3f}")


if __name__ == "__main__":
    main()
