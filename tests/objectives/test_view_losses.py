"""Each loss of views against a naive double loop in float64, its gradient, and what it must not change with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.objectives.byol import momentum_at
from exapt.objectives.sigreg import epps_pulley
from exapt.objectives.simclr import nt_xent
from exapt.objectives.simsiam import crossed
from exapt.objectives.sphere import on_sphere
from exapt.objectives.vicreg import vicreg_terms
from exapt.training.representation import alignment, uniformity


def clouds(n: int = 6, width: int = 4, views: int = 2, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(views, n, width, generator=rng, dtype=torch.float64)


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float(x @ y / math.sqrt(x @ x) / math.sqrt(y @ y))


def naive_nt_xent(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    rows, n = [*first, *second], len(first)
    total = 0.0
    for i in range(2 * n):
        scores = {k: math.exp(cosine(rows[i], rows[k]) / temperature) for k in range(2 * n) if k != i}
        total -= math.log(scores[(i + n) % (2 * n)] / sum(scores.values()))
    return total / (2 * n)


def naive_vicreg(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    n, width = first.shape
    invariance = sum((first[i, j] - second[i, j]) ** 2 for i in range(n) for j in range(width)) / (n * width)
    variance, covariance = 0.0, 0.0
    for view in (first, second):
        matrix = np.cov(view.T)
        variance += sum(max(0.0, 1 - math.sqrt(matrix[j, j] + 1e-4)) for j in range(width)) / width / 2
        covariance += sum(matrix[j, k] ** 2 for j in range(width) for k in range(width) if j != k) / width
    return {"invariance": invariance, "variance": variance, "covariance": covariance}


def naive_epps_pulley(points: np.ndarray) -> float:
    """Over (V, n, S), with a complex characteristic function on [−3, 3] in the place of twice its half."""
    knots = np.linspace(-3, 3, 33)
    found = []
    for view in points:
        for line in view.T:
            apart = [
                abs(np.exp(1j * t * line).mean() - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2) for t in knots
            ]
            found.append(len(line) * np.trapezoid(apart, knots))
    return float(np.mean(found))


def test_nt_xent_is_the_papers_sum() -> None:
    first, second = clouds()
    for temperature in (0.1, 0.5):
        naive = naive_nt_xent(first.numpy(), second.numpy(), temperature)
        assert float(nt_xent(first, second, temperature)) == pytest.approx(naive, rel=1e-12)


def test_vicreg_is_the_papers_terms() -> None:
    first, second = clouds()
    first = first * 0.3
    found = {name: float(term) for name, term in vicreg_terms(first, second).items()}
    assert found == pytest.approx(naive_vicreg(first.numpy(), second.numpy()), rel=1e-12)


def test_simsiam_is_the_papers_mean_and_byol_a_quarter_of_its_sum() -> None:
    predictions, goals = clouds(seed=1), clouds(seed=2)
    pairs = [cosine(predictions[v, i].numpy(), goals[1 - v, i].numpy()) for v in range(2) for i in range(6)]
    assert float(crossed(predictions, goals)) == pytest.approx(1 - np.mean(pairs), rel=1e-12)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (predictions, goals)]
    both = sum((unit[0][v] - unit[1][1 - v]).square().sum(1).mean() for v in range(2))
    assert float(crossed(predictions, goals)) == pytest.approx(float(both) / 4, rel=1e-12)


def test_epps_pulley_is_the_integral() -> None:
    points = clouds(n=9, width=3, views=3)
    assert float(epps_pulley(points)) == pytest.approx(naive_epps_pulley(points.numpy()), rel=1e-10)


def test_epps_pulley_tells_a_normal_cloud_from_others() -> None:
    """Its mean for n normal points is known: ∫ (1 − φ²) φ over [−3, 3], whatever n."""
    rng = torch.Generator().manual_seed(0)
    knots = torch.linspace(-3, 3, 3001, dtype=torch.float64)
    expected = torch.trapezoid((1 - (-knots.square()).exp()) * (-knots.square() / 2).exp(), knots)
    normal = torch.randn(400, 500, generator=rng, dtype=torch.float64)
    assert float(epps_pulley(normal)) == pytest.approx(float(expected), rel=0.05)
    for other in (normal * 0, normal * 2, normal + 0.5, normal.sign()):
        assert float(epps_pulley(other)) > 5 * float(expected)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nt_xent": lambda a, b: nt_xent(a, b, 0.3),
    "vicreg": lambda a, b: torch.stack(list(vicreg_terms(0.2 * a, b).values())).sum(),
    "crossed": lambda a, b: crossed(torch.stack([a, b]), torch.stack([b, a]) + 1),
    "sigreg": lambda a, b: epps_pulley(torch.stack([a, b])),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    first, second = (view.clone().requires_grad_() for view in clouds(n=4, width=3))
    assert torch.autograd.gradcheck(LOSSES[name], (first, second))


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_examples_does_not_matter(name: str) -> None:
    first, second = clouds()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert float(LOSSES[name](first[order], second[order])) == pytest.approx(float(LOSSES[name](first, second)))


@pytest.mark.parametrize("name", ["nt_xent", "vicreg", "sigreg"])
def test_which_view_comes_first_does_not_matter(name: str) -> None:
    first, second = clouds()
    second = first + 0.1 * second
    loss = LOSSES["nt_xent"] if name == "nt_xent" else LOSSES[name]
    if name == "vicreg":
        loss = lambda a, b: torch.stack(list(vicreg_terms(a, b).values())).sum()  # noqa: E731
    assert float(loss(first, second)) == pytest.approx(float(loss(second, first)))


def test_what_each_loss_is_blind_to() -> None:
    first, second = clouds()
    turn = torch.linalg.qr(clouds(4, 4, 1, seed=5)[0]).Q
    assert float(nt_xent(2 * first @ turn, 3 * second @ turn, 0.3)) == pytest.approx(float(nt_xent(first, second, 0.3)))
    moved = vicreg_terms(first + 7, second + 7)
    assert {k: float(v) for k, v in moved.items()} == pytest.approx(
        {k: float(v) for k, v in vicreg_terms(first, second).items()}
    )
    assert float(epps_pulley(-first)) == pytest.approx(float(epps_pulley(first)))


def test_logged_figures_are_those_of_the_audits() -> None:
    views = clouds(n=40, width=5)
    found = {name: float(value) for name, value in on_sphere(views).items()}
    assert found["alignment"] == pytest.approx(alignment(views[0], views[1]))
    assert found["uniformity"] == pytest.approx(uniformity(views[0]))
    many = clouds(n=7, width=5, views=4)
    pairs = [alignment(many[i], many[j]) for i in range(4) for j in range(4) if i != j]
    assert float(on_sphere(many)["alignment"]) == pytest.approx(np.mean(pairs))
    alone = on_sphere(clouds(n=1))
    assert float(alone["uniformity"]) == 0


def test_momentum_begins_with_a_copy_and_rises_by_a_cosine() -> None:
    assert momentum_at(0, 0.9, None) == 0
    assert momentum_at(500, 0.9, None) == 0.9
    assert momentum_at(50, 0.9, 100) == pytest.approx(0.95)
    assert momentum_at(100, 0.9, 100) == momentum_at(300, 0.9, 100) == 1
