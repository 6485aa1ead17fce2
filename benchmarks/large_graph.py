"""A graph of a million nodes: what it takes to read it, and how fast batches with drawn neighbours come.

    OMP_NUM_THREADS=1 python benchmarks/large_graph.py [NODES] [EDGES]

Seconds are of processor time on one core. The graph has planted communities and 16 numbers a node; batches hold 1024
nodes with 10 neighbours of each and 5 of each of those. Fails where a batch is beyond its bound of nodes, or making
it takes more memory than twice its own size and 32 bytes for each node of the graph.
"""

from __future__ import annotations

import resource
import sys
import time
import tracemalloc

import numpy as np

from exapt.domains import Dataset, GraphDomain, GraphSpec, Source

BATCH, FANS, BATCHES = 1024, [10, 5], 50
COMMUNITIES, FEATURES = 100, 16


def described(nodes: int, edges: int) -> str:
    """A block model of about so many edges, three quarters of them inside communities."""
    size = nodes // COMMUNITIES
    inside = 0.75 * edges / (COMMUNITIES * size * (size - 1) / 2)
    outside = 0.25 * edges / (nodes * (nodes - size) / 2)
    return f"sbm:nodes={nodes},communities={COMMUNITIES},inside={inside},outside={outside},features={FEATURES}"


def peak() -> float:
    """MiB of memory this process has needed at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def batches(domain: GraphDomain, dataset: Dataset, training: bool) -> tuple[float, int]:
    """Seconds for all batches, and the most nodes that one held."""
    rng = np.random.default_rng(0)
    collate = domain.collate_training if training else domain.collate
    began, largest = time.process_time(), 0
    for _ in range(BATCHES):
        places = rng.choice(len(dataset), BATCH, replace=False)
        largest = max(largest, len(collate([dataset[int(place)] for place in places]).inputs))
    return time.process_time() - began, largest


def memory(domain: GraphDomain, dataset: Dataset) -> tuple[float, float]:
    """MiB of one batch, and of all that making it holds at its peak."""
    examples = [dataset[int(place)] for place in np.random.default_rng(1).choice(len(dataset), BATCH, replace=False)]
    tracemalloc.start()
    batch = domain.collate_training(examples)
    needed = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert batch.edges is not None
    return (batch.inputs.nbytes + batch.edges.nbytes) / 2**20, needed


def main() -> None:
    nodes, edges = (int(float(word)) for word in (sys.argv[1:] + ["1e6", "1e7"][len(sys.argv) - 1 :]))
    source = Source(path=described(nodes, edges))
    empty = peak()
    began = time.process_time()
    domain = GraphSpec(neighbours=FANS, evaluation="drawn").build(source)
    dataset = domain.read(source)
    links = dataset.store.links  # type: ignore[attr-defined]
    held = (links.sources.nbytes + links.starts.nbytes + dataset.store.features.nbytes) / 2**20  # type: ignore[attr-defined]
    print(f"{nodes:,} nodes, {len(links.sources) // 2:,} edges, {domain.corpus['components']} components")
    print(f"drawn and read twice (domain, data set) in {time.process_time() - began:.0f} s")
    print(f"the store holds {held:.0f} MiB; peak while reading {peak() - empty:.0f} MiB over {empty:.0f}")
    for training in (True, False):
        seconds, largest = batches(domain, dataset, training)
        bound = BATCH * (1 + FANS[0] + FANS[0] * FANS[1])
        what = "training" if training else "evaluation"
        rate = BATCH * BATCHES / seconds
        print(f"{what}: {rate:,.0f} nodes/s, {1000 * seconds / BATCHES:.1f} ms a batch, {largest:,} of {bound:,} nodes")
        assert largest <= bound
    size, needed = memory(domain, dataset)
    print(f"a batch takes {size:.0f} MiB, and making it {needed:.0f} MiB at its peak")
    assert needed <= 2 * size + 32 * nodes / 2**20


if __name__ == "__main__":
    main()
