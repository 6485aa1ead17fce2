"""The law by least squares, and the residual learnt after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from exapt.backbones import PowerLaw, PowerLawSpec
from exapt.domains import Arrays, Dataset, QuantitiesDomain, QuantitiesSpec, Source, TextSpec, from_arrays
from exapt.errors import InputError
from exapt.objectives import PowerLawObjectiveSpec


def planted(n: int = 40, seed: int = 0, labels: object = None) -> tuple[QuantitiesDomain, Dataset]:
    rng = np.random.default_rng(seed)
    re, pr = np.exp(rng.uniform(7, 12, n)), np.exp(rng.uniform(-1, 2, n))
    nu = 0.03 * re**0.8 * pr**0.4 * np.exp(0.02 * rng.standard_normal(n))
    rows = [{"Re": float(r), "Pr": float(p)} for r, p in zip(re, pr, strict=True)]
    source = Arrays(rows, {"Nu": list(nu) if labels is None else labels}, label=["Nu"])
    domain = QuantitiesSpec(columns=["Re", "Pr"]).build(source)
    return domain, domain.read(source)


def test_the_law_is_that_of_least_squares() -> None:
    domain, data = planted()
    law = PowerLawObjectiveSpec().settled(data, domain).law
    assert law is not None
    design = np.column_stack([np.ones(len(data)), domain.logarithms(data)[1]])
    targets = np.log(np.array(data.columns["Nu"], dtype=float))
    expected, left, *_ = np.linalg.lstsq(design, targets, rcond=None)
    np.testing.assert_allclose([*law.constants, *law.exponents[0]], expected, rtol=1e-6)
    assert law.noise == pytest.approx(np.sqrt(left[0] / (len(data) - 3)), rel=1e-6)
    np.testing.assert_allclose(law.information[0], design.T @ design / law.noise**2)
    np.testing.assert_allclose(np.linalg.solve(law.information[0], law.moment[0]), expected, rtol=1e-6)


def test_a_quantity_that_never_varied_has_no_exponent() -> None:
    domain = QuantitiesSpec(columns=["Re", "Pr", "e_D"], absent=["e_D"]).build()
    rows = [{"Re": 1e4 * (i + 1), "Pr": 1.0 + i * i} for i in range(8)]
    read = domain.read(Arrays(rows, {"Nu": [3.0 + i for i in range(8)]}, label=["Nu"]))
    law = PowerLawObjectiveSpec().settled(read, domain).law
    assert law is not None
    assert law.exponents[0][2] == pytest.approx(0, abs=1e-9)


def test_the_plates_exponents_are_recovered_in_both_regimes() -> None:
    pytest.importorskip("ht")
    spec = QuantitiesSpec(columns=["Re", "Pr"], regimes={"column": "Re", "at": [5e5]})
    source = Source(path="ht:flat-plate", label="Nu")
    domain = spec.build(source)
    law = PowerLawObjectiveSpec().settled(domain.read(source), domain).law
    assert law is not None
    np.testing.assert_allclose(law.exponents, [[0.5, 1 / 3], [0.8, 1 / 3]], atol=0.02)


def test_a_spec_that_is_settled_stays() -> None:
    domain, data = planted()
    settled = PowerLawObjectiveSpec().settled(data, domain)
    assert settled.settled(planted(seed=1)[1], domain) == settled
    assert PowerLawObjectiveSpec.parse(settled.plain()) == settled


def test_training_moves_the_residual_and_not_the_law() -> None:
    domain, data = planted()
    spec = PowerLawObjectiveSpec().settled(data, domain)
    network = PowerLawSpec(width=8).build(domain.inputs, 0)
    assert isinstance(network, PowerLaw)
    objective = spec.build(domain, network)
    batch = domain.collate(list(spec.attach(data, domain)))
    rng, steps = torch.Generator().manual_seed(0), torch.optim.Adam(network.parameters(), lr=0.003)
    law = [parameter.clone() for parameter in network.law.parameters()]
    first = objective(network, batch, rng)
    assert float(first.value.detach()) == pytest.approx(37 / 40, rel=1e-3)
    for _ in range(100):
        steps.zero_grad()
        loss = objective(network, batch, rng).value
        loss.backward()
        steps.step()
    assert float(loss.detach()) < float(first.value.detach())
    assert all(torch.equal(a, b) for a, b in zip(law, network.law.parameters(), strict=True))
    assert network.residual.out.weight.abs().max() > 0
    with pytest.raises(InputError, match="these rows carry no labels"):
        objective(network, domain.collate(list(data)), rng)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, 0.0, *[2.0] * 38], r"row 2: 'Nu' is 0; a power law needs positive numbers$"),
        ([1.0, float("nan"), *[2.0] * 38], r"row 2: 'Nu' is empty; a power law needs positive numbers$"),
        (["much", *["2"] * 39], r"row 1: 'Nu' is 'much'; a power law needs positive numbers"),
    ],
)
def test_labels_without_a_logarithm(labels: list, message: str) -> None:
    domain, data = planted(labels=labels)
    with pytest.raises(InputError, match=message):
        PowerLawObjectiveSpec().settled(data, domain)


def test_too_few_rows_and_other_mistakes() -> None:
    domain, data = planted()
    with pytest.raises(InputError, match=r"3 rows in regime 1 for 3 coefficients; give more rows, or fewer"):
        PowerLawObjectiveSpec().settled(data.subset([0, 1, 2]), domain)
    network = PowerLawSpec().build(domain.inputs, 0)
    with pytest.raises(InputError, match=r"^objective.law is not known before a corpus is read$"):
        PowerLawObjectiveSpec().build(domain, network)
    texts = TextSpec(tokens="characters", length=8).build(from_arrays(["abc", "abd"]))
    with pytest.raises(InputError, match=r"^objective.kind=powerlaw needs domain.kind=quantities$"):
        PowerLawObjectiveSpec().settled(replace(data), texts)
