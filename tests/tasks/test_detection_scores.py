"""COCO's average precision against one written by hand from its definition, and the score of a single picture."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.tasks.detection_scores import average_precision, picture_scores

pytest.importorskip("faster_coco_eval")
SIZE = (100, 100)


def overlap(a: np.ndarray, b: np.ndarray, crowd: bool = False) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    own, other = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return width * height / (own if crowd else own + other - width * height)


def naive(prediction: np.ndarray, truth: np.ndarray, classes: int, thresholds: list[float]) -> float:
    """Mean over thresholds and classes that have objects of the precision at recalls 0, 0.01 … 1."""
    found = [
        _one(prediction, truth, c, t)
        for t in thresholds
        for c in range(classes)
        if ((truth[..., 4] == c) & (truth[..., 5] == 0)).any()
    ]
    return float(np.mean(found)) if found else 0.0


def _one(prediction: np.ndarray, truth: np.ndarray, wanted: int, threshold: float) -> float:
    marks: list[tuple[float, bool]] = []
    objects = 0
    for rows, gold in zip(prediction, truth, strict=True):
        real = gold[(gold[:, 4] == wanted) & (gold[:, 5] == 0)]
        crowd = gold[(gold[:, 4] == wanted) & (gold[:, 5] == 1)]
        objects += len(real)
        free = list(range(len(real)))
        for row in sorted(rows[rows[:, 5] == wanted], key=lambda r: -r[4]):
            best = max(free, key=lambda g, row=row, real=real: overlap(row, real[g]), default=None)
            if best is not None and overlap(row, real[best]) >= threshold:
                free.remove(best)
                marks.append((row[4], True))
            elif not any(overlap(row, one, crowd=True) >= threshold for one in crowd):
                marks.append((row[4], False))
    marks.sort(key=lambda mark: -mark[0])
    right = np.cumsum([mark[1] for mark in marks])
    recall, precision = right / objects, right / np.arange(1, len(marks) + 1)
    at = np.linspace(0, 1, 101)
    return float(np.mean([max(precision[recall >= r - 1e-12], default=0.0) for r in at]))


def scene(seed: int, ignored: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Six pictures of up to five objects of three classes, and detections near them and elsewhere."""
    rng = np.random.default_rng(seed)
    truth, prediction = np.full((6, 5, 6), np.nan), np.full((6, 12, 6), np.nan)
    for picture in range(6):
        count = rng.integers(0, 6)
        corner = rng.uniform(0, 70, (count, 2))
        boxes = np.hstack([corner, corner + rng.uniform(8, 30, (count, 2))])
        truth[picture, :count] = np.column_stack([boxes, rng.integers(0, 3, count), rng.random(count) < ignored])
        near = (boxes + rng.normal(0, 2, boxes.shape))[rng.random(count) < 0.8]
        names = truth[picture, :count, 4][: len(near)]
        corner = rng.uniform(0, 70, (4, 2))
        rows = np.vstack([near, np.hstack([corner, corner + rng.uniform(8, 30, (4, 2))])])
        names = np.concatenate([names, rng.integers(0, 3, 4)])
        order = np.argsort(-(scores := rng.random(len(rows))))
        prediction[picture, : len(rows)] = np.column_stack([rows, scores, names])[order]
    return prediction, truth


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_average_precision_equals_the_definition(seed: int, ignored: float) -> None:
    prediction, truth = scene(seed, ignored)
    at = [0.5 + 0.05 * i for i in range(10)]
    assert average_precision(prediction, truth, 3, SIZE, "AP") == pytest.approx(
        naive(prediction, truth, 3, at), abs=1e-6
    )
    assert average_precision(prediction, truth, 3, SIZE, "AP50") == pytest.approx(
        naive(prediction, truth, 3, [0.5]), abs=1e-6
    )


def test_everything_found_is_one_and_nothing_found_is_zero() -> None:
    _, truth = scene(0)
    right = np.concatenate([truth[..., :4], np.ones_like(truth[..., :1]), truth[..., 4:5]], -1)
    assert average_precision(right, truth, 3, SIZE, "AP") == pytest.approx(1.0)
    assert average_precision(np.zeros((6, 0, 6)), truth, 3, SIZE, "AP") == 0.0
    assert average_precision(right, np.full((6, 1, 6), np.nan), 3, SIZE, "AP") == 0.0
    swapped = right.copy()
    swapped[..., 5] = (swapped[..., 5] + 1) % 3
    assert average_precision(swapped, truth, 3, SIZE, "AP") < 0.2


def test_a_picture_s_score_counts_as_many_detections_as_it_has_objects() -> None:
    truth = np.array([[[0, 0, 10, 10, 0, 0], [50, 50, 60, 60, 1, 0]]], dtype=float)
    first, second, wrong = [0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.8, 1], [80, 80, 90, 90, 0.95, 1]
    assert picture_scores(np.array([[first, second]]), truth) == pytest.approx([1.0])
    assert picture_scores(np.array([[wrong, first, second]]), truth) == pytest.approx([0.5])
    assert picture_scores(np.array([[first, first]]), truth) == pytest.approx([0.5])  # one object is found once
    assert picture_scores(np.array([[[*first[:5], 1], second]]), truth) == pytest.approx([0.5])


def test_a_picture_without_objects_scores_by_its_surest_mistake_and_ignored_ones_cost_nothing() -> None:
    nothing = np.full((1, 1, 6), np.nan)
    assert picture_scores(np.array([[[0, 0, 9, 9, 0.7, 0]]]), nothing) == pytest.approx([0.3])
    assert picture_scores(np.full((1, 1, 6), np.nan), nothing) == pytest.approx([1.0])
    ignored = np.array([[[0.0, 0, 9, 9, 0, 1]]])
    assert picture_scores(np.array([[[0, 0, 9, 9, 0.7, 0]]]), ignored) == pytest.approx([1.0])


def test_an_object_beside_an_ignored_one_is_found_all_the_same() -> None:
    both = np.array([[[0.0, 0, 10, 10, 0, 0], [1.0, 0, 11, 10, 0, 1]]])
    assert picture_scores(np.array([[[0, 0, 10, 10, 0.7, 0]]]), both) == pytest.approx([1.0])
    assert picture_scores(np.array([[[1, 0, 11, 10, 0.7, 1], [0, 0, 10, 10, 0.6, 0]]]), both) == pytest.approx([1.0])
