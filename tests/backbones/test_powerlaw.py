"""A power law with a residual network beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exapt.backbones import PowerLaw, PowerLawSpec
from exapt.batch import Batch
from exapt.domains import QuantitiesSpec, TextSpec, from_arrays
from exapt.errors import InputError

ROWS = [{"Re": 1e3, "Pr": 0.7}, {"Re": 2e4, "Pr": 7.0}, {"Re": 1e6, "Pr": 3.0}]


def built(seed: int = 0) -> tuple[PowerLaw, Batch]:
    spec = QuantitiesSpec(columns=["Re", "Pr"], regimes={"column": "Re", "at": [2300.0]})
    source = from_arrays(ROWS)
    domain = spec.build(source)
    return PowerLawSpec(width=8).build(domain.inputs, seed), domain.collate(list(domain.read(source)))


def test_the_residual_starts_as_nothing_and_the_law_is_as_written() -> None:
    network, batch = built()
    with torch.no_grad():
        network.law.constants.copy_(torch.tensor([0.5, -2.0]))
        network.law.exponents.copy_(torch.tensor([[0.5, 0.3], [0.8, 0.4]]))
    said = network(batch).elements[:, 0].detach().exp()
    expected = [
        np.exp(0.5) * 1e3**0.5 * 0.7**0.3,
        np.exp(-2) * 2e4**0.8 * 7**0.4,
        np.exp(-2) * 1e6**0.8 * 3**0.4,
    ]
    np.testing.assert_allclose(said, expected, rtol=1e-5)
    assert network(batch).elements.shape == (3, network.width) == (3, 9)


def test_the_residual_adds_to_the_logarithm() -> None:
    network, batch = built()
    with torch.no_grad():
        network.residual.out.bias.fill_(0.25)
    np.testing.assert_allclose(network(batch).elements[:, 0].detach(), 0.25)


def test_the_residual_sees_standardised_logarithms_and_the_regime() -> None:
    network, batch = built()
    seen = network.seen(*network.split(batch))
    np.testing.assert_allclose(seen[:, :2].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(seen[:, :2].std(0, correction=0), 1, atol=1e-5)
    assert seen[:, 2:].tolist() == [[1, 0], [0, 1], [0, 1]]


def test_it_is_never_in_bfloat16() -> None:
    network, batch = built()
    with torch.no_grad():
        network.law.exponents.fill_(0.8)
        network.residual.out.weight.fill_(0.1)
    plain = network(batch).elements
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(batch).elements, plain)
    assert plain.dtype == torch.float32


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (built(seed)[0].residual.layers[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_quantities() -> None:
    inputs = TextSpec(tokens="characters", length=8).build(from_arrays(["abc", "abd"])).inputs
    with pytest.raises(InputError, match=r"backbone\.kind=powerlaw"):
        PowerLawSpec().build(inputs)
