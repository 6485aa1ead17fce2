"""Neighbours against a loop over every pair."""

import math

import numpy as np
import pytest
import torch
from adapt_standins import TASKS, classify, halves

from exapt.adaptation import KnnSpec, fit
from exapt.adaptation.knn import index, vote


def naive(features, targets, query, k, temperature):
    """(K,) shares, one number at a time."""
    known = [i for i, row in enumerate(targets) if not all(math.isnan(v) for v in row)]
    cosine = {i: float(features[i] @ query / (np.linalg.norm(features[i]) * np.linalg.norm(query))) for i in known}
    nearest = sorted(known, key=lambda i: -cosine[i])[:k]
    shares = []
    for column in range(len(targets[0])):
        votes = [(math.exp(cosine[i] / temperature), targets[i][column]) for i in nearest]
        votes = [(w, v) for w, v in votes if not math.isnan(v)]
        every = [targets[i][column] for i in known if not math.isnan(targets[i][column])]
        shares.append(sum(w * v for w, v in votes) / sum(w for w, _ in votes) if votes else sum(every) / len(every))
    return shares


@pytest.mark.parametrize("k", [1, 3, 20, 200])
@pytest.mark.parametrize("kind", ["classes", "labels", "values"])
def test_votes_equal_the_loop(kind, k):
    rng = np.random.default_rng(0)
    features, queries = rng.normal(size=(50, 6)), rng.normal(size=(9, 6))
    targets = np.eye(3)[rng.integers(3, size=50)] if kind == "classes" else rng.integers(2, size=(50, 3)).astype(float)
    targets[4] = np.nan
    if kind != "classes":
        targets[::3, 1] = np.nan
    spec = KnnSpec(neighbours=k)
    found = vote(
        index(torch.from_numpy(features), torch.from_numpy(targets).float(), False),
        torch.from_numpy(queries),
        kind,
        spec,
    )
    shares = found.exp() if kind == "classes" else found.sigmoid() if kind == "labels" else found
    expected = [naive(features, targets.tolist(), query, k, spec.temperature) for query in queries]
    np.testing.assert_allclose(shares.numpy(), expected, atol=1e-4)


def test_centring_takes_off_the_training_mean():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 4))
    targets = torch.eye(2)[torch.from_numpy((features[:, 0] > 0).astype(int))]
    shifted = index(torch.from_numpy(features + 100), targets, True)
    plain = index(torch.from_numpy(features - features.mean(0)), targets, False)
    torch.testing.assert_close(shifted.features, plain.features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        shifted.unit(torch.from_numpy(features[:3] + 100)), plain.features[:3], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", TASKS)
def test_predictions_of_every_task_lie_within_the_labels(name):
    start, task, data = TASKS[name]()
    train, valid, test = halves(data, 12, 6)
    fitted = fit(KnnSpec(), start, task, train, valid, 0)
    predicted = fitted.predict(test)
    assert np.isfinite(predicted).all()
    if name == "regress":
        assert predicted.min() >= 1000
        assert predicted.max() <= 1050
    elif name != "several":
        np.testing.assert_allclose(predicted.sum(1), 1)


def test_neighbours_are_clipped_and_validation_votes_in_the_end():
    start, task, data = classify(20)
    fitted = fit(KnnSpec(), start, task, data.subset(range(6)), data.subset(range(6, 10)), 0)
    assert fitted.record["neighbours"] == 10
    assert len(fitted.found.features) == 10
