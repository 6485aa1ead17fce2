"""Neighbours against all images by hand, and lists kept through dynamics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from exapt.batch import offsets_of
from exapt.domains.neighbours import Skin, closer_than, completed, neighbours

CUTOFF = 3.0
CELL = np.array([[4.0, 0.3, 0.0], [0.0, 3.5, 0.2], [0.5, 0.0, 3.8]])


def by_hand(places: np.ndarray, cell: np.ndarray, cutoff: float) -> set[tuple]:
    """From, to and rounded shift of every pair, over all images near enough."""
    reach = [range(-3, 4) if row.any() else range(1) for row in cell]
    found = set()
    for shift in itertools.product(*reach):
        moved = np.array(shift) @ cell
        for j, i in itertools.product(range(len(places)), repeat=2):
            far = np.linalg.norm(places[j] + moved - places[i])
            if far < cutoff and not (i == j and not any(shift)):
                found.add((j, i, *np.round(moved, 6).tolist()))
    return found


def as_set(edges: torch.Tensor, shifts: torch.Tensor) -> set[tuple]:
    assert bool((edges[1].diff() >= 0).all())
    rows = zip(edges.T.tolist(), shifts.numpy().round(6) + 0.0, strict=True)
    return {(*pair, *shift.tolist()) for pair, shift in rows}


@pytest.mark.parametrize("directions", [(), (0, 1, 2), (0, 1), (2,)])
def test_pairs_equal_those_of_all_images(directions: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(directions))
    places = rng.uniform(0, 4, (6, 3))
    cell = np.zeros((3, 3))
    cell[list(directions)] = CELL[list(directions)]
    pairs = neighbours(torch.tensor(places), torch.tensor([0, 6]), torch.tensor(cell)[None], CUTOFF)
    assert as_set(*pairs) == by_hand(places, cell, CUTOFF)
    vectors = places[pairs.edges[0]] + pairs.shifts.numpy() - places[pairs.edges[1]]
    assert np.linalg.norm(vectors, axis=1).max() < CUTOFF


def test_a_mixed_batch_equals_each_of_its_structures() -> None:
    """Small, large and periodic structures, and an empty one, side by side."""
    rng = np.random.default_rng(0)
    sizes = [5, 200, 4, 0, 1]
    places = torch.tensor(np.concatenate([rng.uniform(0, 4 if n < 50 else 14, (n, 3)) for n in sizes]))
    offsets = offsets_of(torch.tensor(sizes))
    cells = torch.zeros(5, 3, 3, dtype=torch.float64)
    cells[2] = torch.tensor(CELL)
    both = as_set(*neighbours(places, offsets, cells, CUTOFF))
    alone = set()
    for b, start in enumerate(offsets[:-1].tolist()):
        part = places[start : start + sizes[b]].numpy()
        alone |= {(j + start, i + start, *s) for j, i, *s in by_hand(part, cells[b].numpy(), CUTOFF)}
    assert both == alone
    assert len(both) > 500


def test_structures_without_any_pair() -> None:
    pairs = neighbours(torch.tensor([[0.0, 0, 0], [9.0, 0, 0]]), torch.tensor([0, 2]), None, CUTOFF)
    assert pairs.edges.shape == (2, 0)
    assert pairs.shifts.shape == (0, 3)


def test_the_closest_pair() -> None:
    places = np.array([[0.0, 0, 0], [0.3, 0, 0], [3.9, 0, 0]])
    assert closer_than(places, np.zeros((3, 3)), 0.5) == (0, 1, pytest.approx(0.3))
    assert closer_than(places, np.zeros((3, 3)), 0.2) is None
    assert closer_than(places, np.diag([4.0, 4, 4]), 0.2) == (0, 2, pytest.approx(0.1))


def test_a_cell_is_completed_across_its_own_vectors() -> None:
    flat = np.array([[3.0, 1, 0], [0, 0, 0], [0, 0, 2.0]])
    whole = completed(flat)
    assert whole[1] @ flat[0] == pytest.approx(0)
    assert whole[1] @ flat[2] == pytest.approx(0)
    assert abs(np.linalg.det(completed(np.zeros((3, 3))))) == pytest.approx(1)


def test_a_skin_gives_the_same_pairs_with_fewer_searches() -> None:
    rng = torch.Generator().manual_seed(0)
    places = torch.rand(20, 3, generator=rng, dtype=torch.float64) * 5
    offsets, cell = torch.tensor([0, 20]), torch.eye(3, dtype=torch.float64)[None] * 5
    skin = Skin(CUTOFF, 0.6)
    for _ in range(20):
        places = places + 0.05 * torch.randn(20, 3, generator=rng, dtype=torch.float64)
        assert as_set(*skin(places, offsets, cell)) == as_set(*neighbours(places, offsets, cell, CUTOFF))
    assert 1 < skin.searches < 20
    skin(places, offsets, cell)
    before = skin.searches
    skin(places, offsets, cell * 1.3)
    assert skin.searches == before + 1


def test_a_skin_follows_a_bent_cell() -> None:
    rng = torch.Generator().manual_seed(1)
    start = torch.rand(20, 3, generator=rng, dtype=torch.float64) * 5
    offsets, cell = torch.tensor([0, 20]), torch.eye(3, dtype=torch.float64)[None] * 5
    skin = Skin(CUTOFF, 0.6)
    for number in range(40):
        bend = torch.eye(3, dtype=torch.float64) + 0.002 * number * torch.randn(
            3, 3, generator=rng, dtype=torch.float64
        )
        places = (start + 0.02 * torch.randn(20, 3, generator=rng, dtype=torch.float64)) @ bend
        assert as_set(*skin(places, offsets, cell @ bend)) == as_set(*neighbours(places, offsets, cell @ bend, CUTOFF))
    assert 1 < skin.searches < 40
