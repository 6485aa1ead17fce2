"""Graphs from every kind of file, and each mistake in one with its message."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx
import numpy as np
import pytest
import scipy.sparse as sp

from exapt.domains import Arrays, Dataset, GraphSpec, Source, from_arrays
from exapt.domains.graph_store import GraphStore
from exapt.errors import InputError
from exapt.tasks import ClassifySpec


def read(path: object, spec: dict[str, Any] | None = None, **keys: Any) -> Dataset:
    source = path if isinstance(path, Arrays) else Source(path=str(path), **keys)
    return GraphSpec(**(spec or {})).build(source).read(source)


def store(dataset: Dataset) -> GraphStore:
    assert isinstance(dataset.store, GraphStore)
    return dataset.store


def joined(dataset: Dataset) -> set[tuple[int, int]]:
    """Each pair of joined nodes once."""
    return {(a, b) for a, b in store(dataset).links.edges.T.tolist() if a <= b}


def npz(path: Path, **changes: Any) -> Path:
    """A path of four nodes, three of them with features."""
    adjacency = sp.csr_matrix(np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], np.float32))
    features = sp.csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 2], [0, 0, 0]], np.float32))
    arrays: dict[str, Any] = {}
    for name, matrix in (("adj", adjacency), ("attr", features)):
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
        arrays |= {f"{name}_{part}": np.array(value) for part, value in parts.items()}
    arrays |= {"labels": np.array([1, 0, -1, 1]), "class_names": np.array(["even", "odd"])}
    arrays |= {"node_names": np.array(list("abcd")), "year": np.array([1990, 1991, 1992, 1993])} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_npz_in_coras_layout(tmp_path: Path) -> None:
    dataset = read(npz(tmp_path / "a.npz"), label="label", group="year")
    assert joined(dataset) == {(0, 1), (1, 2), (2, 3)}
    assert dataset.column("label").tolist() == ["odd", "even", "", "odd"]
    assert dataset.column("year").tolist() == [1990, 1991, 1992, 1993]
    assert sp.issparse(store(dataset).features)
    assert store(dataset).features.toarray().tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    task = ClassifySpec(missing="ignore").build(dataset)
    assert task.labelled(task.attach(dataset)).tolist() == [True, True, False, True]
    again = read(npz(tmp_path / "b.npz"), label="label", group="year")
    assert again.fingerprint() == dataset.fingerprint()
    moved = read(npz(tmp_path / "c.npz", attr_data=np.array([1, 1, 1, 3], np.float32)), label="label", group="year")
    assert moved.fingerprint() == dataset.fingerprint()  # one feature a row: its share is 1 whatever it counts
    plain = read(npz(tmp_path / "d.npz", class_names=None), label="label", group="year")
    assert plain.column("label").tolist()[:2] == [1, 0]
    assert np.isnan(plain.column("label")[2])


def test_npz_with_masks_weights_and_dense_features(tmp_path: Path) -> None:
    masks = {f"{part}_mask": np.arange(4) == i for i, part in enumerate(("train", "val", "test"))}
    changes = {"attr_data": None, "attr_indices": None, "attr_indptr": None, "attr_shape": None}
    dense = {"attr_matrix": np.random.default_rng(0).normal(size=(4, 2)), "adj_data": np.array([0.5, 1, 2])}
    path = npz(tmp_path / "a.npz", **changes, **dense, **masks)
    dataset = read(path, {"edge_values": True}, label="label", split="split")
    assert dataset.column("split").tolist() == ["train", "valid", "test", ""]
    assert store(dataset).links.values is not None
    assert sorted(store(dataset).links.values[:, 0].tolist()) == [0.5, 0.5, 1, 1, 2, 2]  # type: ignore[index]
    limited = read(path, label="label", limit=2)
    assert len(limited) == 2
    assert len(store(limited)) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adj_shape": np.array([4, 5])}, "the adjacency is 4 × 5; it must be square"),
        ({"adj_indices": np.array([1, 2, 9])}, r"adj_\* is no matrix in compressed rows"),
        ({"adj_indptr": None}, "adj_indptr is missing beside adj_data"),
        ({"labels": np.array([0, 1])}, r"4 nodes but labels of shape \(2,\); expected \(4,\)"),
        ({"labels": np.array([0, 1, 7, 0])}, "label 7, but class_names holds 2"),
        ({"attr_shape": np.array([5, 3])}, r"attr_\* is no matrix|4 nodes but 5 rows of features"),
        ({"attr_data": np.array([1, np.nan, 1, 1])}, "node a has a feature that is missing or no finite number"),
        ({f"adj_{p}": None for p in ("data", "indices", "indptr", "shape")}, "no adjacency; expected adj_data"),
    ],
)
def test_mistakes_in_npz(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read(npz(tmp_path / "a.npz", **changes))
    assert "a.npz" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_npz_never_unpickles(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", metadata=np.array([{"a": 1}], dtype=object))
    assert len(read(path)) == 4
    (tmp_path / "b.npz").write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match=r"b.npz: not a .npz file"):
        read(tmp_path / "b.npz")


def folder(path: Path, edges: str, nodes: str | None = None, graphs: str | None = None) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in (("edges", edges), ("nodes", nodes), ("graphs", graphs)):
        if text is not None:
            (path / f"{name}.csv").write_text(text)
    return path


NODES = "id,x,y2,label,split\na,1.5,0,red,train\nb,2,1,blue,test\nc,0.5,1,,train\nd,1,1,red,test\n"


def test_edges_and_nodes_in_tables(tmp_path: Path) -> None:
    where = folder(tmp_path / "g", "source,target,weight\na,b,2\nc,b,3\n", NODES)
    dataset = read(where, {"scale": "none", "edge_values": True}, label="label", split="split")
    assert joined(dataset) == {(0, 1), (1, 2)}
    assert store(dataset).features.tolist() == [[1.5, 0], [2, 1], [0.5, 1], [1, 1]]
    assert dataset.column("label").tolist() == ["red", "blue", "", "red"]
    assert dataset.column("split").tolist() == ["train", "test", "train", "test"]
    domain = GraphSpec().build(Source(path=str(where)))
    assert domain.features.names == ["x", "y2"]
    assert domain.describe()["corpus"]["isolated nodes"] == 1
    by_file = read(where / "edges.csv", {"columns": ["x"], "scale": "none"})
    assert store(by_file).features.tolist() == [[1.5], [2], [0.5], [1]]
    headless = folder(tmp_path / "h", "a,b\nc,b\n", NODES)
    assert joined(read(headless)) == {(0, 1), (1, 2)}


def test_a_table_of_nodes_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "cites.tsv").write_text("source\ttarget\n7\t8\n")
    (tmp_path / "papers.jsonl").write_text('{"id": 8, "x": 1}\n{"id": 7, "x": 2}\n')
    dataset = read(tmp_path / "cites.tsv", {"nodes": "papers.jsonl", "scale": "none"})
    assert store(dataset).features.tolist() == [[1], [2]]
    with pytest.raises(InputError, match=r"no file 'people.csv' beside it"):
        read(tmp_path / "cites.tsv", {"nodes": "people.csv"})


def test_edge_lists_alone(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("# a comment\n10 2\n2 30\n2 2\n")
    dataset = read(tmp_path / "e.txt")
    assert joined(dataset) == {(0, 1), (0, 2)}  # 2, 10 and 30 in the order of numbers
    assert dataset.skipped == {"self-loops": 1}
    (tmp_path / "words.csv").write_text("from,to\nzoe,adam\nadam,eve\n")
    assert joined(read(tmp_path / "words.csv")) == {(0, 1), (0, 2)}
    (tmp_path / "numbers.csv").write_text("1,2\n2,3\n")
    assert len(read(tmp_path / "numbers.csv")) == 3


def test_many_graphs_in_tables(tmp_path: Path) -> None:
    nodes = "id,graph,x\n0,second,1\n1,second,2\n0,first,3\n1,first,4\n2,first,5\n"
    edges = "graph,source,target\nfirst,0,1\nfirst,1,2\nsecond,0,1\n"
    where = folder(tmp_path / "g", edges, nodes, "graph,label\nsecond,no\nfirst,yes\n")
    dataset = read(where, {"level": "graph", "scale": "none"}, label="label")
    assert dataset.column("label").tolist() == ["yes", "no"]
    assert dataset.lengths.tolist() == [3, 2]
    assert store(dataset).graph(0).features.tolist() == [[3], [4], [5]]
    assert store(dataset).graph(0).edges.shape == (2, 4)


@pytest.mark.parametrize(
    ("edge", "graphs", "message"),
    [
        ("a,c", "g,1\nh,0\n", "node a and node c are joined by edge 2, but they are of two graphs"),
        ("c,d", "g,1\n", "graphs.csv: no row of graph 'h', which nodes are of"),
        ("c,d", "g,1\nh,0\ng,1\n", "graphs.csv: graph 'g' stands twice"),
    ],
)
def test_mistakes_in_tables_of_many_graphs(tmp_path: Path, edge: str, graphs: str, message: str) -> None:
    nodes = "id,graph,x\na,g,1\nb,g,2\nc,h,3\nd,h,4\n"
    where = folder(tmp_path / "g", f"source,target\na,b\n{edge}\n", nodes, f"graph,label\n{graphs}")
    with pytest.raises(InputError, match=message):
        read(where, {"level": "graph"}, label="label")


@pytest.mark.parametrize(
    ("edges", "nodes", "spec", "keys", "message"),
    [
        ("source,target\na,z\n", NODES, {}, {}, r"edges.csv: row 1: 'z' is no node of .*nodes.csv"),
        ("source,target\na,b\n", NODES + "a,1,1,red,train\n", {}, {}, "node 'a' stands twice"),
        ("source,target\na,b\n", NODES.replace("1.5", "tall"), {}, {}, "column 'x' says 'tall'; features are numbers"),
        ("source,target\na,b\n", NODES.replace("1.5", ""), {}, {}, "node a has a feature that is missing"),
        ("source,target\na,b\n", NODES, {"columns": ["z"]}, {}, "no column 'z'"),
        ("source,target\na,b\n", NODES, {}, {"label": "colour"}, "no column 'colour'"),
        ("source\na\n", NODES, {}, {}, "one column; expected two"),
        ("", NODES, {}, {}, r"edges.csv: the file is empty"),
        ("source,target\n", NODES, {}, {}, r"edges.csv: no rows in it"),
    ],
)
def test_mistakes_in_tables(tmp_path: Path, edges: str, nodes: str, spec: dict, keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(folder(tmp_path / "g", edges, nodes), spec, **keys)


def test_a_label_that_the_corpus_took_as_a_feature_is_refused(tmp_path: Path) -> None:
    where = folder(tmp_path / "g", "source,target\na,b\n", "id,x,age\na,1,30\nb,2,50\n")
    domain = GraphSpec().build(Source(path=str(where)))
    with pytest.raises(InputError, match=r"the domain takes it as a feature; set domain.without=\[age\]"):
        domain.read(Source(path=str(where), label="age"))
    domain = GraphSpec(without=["age"]).build(Source(path=str(where)))
    assert domain.read(Source(path=str(where), label="age")).column("age").tolist() == [30, 50]


def tu(path: Path, **changes: str) -> Path:
    files = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n",
        "graph_indicator": "1\n1\n2\n2\n2\n",
        "graph_labels": "1\n-1\n",
        "node_labels": "6\n8\n6\n6\n7\n",
        "node_attributes": "0.5\n1.5\n2.5\n3.5\n4.5\n",
        "edge_labels": "0\n0\n1\n1\n",
    } | changes
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / f"SET_{name}.txt").write_text(text)
    return path


def test_a_tu_folder(tmp_path: Path) -> None:
    dataset = read(tu(tmp_path / "SET"), {"level": "graph", "scale": "none", "edge_values": True}, label="label")
    assert dataset.lengths.tolist() == [2, 3]
    assert dataset.column("label").tolist() == [1, -1]  # a class of this format, not a missing label
    first = store(dataset).graph(0)
    assert first.features.tolist() == [[0.5, 1, 0, 0], [1.5, 0, 0, 1]]  # attributes, then kinds 6, 7, 8
    assert first.values.tolist() == [[1, 0], [1, 0]]
    assert store(dataset).graph(1).edges.T.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("A", "1, 9\n", "edge 1 joins nodes 0 and 8, but there are nodes 0 to 4"),
        ("A", "1\n2\n", "expected two node numbers a line"),
        ("node_labels", "6\n", r"SET_node_labels.txt: 1 lines, expected 5"),
        ("graph_labels", "a\nb\n", "not a table of numbers"),
        ("graph_indicator", "1\n2\n1\n2\n2\n", "the nodes of a graph must stand together"),
    ],
)
def test_mistakes_in_tu_folders(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tu(tmp_path / "SET", **{name: text, "edge_labels": "0\n" * len(text.splitlines())}), {"level": "graph"})


def test_the_format_of_dgcnn(tmp_path: Path) -> None:
    path = tmp_path / "SET.txt.gz"
    path.write_bytes(gzip.compress(b"2\n3 1\n0 1 1\n1 2 0 2\n0 1 1\n1 0\n5 0\n"))
    dataset = read(path, {"level": "graph"}, label="label")
    assert dataset.lengths.tolist() == [3, 1]
    assert dataset.column("label").tolist() == [1, 0]
    assert store(dataset).graph(0).features.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert store(dataset).graph(0).edges.T.tolist() == [[1, 0], [0, 1], [2, 1], [1, 2]]
    assert store(dataset).graph(1).edges.shape == (2, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n1 0\n0 0\n", "line 4: 0 words, expected 2 or more; the file ends too soon"),
        ("1\n1 0\n0 1 4\n", "line 3: expected 1 neighbours from 0 to 0"),
        ("1\nx 0\n", "line 2: 'x 0' should be whole numbers"),
        ("1\n2 0\n0 0 1.5\n0 0\n", "every node needs the same number of attributes"),
        ("0\n", "no nodes in it"),
    ],
)
def test_mistakes_in_dgcnn(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.txt", {"level": "graph"})


def test_graphml(tmp_path: Path) -> None:
    graph = networkx.Graph()
    graph.add_node("a", size=1.5, label="x")
    graph.add_node("b", size=2.5, label="y")
    graph.add_edge("a", "b", weight=3.0)
    networkx.write_graphml(graph, tmp_path / "g.graphml")
    dataset = read(tmp_path / "g.graphml", {"scale": "none", "edge_values": True}, label="label")
    assert store(dataset).features.tolist() == [[1.5], [2.5]]
    assert dataset.column("label").tolist() == ["x", "y"]
    assert store(dataset).links.values.tolist() == [[3], [3]]  # type: ignore[union-attr]
    (tmp_path / "bad.graphml").write_text("<graphml><graph>")
    with pytest.raises(InputError, match=r"bad.graphml: not a GraphML file"):
        read(tmp_path / "bad.graphml")


def test_objects_as_of_pytorch_geometric() -> None:
    torch_geometric = pytest.importorskip("torch_geometric.data")
    import torch

    data = torch_geometric.Data(
        x=torch.rand(4, 2),
        edge_index=torch.tensor([[0, 1], [1, 2]]),
        y=torch.tensor([0, 1, 1, -1]),
        train_mask=torch.tensor([True, True, False, False]),
        test_mask=torch.tensor([False, False, True, False]),
    )
    dataset = read(Arrays([data], split="split"), {"scale": "none"})
    assert dataset.column("label").tolist()[:3] == [0, 1, 1]
    assert np.isnan(dataset.column("label")[3])
    assert dataset.column("split").tolist() == ["train", "train", "test", ""]
    np.testing.assert_allclose(store(dataset).features, data.x.numpy())
    single = torch_geometric.Data(x=torch.rand(3, 2), edge_index=torch.zeros(2, 0, dtype=torch.long), y=torch.ones(1))
    graphs = read(from_arrays([single, single]), {"level": "graph"})
    assert graphs.column("label").tolist() == [1, 1]


def test_objects_of_networkx() -> None:
    path, star = networkx.path_graph(4), networkx.star_graph(2)
    dataset = read(from_arrays([path, star], label=["path", "star"]), {"level": "graph"})
    assert dataset.lengths.tolist() == [4, 3]
    assert dataset.column("label").tolist() == ["path", "star"]
    assert dataset.roles == {"label": ("label",)}


@pytest.mark.parametrize(
    ("values", "label", "message"),
    [
        ([], None, "no graphs; expected a list"),
        (["text"], None, "graph 1 is str; expected a PyTorch Geometric Data"),
        ([SimpleNamespace(edge_index=np.zeros((3, 1)), num_nodes=2)], None, r"edge_index has shape \(3, 1\)"),
        ([SimpleNamespace(edge_index=np.array([[0], [5]]), num_nodes=2)], None, "edge 1 joins nodes 0 and 5"),
        ([SimpleNamespace(edge_index=np.zeros((2, 0)), num_nodes=3)], [1, 2], "1 graphs of 3 nodes, but 2 values"),
        (
            [
                SimpleNamespace(edge_index=np.zeros((2, 0)), x=np.ones((2, 3))),
                SimpleNamespace(edge_index=np.zeros((2, 0)), x=np.ones((2, 4))),
            ],
            None,
            "graph 2: its features, kinds or labels are not like those of the first graph",
        ),
        ([SimpleNamespace(edge_index=np.zeros((2, 0)), num_nodes=0)], None, "no nodes in it"),
    ],
)
def test_mistakes_in_memory(values: list, label: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(from_arrays(values, label=label))


def test_the_karate_club() -> None:
    dataset = read("networkx:karate", {"features": "identity"})
    assert len(dataset) == 34
    assert len(joined(dataset)) == 78
    assert set(dataset.column("label").tolist()) == {"Mr. Hi", "Officer"}
    with pytest.raises(InputError, match="unknown graph; valid: networkx:karate"):
        read("networkx:florence")


def test_planted_communities() -> None:
    path = "sbm:nodes=400,communities=4,inside=0.2,outside=0.01,features=3,signal=2,seed=5"
    dataset = read(path)
    label = dataset.column("label")
    assert np.bincount(label).tolist() == [100] * 4
    edges = store(dataset).links.edges
    same = (label[edges[0]] == label[edges[1]]).sum() / 2
    other = edges.shape[1] / 2 - same
    assert abs(same / (4 * 100 * 99 / 2) - 0.2) < 0.01  # 3.5 standard errors
    assert abs(other / (6 * 100 * 100) - 0.01) < 0.0015
    assert read(path).fingerprint() == dataset.fingerprint()
    assert read(path.replace("seed=5", "seed=6")).fingerprint() != dataset.fingerprint()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sbm:node=3", "unknown key 'node'; did you mean 'nodes'"),
        ("sbm:nodes=many", "nodes=many is no int"),
        ("sbm:inside=2", "inside=2.0 is no probability; valid: 0 to 1"),
        ("sbm:nodes=3,communities=9", "9 communities of 3 nodes; valid: 1 to nodes"),
    ],
)
def test_mistakes_in_planted_communities(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(path)


def test_keys_that_say_nothing_of_graphs_are_refused() -> None:
    for key, value in (("column", "x"), ("mask", "m"), ("record", "line"), ("header", ["a"])):
        with pytest.raises(InputError, match=f"networkx:karate: '{key}' says nothing of graphs"):
            read("networkx:karate", **{key: value})


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no such file or folder; expected a .npz or .graphml file"):
        read(tmp_path / "a.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no edges.csv in it; expected edges.csv and nodes.csv, or NAME_A.txt"):
        read(tmp_path / "empty")
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(InputError, match=r"pip install 'exapt\[graph\]'"):
        read("networkx:karate")
