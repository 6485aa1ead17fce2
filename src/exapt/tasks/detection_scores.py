"""How good detections are: COCO's average precision, and a score of each picture.

Shapes: n pictures; predictions (n, M, 6) rows x1, y1, x2, y2, score, class, best first; truth (n, K, 6) rows x1, y1,
x2, y2, class, ignored. Rows of NaN are padding.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from exapt.errors import InputError
from exapt.tasks.boxes import pairwise_iou

MATCH = 0.5
"""IoU from which a detection counts as the object, in a picture's own score."""


def average_precision(
    prediction: np.ndarray, truth: np.ndarray, classes: int, size: tuple[int, int], metric: Literal["AP", "AP50"]
) -> float:
    """COCO's average precision: the mean over classes (for AP also IoU 0.50 … 0.95) of the precision at 101 recalls.

    At most 100 detections a picture count. Ignored objects are neither missed nor wrong to find. 0 without any object.
    """
    evaluation = _evaluation()
    listed = _truth(truth, classes, size)
    found = _results(prediction)
    if not found or not any(not one["iscrowd"] for one in listed["annotations"]):
        return 0.0
    gold = evaluation.COCO(listed, print_function=_silent)
    judge = evaluation.COCOeval_faster(gold, gold.loadRes(found), "bbox", print_function=_silent)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return max(0.0, float(judge.stats[0 if metric == "AP" else 1]))


def picture_scores(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(n,) from 0 to 1, R-precision: of as many best-scored detections as a picture has objects, the share that name
    and find one (IoU ≥ 0.5); without objects, 1 less the best score there."""
    return np.array([_one(p, t) for p, t in zip(prediction, truth, strict=True)], dtype=np.float64)


def _one(prediction: np.ndarray, truth: np.ndarray) -> float:
    found, objects = _there(prediction), _there(truth)
    ignored, objects = objects[objects[:, 5] > 0], objects[objects[:, 5] == 0]
    good = (_overlap(found, objects) >= MATCH) & (found[:, None, 5] == objects[None, :, 4])
    counts = good.any(1) | ~(_overlap(found, ignored) >= MATCH).any(1)  # what finds an ignored object alone does not
    if not len(objects):
        return 1.0 - float(found[counts, 4].max(initial=0.0))
    return len(_matched(good[counts][: len(objects)])) / len(objects)


def _matched(good: np.ndarray) -> set[int]:
    """Objects that are found, each by one detection, best detection first."""
    taken: set[int] = set()
    for row in good:
        free = [int(j) for j in np.flatnonzero(row) if int(j) not in taken]
        taken |= set(free[:1])
    return taken


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return pairwise_iou(torch.as_tensor(a[:, :4].copy()), torch.as_tensor(b[:, :4].copy())).numpy()


def _there(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows, dtype=np.float64)[~np.isnan(rows[:, 0])]


def _truth(truth: np.ndarray, classes: int, size: tuple[int, int]) -> dict[str, Any]:
    """COCO's ground truth; ids count from 1."""
    annotations: list[dict[str, Any]] = []
    for image, rows in enumerate(truth, 1):
        for x1, y1, x2, y2, name, ignored in _there(rows).tolist():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(name) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(ignored),
                }
            )
    images = [{"id": i, "height": size[0], "width": size[1]} for i in range(1, len(truth) + 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": c + 1} for c in range(classes)]}


def _results(prediction: np.ndarray) -> list[dict[str, Any]]:
    return [
        {"image_id": i, "category_id": int(c) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for i, rows in enumerate(prediction, 1)
        for x1, y1, x2, y2, score, c in _there(rows).tolist()
    ]


def _evaluation() -> Any:
    try:
        import faster_coco_eval
    except ImportError:
        raise InputError("task.kind=detect: average precision needs `pip install exapt[vision]`") from None
    return faster_coco_eval


def _silent(*_: object) -> None:
    """Takes what faster-coco-eval would print."""
