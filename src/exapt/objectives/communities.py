"""Predict which community a node belongs to: communities of the unlabelled graph, or clusters of its features.

You et al. 2020 (arXiv 2006.09136) and Sun et al. 2020 (M3S, arXiv 1902.11038) pre-train on such pseudo-labels, as
DeepCluster does for pictures (Caron et al. 2018, arXiv 1807.05520). Shapes: N nodes owned by examples, C communities.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.domains.graph_store import GraphStore
from exapt.errors import InputError
from exapt.objectives.base import Loss, Objective, PretextSpec
from exapt.objectives.cross_entropy import plain_cross_entropy
from exapt.objectives.finding import find_communities
from exapt.objectives.guess import Guess
from exapt.objectives.infomax import check_graph


class CommunitiesSpec(PretextSpec):
    """Find communities in the unlabelled graph, or clusters of its features, and predict each node's."""

    kind: Literal["communities"] = "communities"
    by: Literal["louvain", "greedy", "spectral", "clusters"] = "louvain"
    """What is predicted. `louvain` (Blondel et al. 2008) and `greedy` (Clauset et al. 2004): communities of the edges
    alone, as many as there are; `spectral` (Amini et al. 2013): `count` of them; `clusters`: k-means of the features
    averaged with those of the neighbours."""
    count: PositiveInt = 10
    """How many communities `spectral` and `clusters` look for."""
    resolution: float = Field(default=1.0, gt=0)
    """Louvain and greedy: above 1 more and smaller communities."""
    smoothing: int = Field(default=2, ge=0)
    """Clusters: how often features are averaged with the neighbours' before."""
    smallest: PositiveInt = 10
    """Nodes of smaller communities have nothing to predict: in a graph that falls apart they say little."""
    seed: int = 0
    """Decides the order in which nodes are looked at, and where clusters start."""
    classes: PositiveInt | None = Field(default=None)
    """How many communities were found; written out by a run."""

    @property
    def target(self) -> str:
        """The name of the target, so that several such objectives stand side by side."""
        how = {"clusters": f"{self.count}-{self.smoothing}", "spectral": f"{self.count}"}.get(
            self.by, f"{self.resolution:g}"
        )
        return f"communities {self.by} {how} {self.smallest} {self.seed}"

    def settled(self, dataset: Dataset, domain: Domain) -> Self:
        """With the number of communities that are large enough; raises `InputError` where fewer than two are."""
        check_graph(domain, "communities")
        found = int(self.found(dataset).max(initial=-1)) + 1
        if found < 2:
            raise InputError(
                f"{dataset.source}: objective.by={self.by} found {found} communities of {self.smallest} or more nodes, "
                "and predicting needs two; lower objective.smallest, or raise objective.resolution or objective.count"
            )
        return self.model_copy(update={"classes": found})

    def attach(self, dataset: Dataset, domain: Domain) -> Dataset:
        """The corpus with each node's community as a target, −1 where it has none."""
        check_graph(domain, "communities")
        numbers = self.found(dataset)[dataset.rows]
        return replace(dataset, targets={**dataset.targets, self.target: numbers})

    def found(self, dataset: Dataset) -> np.ndarray:
        """(n,) the community of every node of the store, the largest first, −1 in those that are too small."""
        store = dataset.store
        if not isinstance(store, GraphStore) or store.bounds is not None:
            raise InputError(
                f"{dataset.source}: objective.kind=communities predicts the communities of one graph's nodes, and "
                "these are many graphs; valid: domain.level=node, or objective.kind=rebuild, infomax"
            )
        if self.target not in store.kept:
            numbers = find_communities(
                store, self.by, count=self.count, resolution=self.resolution, smoothing=self.smoothing, seed=self.seed
            )
            store.kept[self.target] = by_size(numbers, self.smallest)
        return np.asarray(store.kept[self.target])

    def build(self, domain: Domain, backbone: Backbone, seed: int | None = None) -> Communities:
        """The objective; raises `InputError` before `settled` knows how many communities there are."""
        check_graph(domain, "communities")
        if self.classes is None:
            raise InputError(
                "objective.classes: the number of communities follows from a corpus; valid: settled(corpus)"
            )
        return Communities(self, backbone.width, self.classes, seed)


class Communities(Objective):
    """Cross entropy of a linear layer over the nodes whose community is large enough."""

    def __init__(self, spec: CommunitiesSpec, width: int, classes: int, seed: int | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.out = nn.Linear(width, classes)
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        nn.init.xavier_uniform_(self.out.weight, generator=rng)
        nn.init.zeros_(self.out.bias)

    def forward(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Loss:
        logits, target, _ = self._known(backbone, batch)
        loss, correct = plain_cross_entropy(logits, target)
        return Loss(loss, len(target), {"accuracy": correct})

    def guess(self, backbone: Backbone, batch: Batch, rng: torch.Generator) -> Guess:
        logits, target, owner = self._known(backbone, batch)
        return Guess("classes", logits, target, owner)

    def _known(self, backbone: Backbone, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (M, C), communities (M,) and places (M,) of the nodes that have one."""
        target = batch.targets[self.spec.target]
        owner = (target >= 0).nonzero().squeeze(1)
        features = backbone(batch).elements.index_select(0, owner)
        return F.linear(features, self.out.weight, self.out.bias), target[owner], owner


def by_size(numbers: np.ndarray, smallest: int) -> np.ndarray:
    """Communities (n,) numbered anew from the largest; nodes of those with fewer than `smallest` nodes get −1."""
    kinds, place, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    order = np.lexsort([kinds, -sizes])
    rank = np.empty(len(kinds), dtype=np.int64)
    rank[order] = np.arange(len(kinds))
    return np.where(sizes[place] >= smallest, rank[place], -1).astype(np.int64)
