"""Every objective: nearest neighbours and a linear probe against the random network it began as.

    OMP_NUM_THREADS=1 python benchmarks/objectives.py [--seeds 3] [--steps 150] [kind …]
    OMP_NUM_THREADS=1 python benchmarks/objectives.py --data cifar10_12k.npz --seeds 1 --steps 1600 simclr vicreg

1,200 of scikit-learn's digits are trained on without their labels, the other 597 are tested on; with `--data`, an .npz
of small colour pictures x and classes y, all but the last 2,000. Paired differences from the same seed's untrained
network, with 90 % t-intervals over seeds. Every label trained on serves the probe and the neighbours.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from exapt.adaptation.knn import KnnSpec, index, vote
from exapt.backbones import BackboneSpec, ConvNetSpec, TransformerSpec
from exapt.domains import ImageSpec, from_arrays
from exapt.objectives import ByolSpec, MaskedSpec, SigregSpec, SimclrSpec, SimsiamSpec, VicregSpec
from exapt.training.monitor import pooled
from exapt.training.pretrain import pretrain
from exapt.training.seeds import derive
from exapt.training.spec import TrainingSpec

KINDS: dict[str, Any] = {
    "masked": MaskedSpec(ratio=0.6),
    "simclr": SimclrSpec(),
    "vicreg": VicregSpec(),
    "byol": ByolSpec(),
    "simsiam": SimsiamSpec(),
    "sigreg": SigregSpec(slices=64),
}


class Setting(NamedTuple):
    """Pictures with their labels, and how they are learnt."""

    pictures: np.ndarray
    labels: np.ndarray
    trained: int
    domain: ImageSpec
    network: BackboneSpec
    training: dict[str, Any]


def digits() -> Setting:
    """scikit-learn's digits and a transformer of 32 features."""
    pictures, labels = load_digits(return_X_y=True)
    views = {"crop": [0.6, 1.0], "flip": 0, "rotation": 15}
    domain = ImageSpec.parse({"patch": 2, "target": "pixels", "views": views})
    network = TransformerSpec(width=32, depth=2, heads=2)
    training = {"batch": 128, "lr": 4e-3, "precision": "float32"}
    return Setting(pictures.reshape(-1, 8, 8).astype("float32"), labels, 1200, domain, network, training)


def photographs(path: str) -> Setting:
    """A file's pictures and a convnet, with the settings of the study `cifar`."""
    with np.load(path, allow_pickle=False) as file:
        pictures, labels = file["x"], file["y"]
    training = {"batch": 256, "lr": 4e-3, "weight_decay": 0.05, "schedule": {"kind": "cosine", "warmup": 0.1}}
    network = ConvNetSpec(size="micro", norm="batch")
    return Setting(pictures, labels, len(pictures) - 2000, ImageSpec(patch=8), network, training)


def scores(backbone: Any, domain: Any, data: Any, trained: int) -> tuple[float, float]:
    """Accuracy of 20 nearest neighbours and of a linear probe on the pictures not trained on."""
    labels = data.column("label").astype(int)
    with torch.inference_mode():
        features = pooled(backbone.eval(), domain, data)
    scaler = StandardScaler().fit(features[:trained].numpy())
    train, test = (scaler.transform(part.numpy()) for part in (features[:trained], features[trained:]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = LogisticRegression(C=1.0 if trained < 2000 else 0.03, max_iter=300).fit(train, labels[:trained])
    return neighbours(features, labels, trained), float(probe.score(test, labels[trained:]))


def neighbours(features: torch.Tensor, labels: np.ndarray, trained: int, count: int = 20) -> float:
    """Each picture not trained on is what most of its nearest neighbours are, by cosine, weighed as Wu et al. 2018."""
    known = torch.as_tensor(labels)
    wanted = torch.nn.functional.one_hot(known[:trained].long()).float()
    spec = KnnSpec(neighbours=count, temperature=0.1, centre=False)
    votes = vote(index(features[:trained], wanted, spec.centre), features[trained:], "classes", spec)
    return float((votes.argmax(1) == known[trained:]).float().mean())


def one(kind: str, seed: int, steps: int, setting: Setting) -> tuple[np.ndarray, np.ndarray, float]:
    """(kNN, probe) of the network as it began and after pre-training, and processor seconds."""
    corpus = from_arrays(setting.pictures, label=setting.labels)
    domain = setting.domain.build(corpus)
    data = domain.read(corpus)
    began = time.process_time()
    common = {"steps": steps, "holdout": 0, "device": "cpu", "seed": seed, "monitor": {"on": False}}
    training = TrainingSpec.parse(common | setting.training)
    with tempfile.TemporaryDirectory() as folder:
        trained = pretrain(
            corpus,
            setting.domain,
            setting.network,
            KINDS[kind],
            training,
            Path(folder) / "run",
            progress=False,
            select=lambda _, dataset: dataset.subset(range(setting.trained)),
        )
    spent = time.process_time() - began
    start = setting.network.build(domain.inputs, seed=derive(seed, "backbone"))
    before, after = (np.array(scores(net, domain, data, setting.trained)) for net in (start, trained.backbone))
    return before, after, spent


def interval(gains: np.ndarray) -> str:
    """Mean with the half width of its 90 % t-interval; of one seed there is none."""
    if len(gains) < 2:
        return f"{gains.mean():+.3f}"
    half = student.ppf(0.95, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    return f"{gains.mean():+.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="kind")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--data", help="an .npz of pictures x (n, h, w, 3) in bytes and classes y")
    options = parser.parse_args()
    setting = photographs(options.data) if options.data else digits()
    print("| objective | kNN | gain | linear | gain | processor time |\n| --- | --- | --- | --- | --- | --- |")
    for kind in options.kinds:
        runs = [one(kind, seed, options.steps, setting) for seed in range(options.seeds)]
        before, after = (np.array([run[i] for run in runs]) for i in (0, 1))
        knn, linear = (interval(after[:, i] - before[:, i]) for i in (0, 1))
        means, seconds = after.mean(0), np.mean([run[2] for run in runs])
        print(f"| {kind} | {means[0]:.3f} | {knn} | {means[1]:.3f} | {linear} | {seconds:.1f} s |", flush=True)
    print(f"untrained: kNN {before.mean(0)[0]:.3f}, linear {before.mean(0)[1]:.3f}")


if __name__ == "__main__":
    main()
