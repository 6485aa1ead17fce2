"""The baselines of graphs: fitted, saved and loaded, with neighbours and without."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from exapt.adaptation import ClassicalSpec, Start, fit
from exapt.adaptation.fit import load_fitted
from exapt.domains import Arrays, GraphSpec, ProteinSpec, Source, from_arrays
from exapt.errors import InputError
from exapt.tasks import ClassifySpec

PLANTED = Source(path="sbm:nodes=200,communities=2,inside=0.15,outside=0.01,features=4,signal=0.5", label="label")


def rings() -> Arrays:
    """Cycles against paths, of 5 to 14 nodes."""
    graphs, labels = [], []
    for i in range(60):
        n = 5 + i % 10
        around = np.stack([np.arange(n), (np.arange(n) + 1) % n])
        graphs.append(SimpleNamespace(edge_index=around if i % 2 else around[:, :-1], num_nodes=n))
        labels.append("ring" if i % 2 else "path")
    return from_arrays(graphs, label=labels)


@pytest.mark.parametrize("level", ["node", "graph"])
def test_neighbours_tell_what_features_alone_do_not(level: str, tmp_path: Path) -> None:
    source = PLANTED if level == "node" else rings()
    domain = GraphSpec(level=level, features=None if level == "node" else "constant").build(source)
    dataset = domain.read(source)
    task = ClassifySpec().build(dataset)
    dataset = task.attach(dataset)
    order = np.random.default_rng(0).permutation(len(dataset))
    train, valid, test = (dataset.subset(part) for part in np.split(order, [20, 40]))
    scores = {}
    for features in ("usual", "raw"):
        fitted = fit(ClassicalSpec(features=features), Start(domain), task, train, valid, 0)
        said = fitted.predict(test)
        scores[features] = task.metric(said, task.truth(test))
        fitted.save(tmp_path / features)
        np.testing.assert_allclose(load_fitted(tmp_path / features).predict(test), said)
    assert scores["usual"] > 0.9
    assert scores["raw"] < scores["usual"] - 0.1


def test_fields_without_raw_features_say_so() -> None:
    with pytest.raises(InputError, match="its classical baseline has no raw form; use features=usual"):
        domain = ProteinSpec(length=8).build()
        domain.classical_raw(domain.read(from_arrays(["ACDE"])))
