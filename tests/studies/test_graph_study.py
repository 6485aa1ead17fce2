"""Whole studies of graphs, from files to a report: nodes of one graph, and many graphs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exapt
from exapt.files import read_json
from exapt.studies.spec import StudySpec

pytestmark = pytest.mark.slow
PLANTED = "sbm:nodes=240,communities=2,inside=0.2,outside=0.02,features=4,signal=1"
TINY: dict[str, Any] = {
    "backbone": {"kind": "graphnet", "width": 16},
    "task": {"kind": "classify"},
    "adapt": {"rates": [0.01], "min_steps": 5, "max_steps": 5, "evaluations": 1},
    "probe": {"penalties": [0.1, 10.0]},
    "arms": ["pretrained", "scratch", "frozen", "classical"],
    "budgets": [8],
    "validation": 0.5,
    "seeds": 2,
    "margin": 0.05,
}


def graphs(path: Path, count: int = 60, repeats: int = 12) -> Path:
    """Rings and paths of 5 to 9 nodes of three kinds, as DGCNN writes them; the last repeat the first, turned round."""
    rng = np.random.default_rng(0)
    lines, kinds = [str(count)], [rng.integers(0, 3, 5 + i % 5) for i in range(count - repeats)]
    kinds += [one[::-1] for one in kinds[:repeats]]
    for i, kind in enumerate(kinds):
        n, ring = len(kind), i % (count - repeats) % 2
        lines.append(f"{n} {ring}")
        for node in range(n):
            near = sorted({(node - 1) % n, (node + 1) % n} if ring else {node - 1, node + 1} & set(range(n)))
            lines.append(f"{kind[node]} {len(near)} {' '.join(map(str, near))}")
    path.write_text("\n".join(lines))
    return path


def study(name: str, path: str, **changes: Any) -> StudySpec:
    sources = {"corpus": {"path": path}, "labelled": {"path": path, "label": "label"}}
    return StudySpec.parse({"name": name, **TINY, **sources, **changes})


def test_nodes_of_one_graph_from_a_description_to_a_report(tmp_path: Path) -> None:
    spec = study(
        "nodes",
        PLANTED,
        domain={"kind": "graph", "neighbours": [5, 3]},
        objective={"kind": "infomax"},
        pretrain={"steps": 6, "batch": 60, "lr": 0.01, "holdout": 0},
        split={"test": 0.5, "balanced": True},
        audits=[{"kind": "invariance"}, {"kind": "collapse"}],
    )
    result = exapt.run(spec, out=tmp_path / "run", workers=1)
    assert result.computed == 8
    note = read_json(tmp_path / "run" / "run.json")
    assert note["left_out_of_corpus"] == {"examples": 0, "of": 240}  # the test part's nodes stay in the graph
    report = read_json(tmp_path / "run" / "report.json")
    verdicts = {found["name"]: found["verdict"] for found in report["audits"]}
    assert set(verdicts) == {"invariance", "collapse"}
    assert "NOT POSSIBLE" not in verdicts.values()
    checkpoint = tmp_path / "run" / "checkpoints" / "pretrained-0"
    assert exapt.embed(checkpoint, PLANTED, out=tmp_path / "embedded.npz") == (240, 16)
    record = exapt.adapt(
        checkpoint,
        PLANTED,
        out=tmp_path / "fitted",
        label="label",
        budget=20,
        set=["adapt.max_steps=5", "adapt.min_steps=5"],
    )
    assert record
    assert exapt.predict(tmp_path / "fitted", PLANTED, out=tmp_path / "said.csv") == 240
    with (tmp_path / "said.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 240


def test_many_graphs_without_repeats_across_the_split(tmp_path: Path) -> None:
    path = str(graphs(tmp_path / "rings.txt"))
    spec = study(
        "graphs",
        path,
        domain={"kind": "graph", "level": "graph"},
        backbone={"kind": "graphnet", "conv": "gin", "width": 16},
        objective={"kind": "rebuild"},
        pretrain={"steps": 6, "batch": 16, "lr": 0.01, "holdout": 0.1},
        audits=[{"kind": "contamination"}],
    )
    result = exapt.run(spec, out=tmp_path / "run", workers=1)
    assert result.computed == 8
    split = read_json(tmp_path / "run" / "run.json")["data"]["facts"]["split"]
    assert split["duplicates taken out"] >= 12
    report = read_json(tmp_path / "run" / "report.json")
    assert [found["verdict"] for found in report["audits"]] == ["CLEAN"]
    assert np.mean([fit["score"] for fit in report["fits"] if fit["arm"] == "classical"]) > 0.6
