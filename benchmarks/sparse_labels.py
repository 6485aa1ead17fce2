"""Side effects of drugs (SIDER's 27 tasks) with nine labels in ten deleted: many heads on one network.

    OMP_NUM_THREADS=1 python benchmarks/sparse_labels.py sider.csv.gz --seeds 3

`sider.csv.gz` is MoleculeNet's (Wu et al. 2018). A molecule transformer from random weights, trained on the labels that
are left; the mean AUC over tasks on a fifth of the molecules that were held out, where knowing nothing has 0.5. The
control is the field's: Morgan fingerprints and a logistic regression for each task, on the same labels.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from exapt.backbones import TransformerSpec
from exapt.domains import MoleculeSpec
from exapt.domains.base import Arrays, Dataset, Domain
from exapt.objectives import PropertiesSpec
from exapt.objectives.properties import Properties
from exapt.objectives.property_answers import answers
from exapt.tasks.metrics import auc, average
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec

DOMAIN = MoleculeSpec(length=160, on_error="skip", order="random")
HEADS = {"kind": "properties", "constant": "drop"}
OBJECTIVES: dict[str, Any] = {
    "heads": PropertiesSpec.parse(HEADS),
    "heads, by uncertainty": PropertiesSpec.parse({**HEADS, "weighing": "uncertainty"}),
}


def read(path: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """SMILES, and (n,) 0, 1 or NaN of every task."""
    raw = Path(path).read_bytes()
    text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    names = [name for name in rows[0] if name != "smiles"]
    return [row["smiles"] for row in rows], {n: np.array([float(r[n] or "nan") for r in rows]) for n in names}


def corpus(smiles: list[str], columns: dict[str, np.ndarray], places: np.ndarray, kept: float, seed: int) -> Arrays:
    """Some molecules with a share of their labels."""
    draw = np.random.default_rng(seed)
    left = {n: np.where(draw.random(len(places)) < kept, v[places], np.nan).tolist() for n, v in columns.items()}
    return Arrays([smiles[i] for i in places], left, label=list(left), path="sider")


def mean_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Over tasks whose truth holds both answers."""
    seen = np.isfinite(truth)
    pairs = zip(scores.T, truth.T, seen.T, strict=True)
    found = average(auc(s[there], t[there] == 1) for s, t, there in pairs if len(set(t[there])) > 1)
    assert found is not None
    return found


def network(objective: Any, given: Arrays, test: Dataset, truth: np.ndarray, seed: int, epochs: int) -> float:
    """The AUC of the heads after training."""
    training = TrainingSpec(epochs=epochs, batch=64, lr=1e-3, seed=seed, holdout=0.1, monitor={"on": False})
    with tempfile.TemporaryDirectory() as folder:
        made = pretrain(
            given, DOMAIN, TransformerSpec(size="nano"), objective, training, Path(folder) / "run", progress=False
        )
        heads = next(one for one in made.objective.modules() if isinstance(one, Properties)).eval()
        made.backbone.eval()
        said = [answers(heads, made.backbone, batch) for batch in batches(made.domain, test)]
    scores = np.zeros(truth.shape)  # a task that was left out for want of labels has 0.5
    for k, name in enumerate(given.columns):
        if name in heads.heads:
            scores[:, k] = torch.cat([one[name] for one in said]).numpy()
    return mean_auc(scores, truth)


def batches(domain: Domain, dataset: Dataset) -> Iterator[Any]:
    for start in range(0, len(dataset), 64):
        yield domain.collate([dataset[i] for i in range(start, min(start + 64, len(dataset)))])


def fingerprints(features: tuple[Any, Any], train: Dataset, names: list[str], truth: np.ndarray) -> float:
    """The AUC of a logistic regression for each task, on features of the training and the test part."""
    scores = np.zeros(truth.shape)
    for k, name in enumerate(names):
        labels = np.asarray(train.columns[name], dtype=np.float64)
        there = np.isfinite(labels)
        if len(set(labels[there])) > 1:
            model = LogisticRegression(C=1.0, max_iter=2000).fit(features[0][there], labels[there])
            scores[:, k] = model.predict_proba(features[1])[:, 1]
    return mean_auc(scores, truth)


def main() -> None:
    """Print a line for every way, share of labels and seed, then means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--kept", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--only", nargs="+", default=["fingerprints", *OBJECTIVES])
    asked = parser.parse_args()
    smiles, columns = read(asked.path)
    domain = DOMAIN.build()
    found: dict[tuple[str, float], list[float]] = {}
    for seed in range(asked.seeds):
        order = np.random.default_rng(seed).permutation(len(smiles))
        cut = len(order) // 5
        test = domain.read(
            Arrays([smiles[i] for i in order[:cut]], {n: v[order[:cut]] for n, v in columns.items()}, list(columns))
        )
        truth = np.stack([np.asarray(test.columns[n], dtype=np.float64) for n in columns], 1)
        classical = "fingerprints" in asked.only
        whole = domain.read(corpus(smiles, columns, order[cut:], 1.0, seed))
        features = domain.classical(whole, [test]) if classical else []
        for kept in asked.kept:
            given = corpus(smiles, columns, order[cut:], kept, seed)
            for way in asked.only:
                start = time.process_time()
                if way == "fingerprints":
                    score = fingerprints(tuple(features), domain.read(given), list(columns), truth)
                else:
                    score = network(OBJECTIVES[way], given, test, truth, seed, asked.epochs)
                found.setdefault((way, kept), []).append(score)
                spent = time.process_time() - start
                print(f"seed {seed}  {kept:4.0%} of labels  {way:22s} AUC {score:.3f}  {spent:.0f} s", flush=True)
    for (way, kept), scores in found.items():
        print(f"{way:22s} {kept:4.0%}  {np.mean(scores):.3f} ± {np.std(scores):.3f} ({len(scores)} seeds)")


if __name__ == "__main__":
    main()
