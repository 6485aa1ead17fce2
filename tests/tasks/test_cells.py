"""Which object each cell is to find, against a loop over cells and boxes."""

from __future__ import annotations

import math

import pytest
import torch

from exapt.tasks.cells import Grid, assign

GRID = Grid(6, 8, 48.0, 64.0)


def labels(count: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    rows = torch.full((2, count + 1, 6), torch.nan, dtype=torch.float64)
    corner = torch.rand(2, count, 2, generator=rng, dtype=torch.float64) * torch.tensor([50.0, 36.0])
    side = 3 + torch.rand(2, count, 2, generator=rng, dtype=torch.float64) * 10
    rows[:, :count, :2], rows[:, :count, 2:4] = corner, corner + side
    rows[:, :count, 4] = torch.randint(0, 3, (2, count), generator=rng).double()
    rows[:, :count, 5] = (torch.rand(2, count, generator=rng) < 0.2).double()
    return rows


def naive(rows: torch.Tensor, cell: int, radius: float) -> tuple[int, list[float], float]:
    x, y = (cell % 8 + 0.5) * 8, (cell // 8 + 0.5) * 8
    best, found, ignored = math.inf, (-1, [0.0] * 4, 0.0), False
    for x1, y1, x2, y2, name, flag in rows[~rows[:, 0].isnan()].tolist():
        sides = [x - x1, y - y1, x2 - x, y2 - y]
        inside = min(sides) > 0
        dx, dy = x - (x1 + x2) / 2, y - (y1 + y2) / 2
        near = all(-radius * 8 <= d < radius * 8 for d in (dx, dy))
        own = all(-4 <= d < 4 for d in (dx, dy))
        ignored |= bool(flag) and inside
        if not flag and ((inside and near) or own) and (x2 - x1) * (y2 - y1) < best:
            best = (x2 - x1) * (y2 - y1)
            left, top, right, bottom = (max(s, 0) for s in sides)
            share = min(left, right) * min(top, bottom) / (max(left, right) * max(top, bottom))
            found = (int(name), [x1, y1, x2, y2], math.sqrt(share))
    return (-2, *found[1:]) if ignored and found[0] < 0 else found


@pytest.mark.parametrize("radius", [0.75, 1.5, 100.0])
def test_assignment_equals_the_loop(radius: float) -> None:
    rows = labels(9, 0)
    found = assign(rows, GRID, radius)
    for picture in range(2):
        for cell in range(48):
            name, box, centreness = naive(rows[picture], cell, radius)
            assert int(found.classes[picture, cell]) == name
            assert found.boxes[picture, cell].tolist() == pytest.approx(box)
            assert float(found.centreness[picture, cell]) == pytest.approx(centreness)


def test_the_smaller_of_two_objects_has_the_cells_that_both_hold() -> None:
    rows = torch.tensor([[[0.0, 0, 64, 48, 0, 0], [20, 20, 30, 30, 1, 0]]])
    found = assign(rows, GRID, 100.0)
    assert set(found.classes[0].tolist()) == {0, 1}
    assert int(found.classes[0, 3 * 8 + 3]) == 1  # the cell around (28, 28)


def test_an_object_smaller_than_a_cell_still_has_one() -> None:
    found = assign(torch.tensor([[[1.0, 1, 2, 2, 2, 0]]]), GRID, 1.5)
    assert (found.classes == 2).sum() == 1
    assert int(found.classes[0, 0]) == 2


def test_pictures_without_boxes_have_no_object_anywhere() -> None:
    for rows in (torch.full((2, 3, 6), torch.nan), torch.zeros(2, 0, 6)):
        found = assign(rows, GRID, 1.5)
        assert (found.classes == -1).all()
        assert found.classes.shape == (2, 48)


def test_centres_are_row_by_row() -> None:
    centres = GRID.centres(torch.zeros(1))
    assert centres[:2].tolist() == [[4, 4], [12, 4]]
    assert centres[8].tolist() == [4, 12]
