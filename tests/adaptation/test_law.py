"""A power law's posterior: against a naive Gaussian process, its coverage, from disk, and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exapt.adaptation import LawSpec, Start, fit, load_fitted
from exapt.adaptation.law_posterior import Grid, Known, Point, Posterior, Rows, mixture_quantile, posterior
from exapt.backbones import PowerLawSpec
from exapt.domains import Arrays, Dataset, QuantitiesSpec
from exapt.errors import InputError
from exapt.objectives import PowerLawObjectiveSpec
from exapt.tasks import RegressSpec, Task

TASK = RegressSpec(log=True, metric="MAPE")


def measured(n: int, seed: int, exponents: tuple[float, float] = (0.8, 0.4), constant: float = 0.03) -> Arrays:
    rng = np.random.default_rng(seed)
    re, pr = np.exp(rng.uniform(7, 12, n)), np.exp(rng.uniform(-1, 2, n))
    nu = constant * re ** exponents[0] * pr ** exponents[1] * np.exp(0.03 * rng.standard_normal(n))
    rows = [{"Re": float(r), "Pr": float(p)} for r, p in zip(re, pr, strict=True)]
    return Arrays(rows, {"Nu": nu.tolist()}, label=["Nu"])


def pretrained() -> Start:
    source = measured(200, 99)
    domain = QuantitiesSpec(columns=["Re", "Pr"]).build(source)
    network = PowerLawSpec(width=4).build(domain.inputs, 0)
    PowerLawObjectiveSpec().settled(domain.read(source), domain).build(domain, network)
    return Start(domain, network)


def labelled(start: Start, n: int, seed: int, exponents: tuple[float, float] = (0.7, 0.4)) -> tuple[Task, Dataset]:
    data = start.domain.read(measured(n, seed, exponents, 0.1))
    task = TASK.build(data)
    return task, task.attach(data)


def rows(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(rng.integers(0, 2, n), rng.normal(size=(n, 2)), 0.1 * rng.normal(size=n))


def test_the_posterior_is_that_of_a_gaussian_process() -> None:
    rng = np.random.default_rng(0)
    point = Point(move=0.1, width=0.3, residual=0.2, length=1.5, noise=0.05, offset=1.0)
    half = rng.normal(size=(2, 3, 3))
    known = Known(half @ half.transpose(0, 2, 1), rng.normal(size=(2, 3)))
    old, new, targets, scale = rows(7, 1), rows(5, 2), rng.normal(size=7), np.array([1.0, 2.0])
    mean, spread = Posterior(known, [point], np.ones(1), old, targets, scale, True).predict(new)

    prior = [np.linalg.inv(known.information[r] + np.diag([1 / 9, 1 / 0.09, 1 / 0.09])) for r in (0, 1)]
    middle = [prior[r] @ known.moment[r] for r in (0, 1)]
    wide = [prior[r] + np.diag([9, 0.01, 0.01]) for r in (0, 1)]

    def phi(one: Rows, i: int) -> np.ndarray:
        return np.array([1.0, *one.logs[i]])

    def covariance(a: Rows, i: int, b: Rows, j: int) -> float:
        law = phi(a, i) @ wide[a.regimes[i]] @ phi(b, j) if a.regimes[i] == b.regimes[j] else 0.0
        apart = (a.logs[i] - b.logs[j]) / (scale * 1.5)
        return float(law + 0.04 * np.exp(-0.5 * apart @ apart))

    total = np.array([[covariance(old, i, old, j) for j in range(7)] for i in range(7)]) + 0.0025 * np.eye(7)
    cross = np.array([[covariance(new, i, old, j) for j in range(7)] for i in range(5)])
    before = np.array([phi(old, i) @ middle[old.regimes[i]] for i in range(7)]) + old.offset
    after = np.array([phi(new, i) @ middle[new.regimes[i]] for i in range(5)]) + new.offset
    np.testing.assert_allclose(mean[0], after + cross @ np.linalg.solve(total, targets - before), rtol=1e-7)
    own = np.array([covariance(new, i, new, i) for i in range(5)])
    variance = own - np.diag(cross @ np.linalg.solve(total, cross.T)) + 0.0025
    np.testing.assert_allclose(spread[0] ** 2, variance, rtol=1e-7)


def test_points_of_the_grid_count_by_their_evidence() -> None:
    known = Known(np.zeros((1, 3, 3)), np.zeros((1, 3)))
    old = Rows(np.zeros(6, dtype=np.int64), np.random.default_rng(0).normal(size=(6, 2)), np.zeros(6))
    targets = np.random.default_rng(1).normal(size=6)
    found = posterior(known, old, targets, Grid(widths=(0.3, 1.0), residuals=(0.0, 0.4), lengths=(1.0,), noises=(0.1,)))
    logs = []
    scale = old.logs.std(0)
    for point in found.points:
        design = old.design(1)
        covariance = design @ np.diag([18, *[point.width**2] * 2]) @ design.T + 0.01 * np.eye(6)
        apart = (old.logs[:, None] - old.logs[None]) / scale
        covariance += point.residual**2 * np.exp(-0.5 * (apart**2).sum(2))
        logs.append(-0.5 * (np.linalg.slogdet(covariance)[1] + targets @ np.linalg.solve(covariance, targets)))
    weights = np.exp(np.array(logs) - max(logs))
    np.testing.assert_allclose(found.weights, weights / weights.sum(), rtol=1e-6)


def test_a_quantile_of_a_mixture() -> None:
    weights, means, spreads = np.array([0.3, 0.7]), np.array([[0.0], [5.0]]), np.array([[1.0], [0.5]])
    at = mixture_quantile(0.2, weights, means, spreads)
    draws = np.random.default_rng(0)
    drawn = np.where(draws.random(400_000) < 0.3, draws.normal(0, 1, 400_000), draws.normal(5, 0.5, 400_000))
    assert at[0] == pytest.approx(np.quantile(drawn, 0.2), abs=0.02)
    np.testing.assert_allclose(mixture_quantile(0.5, np.ones(1), means[:1], spreads[:1]), [0], atol=1e-9)


def test_intervals_hold_what_they_say() -> None:
    start, inside = pretrained(), []
    for seed in range(8):
        task, data = labelled(start, 48, seed)
        fitted = fit(LawSpec(), start, task, data.subset(range(12)), data.subset(range(12, 16)), seed)
        test = data.subset(range(16, 48))
        low, high = fitted.intervals(test).T
        truth = task.truth(test)[:, 0]
        inside.append(((low <= truth) & (truth <= high)).mean())
        assert (low < fitted.predict(test)[:, 0]).all()
        assert np.abs(np.log(fitted.predict(test)[:, 0] / truth)).mean() < 0.06
    assert 0.85 <= np.mean(inside) <= 0.99


def test_what_the_labels_cannot_tell_keeps_its_prior() -> None:
    start = pretrained()
    labels = {"Nu": [10 * 2 ** (0.6 * i) for i in range(6)]}
    data = start.domain.read(Arrays([{"Re": 1e4 * 2**i, "Pr": 0.7} for i in range(6)], labels, label=["Nu"]))
    task = TASK.build(data)
    data = task.attach(data)
    found = fit(LawSpec(residual=False), start, task, data, data.subset([]), 0).record["exponents"]["1"]
    assert found["Re"][0] == pytest.approx(0.6, abs=0.03)
    assert found["Pr"][0] == pytest.approx(0.4, abs=0.03)
    assert found["Pr"][1] < 0.4 < found["Pr"][2]


@pytest.mark.parametrize("spec", [LawSpec(), LawSpec(law=False), LawSpec(prior="none", residual=False)])
def test_the_same_from_disk(spec: LawSpec, tmp_path: Path) -> None:
    start = pretrained()
    task, data = labelled(start, 20, 0)
    fitted = fit(spec, start, task, data.subset(range(6)), data.subset(range(6, 8)), 0)
    again = load_fitted(fitted.save(tmp_path / "model"))
    test = data.subset(range(8, 20))
    np.testing.assert_array_equal(again.predict(test), fitted.predict(test))
    assert again.outside(test) == fitted.outside(test)
    if spec.prior == "none":
        assert again.intervals(test) is None
    else:
        np.testing.assert_array_equal(again.intervals(test), fitted.intervals(test))


def test_least_squares_is_that_of_numpy() -> None:
    start = pretrained()
    task, data = labelled(start, 20, 0)
    fitted = fit(LawSpec(prior="none", residual=False), start, task, data.subset(range(10)), data.subset([]), 0)
    logs = start.domain.logarithms(data)[1]
    design = np.column_stack([np.ones(20), logs])
    expected = np.linalg.lstsq(design[:10], np.log(task.truth(data)[:10, 0]), rcond=None)[0]
    np.testing.assert_allclose(np.log(fitted.predict(data)[:, 0]), design @ expected, atol=1e-3)
    found = fitted.record["exponents"]["1"]
    np.testing.assert_allclose([found["Re"][0], found["Pr"][0]], expected[1:], atol=1e-3)


def test_outside_names_the_quantities_beyond_the_labels() -> None:
    start = pretrained()
    task, data = labelled(start, 8, 0)
    fitted = fit(LawSpec(residual=False), start, task, data, data.subset([]), 0)
    logs = np.exp(start.domain.logarithms(data)[1])
    low, high, middle = logs.min(0), logs.max(0), np.median(logs, 0)
    new = [(middle[0], middle[1]), (2 * high[0], middle[1]), (low[0] / 2, high[1] * 2)]
    read = start.domain.read(Arrays([{"Re": float(a), "Pr": float(b)} for a, b in new], {}, label=[]))
    assert fitted.outside(read) == ["", "Re", "Re, Pr"]


def test_mistakes() -> None:
    start = pretrained()
    task, data = labelled(start, 8, 0)
    plain = RegressSpec().build(data)
    with pytest.raises(InputError, match=r"needs one label and task: \{kind: regress, log: true\}$"):
        fit(LawSpec(), start, plain, data, data.subset([]), 0)
    with pytest.raises(InputError, match=r"needs a backbone to start from"):
        fit(LawSpec(), Start(start.domain), task, data, data.subset([]), 0)
    with pytest.raises(InputError, match="law and residual are both off"):
        LawSpec.parse({"kind": "powerlaw", "law": False, "residual": False})
    with pytest.raises(InputError, match="prior none is least squares; set law to true and residual to false"):
        LawSpec.parse({"kind": "powerlaw", "prior": "none"})
