"""Whole graphs told apart by what a network learnt without labels: ten folds, as the field's tables are made.

    OMP_NUM_THREADS=1 python benchmarks/graph_classification.py PATH [epochs=10] [graphs]

PATH is a TU set or a file in DGCNN's format, such as PROTEINS.txt.gz. A GIN rebuilds hidden nodes of all graphs
(GraphMAE), and logistic regression on its pooled features is scored on ten stratified folds, beside the same network
with random weights, the counts of neighbourhoods (Weisfeiler-Lehman subtrees) and the mean features. The penalty is
chosen inside each training part by three more folds. Printed are means with 90 % t-intervals over folds, which share
training graphs, so that the intervals are too narrow for a claim. Equal graphs are not taken out, as tables have it.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from exapt.adaptation.features import embed
from exapt.backbones import GraphNet, GraphNetSpec
from exapt.domains import GraphDomain, GraphSpec
from exapt.domains.base import Dataset, Source
from exapt.objectives import RebuildSpec
from exapt.training.batches import Batches
from exapt.training.loop import train
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

NETWORK = GraphNetSpec(conv="gin", width=64, depth=3, norm="batch")


def folds(features: Any, labels: np.ndarray, scaler: Any) -> list[float]:
    """Accuracy on each of ten folds."""
    scores = []
    for known, hidden in StratifiedKFold(10, shuffle=True, random_state=0).split(np.zeros(len(labels)), labels):
        scale = scaler().fit(features[known])
        model = LogisticRegressionCV(Cs=np.logspace(-3, 1, 5), cv=3, max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(scale.transform(features[known]), labels[known])
        scores.append(float((model.predict(scale.transform(features[hidden])) == labels[hidden]).mean()))
    return scores


def pretrained(domain: GraphDomain, dataset: Dataset, epochs: int) -> GraphNet:
    """A network that rebuilt hidden nodes."""
    net = NETWORK.build(domain.inputs, seed=0)
    spec = TrainingSpec(epochs=epochs, batch=32, lr=1e-3, weight_decay=0.0, holdout=0, device="cpu")
    objective = RebuildSpec(gamma=1.0, replaced=0.0).build(domain, net, seed=0)
    train(Pretraining(net, objective), Batches(dataset, domain.collate, batch=32), spec, progress=False)
    return net


def line(name: str, scores: list[float], seconds: float) -> None:
    half = student.ppf(0.95, len(scores) - 1) * np.std(scores, ddof=1) / len(scores) ** 0.5
    print(f"{name:<14}{np.mean(scores):.3f} ± {half:.3f}{seconds:>7.0f} s", flush=True)


def main() -> int:
    torch.set_num_threads(1)
    epochs, limit = int((sys.argv[2:] or ["10"])[0]), int(sys.argv[3]) if len(sys.argv) > 3 else None
    source = Source(path=sys.argv[1], label="label", limit=limit)
    domain = GraphSpec(level="graph").build(source)
    dataset = domain.read(source)
    labels = np.unique(dataset.columns["label"], return_inverse=True)[1]
    print(f"{len(labels)} graphs, the commonest class {np.bincount(labels).max() / len(labels):.3f}")
    for name, hops in (("mean features", None), ("subtrees (WL)", 2)):
        spec = domain.spec.model_copy(update={"smoothing": hops or 0})
        plain = GraphDomain(spec, domain.features, domain.carried, domain.longest, domain.corpus)
        line(name, folds(plain.classical(dataset)[0], labels, MaxAbsScaler), 0)
    for name in ("random", "rebuild"):
        began = time.process_time()
        net = NETWORK.build(domain.inputs, seed=0) if name == "random" else pretrained(domain, dataset, epochs)
        seconds = time.process_time() - began
        features = embed(net, domain, dataset, "mean+max")
        line(name, folds(features, labels, StandardScaler), seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
