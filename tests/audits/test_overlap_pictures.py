"""Pictures against plain cosine sums and plain correlation; graphs against renumbering and networkx."""

import numpy as np
import pytest

from exapt.audits.contamination_trials import _smooth
from exapt.audits.overlap import Graph, overlap_graphs, overlap_pictures
from exapt.audits.overlap.graphs import colours, graph_hash, similarity
from exapt.audits.overlap.pictures import LOW, SIDE, centred, phash


def pictures(seed=0, count=20):
    return _smooth(np.random.default_rng(seed), count)


def naive_phash(picture):
    """The cosine sums written out."""
    at = np.arange(SIDE)
    low = np.array(
        [
            [
                (picture * np.outer(*(np.cos(np.pi * k * (2 * at + 1) / (2 * SIDE)) for k in (u, v)))).sum()
                for v in range(LOW)
            ]
            for u in range(LOW)
        ]
    )
    bits = (low > np.median(low)).ravel()
    return sum(1 << (63 - i) for i, bit in enumerate(bits) if bit)


def test_hashes_are_those_of_plain_cosine_sums():
    grey = np.random.default_rng(0).uniform(0, 255, (5, SIDE, SIDE))
    assert phash(grey).tolist() == [naive_phash(picture) for picture in grey]


def test_products_are_correlations_and_even_pictures_have_none():
    grey = np.random.default_rng(0).uniform(0, 255, (3, SIDE, SIDE)).astype(np.float32)
    vectors = centred(np.concatenate([grey, np.full((1, SIDE, SIDE), 7, np.float32)]))
    assert vectors[0] @ vectors[1] == pytest.approx(np.corrcoef(grey[0].ravel(), grey[1].ravel())[0, 1], abs=1e-5)
    assert not vectors[3].any()


def test_copies_are_found_brighter_smaller_mirrored_and_grey():
    originals = pictures()
    brighter = np.clip(0.7 * originals[0] + 50, 0, 255).astype(np.uint8)
    larger = originals[1].repeat(3, axis=0).repeat(3, axis=1)
    mirrored = originals[2][:, ::-1]
    grey = originals[3].mean(axis=2).astype(np.uint8)
    found = overlap_pictures([*pictures(1, 30), brighter, larger, mirrored, grey], list(originals))
    assert found.twin[:4].tolist() == [30, 31, 32, 33]
    assert (found.twin[4:] == -1).all()
    assert found.reverse[:4].tolist() == [False, False, True, False]
    assert (found.score[:4] > 0.95).all() and not found.undecidable.any()
    without = overlap_pictures([mirrored], list(originals), mirrored=False)
    assert without.twin[2] == -1


def test_tiny_pictures_are_compared_by_correlation_alone():
    rng = np.random.default_rng(0)
    tiny = rng.uniform(0, 16, (30, 8, 8))
    found = overlap_pictures([*rng.uniform(0, 16, (50, 8, 8)), tiny[4]], list(tiny))
    assert found.facts["by"] == "correlation alone"
    assert np.flatnonzero(found.twin >= 0).tolist() == [4] and found.twin[4] == 50


def test_an_even_picture_is_undecidable():
    found = overlap_pictures([np.zeros((32, 32))], [np.zeros((32, 32)), pictures()[0]])
    assert found.undecidable.tolist() == [True, False] and not found.score.any()


def ring(n, kinds=None):
    return Graph(np.stack([np.arange(n), (np.arange(n) + 1) % n]), np.zeros(n, int) if kinds is None else kinds)


def renumbered(graph, rng):
    order = rng.permutation(len(graph.kinds))
    place = np.argsort(order)
    edges = place[graph.edges][:, rng.permutation(graph.edges.shape[1])]
    turned = np.where(rng.random(edges.shape[1]) < 0.5, edges, edges[::-1])
    return Graph(turned, graph.kinds[order])


def random_graph(rng, n=12):
    pairs = np.array([(i, j) for i in range(n) for j in range(i) if rng.random() < 0.25]).T.reshape(2, -1)
    return Graph(pairs, rng.integers(0, 3, n))


def test_a_graph_is_found_however_its_nodes_are_numbered():
    rng = np.random.default_rng(0)
    graphs = [random_graph(rng) for _ in range(20)]
    corpus = [random_graph(rng) for _ in range(30)] + [renumbered(graph, rng) for graph in graphs[:5]]
    found = overlap_graphs(corpus, graphs)
    assert found.twin[:5].tolist() == [30, 31, 32, 33, 34] and (found.twin[5:] == -1).all()
    assert similarity(colours(graphs[0]), colours(corpus[30])) == 1.0
    assert similarity(colours(graphs[0]), colours(graphs[1])) < 0.7
    assert graph_hash(ring(6)) != graph_hash(ring(7)) and graph_hash(ring(6)) != graph_hash(ring(6, np.arange(6)))


def test_hashes_agree_with_isomorphism_of_small_random_graphs():
    networkx = pytest.importorskip("networkx")
    rng = np.random.default_rng(1)
    graphs = [random_graph(rng, 5) for _ in range(60)]

    def drawn(graph):
        one = networkx.Graph()
        one.add_nodes_from((i, {"kind": int(k)}) for i, k in enumerate(graph.kinds))
        one.add_edges_from(graph.edges.T.tolist())
        return one

    nx = [drawn(g) for g in graphs]
    equal = networkx.algorithms.isomorphism.categorical_node_match("kind", 0)
    for i in range(60):
        for j in range(i):
            if networkx.is_isomorphic(nx[i], nx[j], node_match=equal):
                assert graph_hash(graphs[i]) == graph_hash(graphs[j])
            elif graphs[i].edges.shape == graphs[j].edges.shape:
                assert graph_hash(graphs[i]) != graph_hash(graphs[j]) or networkx.faster_could_be_isomorphic(
                    nx[i], nx[j]
                )
