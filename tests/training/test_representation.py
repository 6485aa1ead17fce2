"""Figures of representations against naive formulas and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from exapt.training.representation import (
    alignment,
    dead,
    decay,
    figures,
    gaussian_rank,
    lidar,
    nesum,
    participation,
    rank_of,
    rankme,
    spectrum,
    spread,
    uniform,
    uniformity,
)

RNG = np.random.default_rng(0)


def power_law(alpha: float, width: int = 512) -> np.ndarray:
    """Features whose eigenvalues are exactly k^−α."""
    return np.diag(np.arange(1, width + 1.0) ** (-alpha / 2))


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (3000, 5)])
@pytest.mark.parametrize("centred", [True, False])
def test_the_spectrum_is_that_of_singular_values(shape: tuple[int, int], centred: bool) -> None:
    x = RNG.normal(2, 1, shape)
    sigma = np.linalg.svd(x - x.mean(0) * centred, compute_uv=False)
    np.testing.assert_allclose(spectrum(x, centred), sigma**2, atol=1e-9 * sigma[0] ** 2)
    np.testing.assert_allclose(spectrum(torch.tensor(x).float(), centred), sigma**2, atol=1e-5 * sigma[0] ** 2)


def test_rankme_of_known_clouds() -> None:
    assert rankme(np.eye(64), centred=False) == pytest.approx(64, abs=0.01)
    one = np.outer(RNG.normal(size=2048), RNG.normal(size=2048))
    assert rankme(one, centred=False) == pytest.approx(1.0033, abs=1e-4)
    assert rankme(RNG.normal(size=(2048, 128))) == pytest.approx(127.0, abs=0.1)
    assert gaussian_rank(2048, 512) == pytest.approx(494.7, abs=0.5)


def test_an_offset_drags_down_the_uncentred_rank_only() -> None:
    x = RNG.normal(size=(2048, 128))
    assert rankme(x + 10, centred=False) == pytest.approx(25.6, abs=0.2)
    assert rankme(x + 10) == pytest.approx(rankme(x), rel=1e-6)


@pytest.mark.parametrize(("alpha", "expected"), [(1, (409.6, 117.2, 6.8, 28.3)), (2, (117.2, 5.1, 1.6, 2.5))])
def test_ranks_of_a_power_law(alpha: int, expected: tuple[float, ...]) -> None:
    values = spectrum(power_law(alpha), centred=False)
    found = (rank_of(np.sqrt(values), 1e-7), rank_of(values), nesum(values), participation(values))
    assert found == pytest.approx(expected, abs=0.1)
    assert decay(values) == pytest.approx(alpha, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.5])
def test_decay_is_recovered_from_samples(alpha: float) -> None:
    x = RNG.normal(size=(4096, 128)) * np.arange(1, 129) ** (-alpha / 2)
    assert decay(spectrum(x)) == pytest.approx(alpha, abs=0.05)
    assert math.isnan(decay(np.ones(15)))


def test_dead_directions_and_whitened_ones() -> None:
    values = spectrum(power_law(2), centred=False)
    assert dead(values, 512) == 412  # k^−2 < 1e-4 beyond k = 100
    assert nesum(np.ones(32)) == participation(np.ones(32)) == 32
    assert dead(np.zeros(4), 4) == 4


def test_uniformity_has_its_closed_form() -> None:
    expected = {2: -1.5750, 8: -3.0825, 64: -3.8752, 128: -3.9375, 512: -3.9844}
    for width, value in expected.items():
        assert uniform(width) == pytest.approx(value, abs=1e-4)
        assert uniformity(RNG.normal(size=(1500, width))) == pytest.approx(value, abs=4e-3)
    assert uniformity(np.ones((10, 4))) == pytest.approx(0, abs=1e-12)
    x = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double(), dim=1)
    pairs = [math.exp(-2 * float((x[i] - x[j]).square().sum())) for i in range(20) for j in range(20) if i != j]
    assert uniformity(x) == pytest.approx(math.log(np.mean(pairs)))


def test_alignment() -> None:
    x, y = RNG.normal(size=(2, 4000, 64))
    assert alignment(x, 3 * x) == pytest.approx(0, abs=1e-12)
    assert alignment(x, y) == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("rank", [1, 4, 9])
def test_lidar_counts_the_directions_of_classes(rank: int) -> None:
    axes = np.linalg.qr(RNG.normal(size=(32, rank)))[0]
    means = np.linalg.qr(RNG.normal(size=(200, rank)))[0] * 1000 @ axes.T
    views = means[:, None] + 1e-3 * RNG.normal(size=(200, 8, 32))
    assert lidar(views) == pytest.approx(rank, rel=0.05)


def test_lidar_is_its_formula_and_needs_views() -> None:
    x = RNG.normal(size=(30, 4, 5)) + RNG.normal(size=(30, 1, 5))
    middle = x.mean(1)
    within = sum(np.outer(v - m, v - m) for group, m in zip(x, middle, strict=True) for v in group) / (30 * 3)
    values, axes = np.linalg.eigh(within + 1e-4 * np.eye(5))
    root = axes / np.sqrt(values) @ axes.T
    eigen = np.linalg.eigvalsh(root @ np.cov(middle.T) @ root)
    assert lidar(x) == pytest.approx(rank_of(eigen, 1e-7))
    with pytest.raises(ValueError, match="n and q at least 2"):
        lidar(x[:, :1])


def test_spread_is_a_share_of_power() -> None:
    x = RNG.normal(size=(5000, 16))
    assert spread(x) == pytest.approx(1, abs=0.01)
    assert spread(x + 7) == pytest.approx(1 / 50, rel=0.05)
    assert spread(np.ones((5, 3))) == pytest.approx(0, abs=1e-15)
    assert spread(5 * x) == pytest.approx(spread(x))


def test_features_without_any_variance_have_figures_too() -> None:
    found = figures(np.ones((70, 20), dtype=np.float32))
    assert (found["rank"], found["spread"], found["dead"], found["nesum"]) == (0, 0, 20, 0)
    assert found["rank_uncentred"] == pytest.approx(1, abs=1e-3)


def test_one_example_has_figures_too() -> None:
    found = figures(np.ones((1, 20), dtype=np.float32))
    assert math.isnan(found["uniformity"]) and found["rank"] == 0 and found["spread"] == 0
