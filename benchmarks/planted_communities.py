"""Planted communities found again: k-means on a node's numbers, on random and on trained features.

    OMP_NUM_THREADS=1 python benchmarks/planted_communities.py [graphs=10]

Ten drawn graphs of 800 nodes in 4 communities with 8 noisy numbers a node, as in `exapt run communities`, and Zachary's
karate club with networks of ten seeds. The network learns which of Louvain's communities a node is in, and never sees
the planted ones. Printed are means with 90 % t-intervals of the normalised mutual information (NMI) and the adjusted
Rand index (ARI) with the planted communities. Fails where trained features are not above random ones by both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import t as student
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from exapt.adaptation.features import embed
from exapt.backbones import GraphNetSpec
from exapt.domains import GraphSpec
from exapt.domains.base import Source
from exapt.objectives import CommunitiesSpec
from exapt.objectives.finding import find_communities
from exapt.training.batches import Batches
from exapt.training.loop import train
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining

DRAWN = "sbm:nodes=800,communities=4,inside=0.03,outside=0.006,features=8,signal=0.5,seed={seed}"
NETWORK = GraphNetSpec(width=64, depth=2)


def judged(rows: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """NMI and ARI of k-means on standardised rows."""
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-12)
    return compared(KMeans(len(np.unique(labels)), n_init=10, random_state=0).fit_predict(rows), labels)


def compared(found: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    return float(normalized_mutual_info_score(labels, found)), float(adjusted_rand_score(labels, found))


def look(path: str, spec: GraphSpec, seed: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """What each kind of features comes to on one graph."""
    source = Source(path=path, label="label")
    domain = spec.build(source)
    dataset = domain.read(source)
    labels = np.unique(dataset.columns["label"], return_inverse=True)[1]
    objective = CommunitiesSpec(smallest=2, seed=seed).settled(dataset, domain)
    corpus = objective.attach(dataset, domain)
    net = NETWORK.build(domain.inputs, seed=seed)
    yield "own numbers", judged(domain.collate([dataset[i] for i in range(len(dataset))]).inputs.numpy(), labels)
    yield "random network", judged(embed(net, domain, dataset), labels)
    training = TrainingSpec(steps=60, batch=len(corpus), lr=0.005, holdout=0, seed=seed, device="cpu")
    model = Pretraining(net, objective.build(domain, net, seed=seed))
    train(model, Batches(corpus, domain.collate, batch=len(corpus)), training, progress=False)
    yield "communities", judged(embed(net, domain, dataset), labels)
    yield "Louvain itself", compared(find_communities(dataset.store, "louvain", seed=seed), labels)  # type: ignore[arg-type]


def said(values: list[float]) -> str:
    half = student.ppf(0.95, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):.3f} ± {half:.3f}"


def main() -> int:
    torch.set_num_threads(1)
    times, worse = int((sys.argv[1:] or ["10"])[0]), False
    for name, path, spec in (
        ("drawn", DRAWN, GraphSpec()),
        ("karate", "networkx:karate", GraphSpec(features="identity")),
    ):
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(times):
            for kind, pair in look(path.format(seed=seed), spec, seed):
                found.setdefault(kind, []).append(pair)
        for kind, pairs in found.items():
            nmi, ari = ([pair[i] for pair in pairs] for i in (0, 1))
            print(f"{name:<8}{kind:<16}NMI {said(nmi)}   ARI {said(ari)}", flush=True)
        means = {kind: np.mean(pairs, axis=0) for kind, pairs in found.items()}
        worse = worse or bool((means["communities"] <= means["random network"]).any())
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
