"""Overlaps and non-maximum suppression against loops over single boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exapt.tasks.boxes import giou, iou, nms, pairwise_iou


def boxes(count: int, seed: int, span: float = 40.0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng, dtype=torch.float64) * span
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=rng, dtype=torch.float64) * 20], 1)


def naive_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def naive_giou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return width * height / union - (hull - union) / hull


def naive_nms(rows: np.ndarray, classes: np.ndarray, threshold: float) -> list[bool]:
    stay: list[bool] = []
    for j in range(len(rows)):
        covered = any(
            stay[i] and classes[i] == classes[j] and naive_iou(rows[i].tolist(), rows[j].tolist()) > threshold
            for i in range(j)
        )
        stay.append(not covered)
    return stay


def test_overlaps_equal_the_loops() -> None:
    a, b = boxes(30, 0), boxes(30, 1)
    assert torch.allclose(
        iou(a, b), torch.tensor([naive_iou(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]).double()
    )
    wanted = [naive_giou(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert torch.allclose(giou(a, b), torch.tensor(wanted, dtype=torch.float64))
    assert pairwise_iou(a, b)[3, 7] == pytest.approx(naive_iou(a[3].tolist(), b[7].tolist()))


def test_known_overlaps() -> None:
    square = torch.tensor([0.0, 0, 2, 2])
    assert iou(square, square) == 1
    assert iou(square, torch.tensor([1.0, 0, 3, 2])) == pytest.approx(1 / 3)
    assert iou(square, torch.tensor([5.0, 5, 6, 6])) == 0
    assert giou(square, torch.tensor([4.0, 0, 6, 2])) == pytest.approx(-1 / 3)  # the hull is 12, filled 8
    assert iou(torch.zeros(4), torch.zeros(4)) == 0


def test_giou_has_the_gradient_of_its_formula_and_one_where_boxes_do_not_touch() -> None:
    a, b = boxes(8, 2).requires_grad_(), boxes(8, 3)
    assert torch.autograd.gradcheck(lambda x: giou(x, b), (a,), atol=1e-6)
    far = torch.tensor([50.0, 50, 60, 60], requires_grad=True)
    giou(far, torch.tensor([0.0, 0, 10, 10])).backward()
    assert far.grad is not None
    assert far.grad.abs().sum() > 0


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_suppression_of_all_pictures_at_once_equals_the_greedy_loop(threshold: float) -> None:
    rows = torch.stack([boxes(60, seed) for seed in range(5)])
    classes = torch.randint(0, 3, (5, 60), generator=torch.Generator().manual_seed(9))
    found = nms(rows, classes, threshold)
    for picture in range(5):
        wanted = naive_nms(rows[picture].numpy(), classes[picture].numpy(), threshold)
        assert found[picture].tolist() == wanted
    assert 0 < found.sum() < found.numel()


def test_suppression_is_as_exact_for_the_last_class_as_for_the_first() -> None:
    """Boxes that only just overlap too much, or not: a class's number does not blur their places."""
    row = torch.tensor([[0.0, 0, 10, 1], [2.45, 0, 12.45, 1], [5.05, 0, 15.05, 1]])[None]  # IoU 0.606, 0.587
    for number in (0, 7, 999):
        assert nms(row, torch.full((1, 3), number), 0.6)[0].tolist() == [True, False, True]
    assert nms(row[:, :2].repeat(1, 1, 1), torch.tensor([[998, 999]]), 0.6)[0].tolist() == [True, True]


def test_a_chain_of_boxes_keeps_every_other_one() -> None:
    chain = torch.tensor([[[float(i), 0, i + 3.0, 1] for i in range(6)]])  # neighbours overlap by 0.5, others by 0.2
    assert nms(chain, torch.zeros(1, 6), 0.4)[0].tolist() == [True, False] * 3
