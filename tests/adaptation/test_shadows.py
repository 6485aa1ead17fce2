"""Shadow models side by side are those trained one after another."""

import numpy as np
import pytest
import torch
from torch import nn

from exapt.adaptation.shadows import SmallNetwork, batches_of, initial, train_shadows
from exapt.errors import InputError

NETWORK = SmallNetwork(hidden=8, steps=40, batch=8, weight_decay=0.1)


def data(n=60, k=5):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.int64) + (features[:, 1] > 0.5)
    return features, labels, rng.random((k, n)) < 0.5


def alone(features, labels, member, seed):
    """A plain network under a plain optimiser, on the same start and batches."""
    start = initial(6, 3, NETWORK, seed)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start.parameters, strict=True):
            parameter.copy_(value[0].T if value.shape[1] > 1 else value.flatten())
    optimiser = torch.optim.AdamW(model.parameters(), NETWORK.lr, weight_decay=NETWORK.weight_decay)
    x, y = torch.as_tensor(features), torch.as_tensor(labels)
    for places in batches_of(member, NETWORK, seed):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[places]), y[places]).backward()
        optimiser.step()
    with torch.no_grad():
        return model(x).log_softmax(1)[torch.arange(len(y)), y].double().numpy()


def test_side_by_side_equals_one_after_another():
    features, labels, member = data()
    together = train_shadows(features, labels, member, 3, NETWORK, seeds=[4, 9, 2, 0, 7]).log_p(features, labels)
    single = np.stack([alone(features, labels, m, s) for m, s in zip(member, [4, 9, 2, 0, 7], strict=True)])
    np.testing.assert_allclose(together, single, atol=2e-4)
    assert np.abs(together[0] - together[1]).max() > 0.05


def test_a_stack_of_one_is_part_of_a_stack_of_many():
    features, labels, member = data()
    together = train_shadows(features, labels, member, 3, NETWORK).log_p(features, labels, rows=7)
    third = train_shadows(features, labels, member[2:3], 3, NETWORK, seeds=[2]).log_p(features, labels)
    np.testing.assert_allclose(together[2], third[0], atol=2e-4)


def test_batches_hold_members_alone_and_each_equally_often():
    _, _, member = data()
    order = batches_of(member[0], NETWORK, 0).flatten().numpy()
    counts = np.bincount(order, minlength=60)
    assert not counts[~member[0]].any()
    assert counts[member[0]].max() - counts[member[0]].min() <= 1


def test_a_network_without_members_is_refused():
    features, labels, member = data()
    member[1] = False
    with pytest.raises(InputError, match="no member"):
        train_shadows(features, labels, member, 3, NETWORK)
