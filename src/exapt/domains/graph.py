"""Graphs: an element is a node. Either the nodes of one graph are the examples, or whole graphs are.

Shapes: N elements of a batch, B examples, F features, E edges, k values an edge carries.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, field_validator

from exapt.batch import Batch, offsets_of
from exapt.domains.base import Arrays, Dataset, Domain, Example, Inputs, Masked, Source, Store
from exapt.domains.graph_classical import of_examples, of_nodes
from exapt.domains.graph_edges import Joined, facts, join
from exapt.domains.graph_features import Describing, NodeFeatures, Scaling, learn_features
from exapt.domains.graph_parts import RawGraphs
from exapt.domains.graph_reading import read_raw
from exapt.domains.graph_store import GraphStore, unpacked
from exapt.domains.graph_tables import Choice
from exapt.domains.graph_views import graph_changes, without_columns, without_edges
from exapt.domains.isomorphism import Graph, colours, kinds_of, once, row_hashes
from exapt.domains.masking import choose
from exapt.domains.pieces import Wanted, as_column, require
from exapt.domains.subtrees import node_colours
from exapt.domains.targets import element_targets_of, targets_of
from exapt.domains.views import Transformation
from exapt.errors import InputError
from exapt.files import write_json
from exapt.spec import Spec

SEVERAL = (
    "also: domain.kind=graph reads one source, whose nodes are described in one way; put all graphs into one file or "
    "folder"
)
ROUNDS = 10
"""Rounds of refinement after which two graphs of the same colours count as one."""
Share = float | list[float]
"""One share for all views, or one for each in turn."""


class GraphSpec(Spec):
    """Graphs: what is an example, what describes a node, and how far a node's surroundings reach."""

    kind: Literal["graph"] = "graph"
    level: Literal["node", "graph"] = "node"
    """Whether each node is an example, seen among its neighbours, or each graph."""
    features: Describing | None = None
    """What describes a node: the file's features and kinds (`given`); its degree, one-hot (`degree`); nothing
    (`constant`); or its number, one-hot (`identity`). None: given where the file has any, else degree."""
    scale: Scaling | None = None
    """`rows`: each node's features over their sum; `columns`: each feature less its mean over the corpus, over its
    deviation; None: rows where all features count something (0, 1, 2, …), else columns."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Columns of a table of nodes that are features; None: all but name, label, split, group and `without`."""
    without: list[str] = []
    """Columns of nodes that are no features, such as a label by another name."""
    nodes: str | None = None
    """The table of nodes beside a list of edges; None: `nodes.csv` (.tsv, .jsonl, .parquet) where there is one."""
    degrees: int = Field(default=32, ge=1, le=4096)
    """The largest degree with a feature of its own; larger ones share it."""
    directed: bool = False
    """Whether edges keep their direction, so that a node sees only those that point at it; False: both ways."""
    self_loops: bool = False
    """Whether an edge from a node to itself is kept; backbones add their own where they need one."""
    edge_values: bool = False
    """Whether what edges carry (weights, kinds of bonds) is given to the backbone."""
    neighbours: list[int] | None = Field(default=None, min_length=1)
    """Training at level node: how many neighbours are drawn at each hop, −1 for all; None: the whole graph."""
    evaluation: Literal["all", "drawn"] = "all"
    """Outside training: all neighbours within as many hops as `neighbours` has, or as few as it says, the same each
    time."""
    drop_edges: Share = 0.3
    """Share of edges that a view leaves out."""
    hide_features: Share = 0.3
    """Share of features that a view hides in all nodes."""
    smoothing: int = Field(default=2, ge=0, le=64)
    """How often the classical baseline averages a node with its neighbours before its linear model (SGC)."""

    @field_validator("neighbours")
    @classmethod
    def _counts(cls, fans: list[int] | None) -> list[int] | None:
        for fan in fans or ():
            if fan < 1 and fan != -1:
                raise ValueError(f"{fan} neighbours at a hop; valid: 1, 2, …, or -1 for all")
        return fans

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> GraphDomain:
        """Learn from a corpus how nodes are described and scaled."""
        if corpus is None:
            raise InputError("domain graph: what describes a node is learnt from a corpus; give one")
        if isinstance(corpus, Source) and corpus.also:
            raise InputError(SEVERAL)
        raw = read_raw(corpus, self.choice(corpus, self.columns))
        joined = self.join(raw)
        learnt = learn_features(raw, joined.links, self.features, self.scale, self.degrees)
        carried = 0 if joined.links.values is None else joined.links.values.shape[1]
        longest = 1 if self.level == "node" else int(np.diff(raw.bounds).max())
        return GraphDomain(self, learnt, carried, longest, facts(joined.links, raw.bounds))

    def restore(self, folder: Path, learned: dict[str, Any]) -> GraphDomain:
        """The domain that was saved in a folder."""
        return GraphDomain(
            self, NodeFeatures(**learned["features"]), learned["carried"], learned["longest"], learned["corpus"]
        )

    def choice(self, source: Source | Arrays, columns: Sequence[str] | None) -> Choice:
        """Which columns of nodes are features."""
        return Choice(columns, self.without, self.nodes, Wanted.of(source, ()).others)

    def join(self, raw: RawGraphs) -> Joined:
        """The edges of a file as messages run along them."""
        return join(raw, self.directed, self.self_loops, self.edge_values)


class GraphDomain(Domain):
    """Graphs with their nodes described in one way."""

    baseline: ClassVar[str] = "features averaged over neighbours (SGC), or counts of neighbourhoods (WL)"

    def __init__(
        self, spec: GraphSpec, features: NodeFeatures, carried: int, longest: int, corpus: dict[str, int]
    ) -> None:
        self.spec: GraphSpec = spec
        self.features, self.carried, self.longest, self.corpus = features, carried, longest, corpus
        self.inputs = Inputs("nodes", features=features.width, edge_features=carried, length=longest)

    @property
    def transductive(self) -> bool:
        return self.spec.level == "node"

    def end_to_end(self, stores: Sequence[Store]) -> Store:
        """Refused: a node's neighbours are known within one source, and its features are learnt from it."""
        raise InputError(SEVERAL)

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        """Every node or every graph; isolated nodes stay. Raises `InputError` for other features than the corpus's."""
        names = self.features.names
        for name in Wanted.of(source, ()).others:
            if name in names:
                raise InputError(
                    f"{source.path}: '{name}' is named as label, group or split, and the domain takes it as a feature; "
                    f"set domain.without=[{name}]"
                )
        raw = read_raw(source, self.spec.choice(source, names or None))
        joined = self.spec.join(raw)
        carried = 0 if joined.links.values is None else joined.links.values.shape[1]
        if carried != self.carried:
            raise InputError(f"{raw.path}: edges carry {carried} values, the domain's {self.carried}")
        bounds = None if self.spec.level == "node" else raw.bounds
        store = GraphStore(self.features.of(raw, joined.links), joined.links, bounds)
        limit = source.limit if isinstance(source, Source) else None
        rows = np.arange(len(store) if limit is None else min(limit, len(store)))
        columns = {name: as_column(column[rows].tolist()) for name, column in self._columns(raw, source).items()}
        skipped = {**raw.skipped, **joined.skipped}
        roles = Wanted.of(source, ()).roles
        return Dataset(store, rows, columns, source=raw.path, skipped=skipped, roles=roles)

    def _columns(self, raw: RawGraphs, source: Source | Arrays) -> dict[str, np.ndarray]:
        """The columns asked for, and the label that the file itself names."""
        there = raw.columns if self.spec.level == "node" else raw.whole
        asked = Wanted.of(source, ()).others
        for name in asked:
            require(name, there, raw.path)
        return {name: there[name] for name in dict.fromkeys(["label", *asked]) if name in there}

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Whole graphs, or nodes with all neighbours: the whole graph, or those within the hops of `neighbours`."""
        return self._collate(examples, training=False)

    def collate_training(self, examples: Sequence[Example]) -> Batch:
        """As `collate`, with neighbours drawn where `neighbours` says so. The draw follows from the batch's nodes in
        their order, so that it is the same wherever a run resumes, and another in every shuffled pass."""
        return self._collate(examples, training=True)

    def _collate(self, examples: Sequence[Example], training: bool) -> Batch:
        if self.spec.level == "graph" or not examples:
            return self._graphs(examples)
        store = examples[0].store
        if not isinstance(store, GraphStore) or any(e.store is not store for e in examples):
            raise InputError("domain graph: the nodes of a batch must be of one graph; read both parts from one file")
        owned = np.array([int(e.inputs[0]) for e in examples], dtype=np.int64)
        return self._nodes(store, owned, examples, zlib.crc32(owned.tobytes()) + 1 if training else 0)

    def _nodes(self, store: GraphStore, owned: np.ndarray, examples: Sequence[Example], salt: int) -> Batch:
        """Nodes first, their surroundings after them."""
        fans = tuple(self.spec.neighbours or ())
        if not salt and self.spec.evaluation == "all":
            fans = (-1,) * len(fans)
        around = store.links.within(owned, fans, salt) if fans else store.links.whole(owned)
        values = None if store.links.values is None else torch.from_numpy(store.links.values[around.slots])
        return Batch(
            inputs=torch.from_numpy(store.rows(around.nodes)),
            offsets=torch.arange(len(owned) + 1),
            edges=torch.from_numpy(around.edges),
            edge_inputs=values,
            linked=True,
            targets=targets_of(examples),
            element_targets=element_targets_of(examples, [1] * len(owned), 0),
            index=torch.tensor([example.index for example in examples], dtype=torch.long),
        )

    def _graphs(self, examples: Sequence[Example]) -> Batch:
        """Graphs end to end."""
        graphs = [unpacked(np.asarray(e.inputs)) for e in examples]
        counts = [len(graph.features) for graph in graphs]
        offsets = offsets_of(torch.tensor(counts, dtype=torch.long))
        edges = [torch.from_numpy(g.edges) + int(first) for g, first in zip(graphs, offsets[:-1], strict=True)]
        features = [torch.from_numpy(g.features.reshape(len(g.features), self.inputs.features)) for g in graphs]
        values = [torch.from_numpy(g.values.reshape(-1, self.carried)) for g in graphs] if self.carried else []
        return Batch(
            inputs=torch.cat([torch.zeros(0, self.inputs.features), *features]),
            offsets=offsets,
            edges=torch.cat([torch.zeros(2, 0, dtype=torch.long), *edges], dim=1),
            edge_inputs=torch.cat([torch.zeros(0, self.carried), *values]) if self.carried else None,
            targets=targets_of(examples),
            element_targets=element_targets_of(examples, counts, 0),
            index=torch.tensor([example.index for example in examples], dtype=torch.long),
        )

    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        """Hide the features of a share of nodes: of each graph, or of all nodes that the batch's examples own.

        Hidden features are zeros, for an objective to put its own sign there; the target is what they were (M, F)
        (Hou et al. 2022, GraphMAE, §3.1).
        """
        count = int(batch.offsets[-1])
        whole = torch.tensor([0, count]) if batch.linked else batch.offsets
        where = choose(torch.ones(count, dtype=torch.bool, device=batch.inputs.device), whole, ratio, rng)
        hidden = batch.inputs.index_fill(0, where, 0.0)
        return Masked(replace(batch, inputs=hidden), where, batch.inputs[where])

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        """Edges dropped and features hidden, at the shares of each view in turn (Zhu et al. 2020, GRACE, §3.1)."""
        edges, features = _each(self.spec.drop_edges), _each(self.spec.hide_features)
        return [
            without_columns(without_edges(batch, edges[view % len(edges)], rng), features[view % len(features)], rng)
            for view in range(count)
        ]

    def transformations(self) -> list[Transformation]:
        """Edges dropped, features hidden, noise."""
        return graph_changes()

    def canonical(self, inputs: np.ndarray) -> np.ndarray:
        """A node's number; of a graph its nodes' colours in order, the same however its nodes are numbered."""
        return inputs if self.spec.level == "node" else np.sort(colours(self.graph(inputs), ROUNDS)[-1])

    def graph(self, inputs: np.ndarray) -> Graph:
        """A stored graph with a kind for each node, for telling graphs apart."""
        graph = unpacked(np.asarray(inputs))
        return Graph(once(graph.edges, len(graph.features)), kinds_of(*graph))

    def fingerprints(self, example: Example) -> np.ndarray:
        """Colours of a node, or of all nodes of a graph: hashes of what stands within 0, 1, 2 and 3 hops."""
        if self.spec.level == "node":
            if not isinstance(example.store, GraphStore):
                raise InputError("domain graph: a node by itself, without its graph, has no fingerprints")
            return node_colours(example.store, 3)[:, int(example.inputs[0])]
        graph = unpacked(np.asarray(example.inputs))
        return np.unique(colours(Graph(once(graph.edges, len(graph.features)), row_hashes(graph.features)), 3))

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Of nodes: features averaged over neighbours `smoothing` times (SGC). Of graphs: how often each neighbourhood
        of up to so many hops stands in them (Weisfeiler–Lehman), or mean features where these are measured."""
        counted = self.features.scale != "columns"
        return [of_examples(dataset, self.spec.smoothing, counted) for dataset in (train, *others)]

    def classical_raw(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Features of nodes as they are, or their means over each graph: blind to edges."""
        return [of_examples(dataset, 0, counted=False) for dataset in (train, *others)]

    def classical_elements(self, dataset: Dataset) -> Any:
        """Features of every node, averaged over neighbours `smoothing` times."""
        return of_nodes(dataset, self.spec.smoothing)

    def describe(self) -> dict[str, Any]:
        found = {"kind": "graph", "level": self.spec.level, "element": "node", "length": self.longest}
        described = {"features": self.features.width, "described by": self.features.by, "scaled": self.features.scale}
        return found | described | {"directed": self.spec.directed, "corpus": self.corpus}

    def save(self, folder: Path) -> None:
        learned = {"features": self.features._asdict(), "carried": self.carried, "longest": self.longest}
        plain = {"spec": self.spec.plain(), "learned": learned | {"corpus": self.corpus}}
        write_json(folder / "domain.json", plain)


def _each(share: Share) -> list[float]:
    return share if isinstance(share, list) else [share]
