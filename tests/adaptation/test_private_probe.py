"""The private probe: ε by the accountant, clipping and noise as DP-SGD says, and what cannot be private is refused."""

import sys

import numpy as np
import pytest
import torch
from adapt_standins import classify, halves, regress, several, tag
from torch import nn

from exapt.adaptation import PrivateProbeSpec, fit, load_fitted
from exapt.adaptation.dpsgd import Privacy, Schedule, least_noise, train_privately
from exapt.errors import InputError

pytest.importorskip("opacus")
QUICK = PrivateProbeSpec(epsilon=8.0, delta=1e-3, epochs=5)


def linear(inputs=3, outputs=2):
    network = nn.Linear(inputs, outputs)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    return network


def trained(x, y, privacy, schedule, seed=0):
    network = linear(x.shape[1])
    record = train_privately(network, x, y, nn.CrossEntropyLoss(), privacy, schedule, seed)
    return network, record


def points(n=40, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=rng)
    return x, (x[:, 0] > 0).long()


def test_a_step_is_the_sum_of_clipped_gradients_over_the_expected_batch(monkeypatch):
    """With next to no noise, against clipping one by one."""
    monkeypatch.setattr("exapt.adaptation.dpsgd.least_noise", lambda *_: 1e-7)
    monkeypatch.setattr("opacus.PrivacyEngine.get_epsilon", lambda *_: float("inf"))
    x, y = points()
    network, _ = trained(x, y, Privacy(1.0, 1e-3, clip=0.3), Schedule(epochs=1, batch=40, lr=1.0))
    sums = torch.zeros(2, 4)
    for row, label in zip(x, y, strict=True):
        plain = linear()
        nn.functional.cross_entropy(plain(row[None]), label[None]).backward()
        gradient = torch.cat([plain.weight.grad, plain.bias.grad[:, None]], 1)
        sums += gradient * min(1.0, 0.3 / gradient.norm().item())
    learnt = torch.cat([network.weight, network.bias[:, None]], 1).detach()
    torch.testing.assert_close(learnt, -sums / 40, rtol=1e-4, atol=1e-6)


def test_epsilon_is_the_accountants_and_just_below_what_was_asked():
    x, y = points()
    _, record = trained(x, y, Privacy(3.0, 1e-3), Schedule(epochs=4, batch=40, lr=0.5))
    assert 2.9 < record["epsilon"] <= 3.0
    assert (record["sample_rate"], record["steps"]) == (1.0, 4)
    assert record["noise_multiplier"] == least_noise(3.0, 1e-3, 1.0, 4)
    assert least_noise(1.0, 1e-3, 1.0, 4) > record["noise_multiplier"]


def test_steps_without_an_example_are_steps_of_noise(monkeypatch):
    monkeypatch.setattr("exapt.adaptation.dpsgd.least_noise", lambda *_: 1.0)
    x, y = points(12)
    network, record = trained(x, y, Privacy(8.0, 1e-3), Schedule(epochs=3, batch=1, lr=0.1))
    assert record["steps"] == 36
    assert 4 <= record["empty_steps"] <= 24
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_the_same_seed_gives_the_same_weights():
    x, y = points()
    same, again, other = (trained(x, y, Privacy(8.0, 1e-3), Schedule(2, 40, 0.5), s)[0].weight for s in (1, 1, 2))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_what_mixes_examples_is_refused():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(InputError, match=r"'1' is batch normalisation"):
        train_privately(network, *points(), nn.CrossEntropyLoss(), Privacy(1, 1e-3), Schedule(1, 10, 1.0), 0)


def test_a_delta_that_promises_nothing_is_refused():
    with pytest.raises(InputError, match=r"delta 0.05 with 40 examples .* below 0.025"):
        trained(*points(), Privacy(1.0, 0.05), Schedule(1, 10, 1.0))


def test_without_opacus_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(InputError, match=r"pip install 'exapt\[privacy\]'"):
        trained(*points(), Privacy(1.0, 1e-3), Schedule(1, 10, 1.0))


def test_features_are_scaled_example_by_example():
    start, task, data = classify()
    rows = QUICK.inputs(start, task, data)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(rows[:7], QUICK.inputs(start, task, data.subset(range(7))), atol=1e-5)


def test_labels_of_validation_change_nothing():
    start, task, data = classify()
    train, valid, test = halves(data)
    one = fit(QUICK, start, task, train, valid, 0)
    two = fit(QUICK, start, task, train, valid.subset([0]), 0)
    assert torch.equal(one.weights, two.weights)
    assert one.record["valid_score"] > 0.5
    assert one.record["epsilon"] <= 8.0
    assert np.isfinite(fit(QUICK, start, task, train, valid.subset([]), 0).predict(test)).all()


@pytest.mark.parametrize("make", [classify, several])
def test_predictions_are_the_same_from_disk(make, tmp_path):
    start, task, data = make()
    train, valid, test = halves(data)
    fitted = fit(QUICK, start, task, train, valid, 0)
    again = load_fitted(fitted.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(test), fitted.predict(test))
    assert again.spec == QUICK
    assert again.record["epsilon"] == fitted.record["epsilon"]


@pytest.mark.parametrize(("make", "match"), [(regress, "classes only"), (tag, "labels of elements")])
def test_tasks_without_a_unit_of_privacy_are_refused(make, match):
    start, task, data = make()
    with pytest.raises(InputError, match=match):
        fit(QUICK, start, task, data.subset(range(16)), data.subset([]), 0)
