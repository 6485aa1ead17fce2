"""Detections in new pictures, written in pixels of the pictures as they were given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from exapt.adaptation import Fitted
from exapt.domains.base import Arrays, Source
from exapt.domains.image import ImageDomain
from exapt.domains.resizing import unfit_boxes
from exapt.errors import InputError
from exapt.files import write_text
from exapt.tasks.detect import DetectTask
from exapt.training.weights import room_for

ENDINGS = (".jsonl", ".json")


def predict_boxes(fitted: Fitted, source: Source | Arrays, out: Path) -> int:
    """Write what a fitted detector finds: .jsonl, one line a picture; .json, COCO's results. How many pictures.

    In COCO's results `image_id` is the picture's place in the source from 0, and `category_id` the class's, from 1.
    """
    if out.suffix not in ENDINGS:
        raise InputError(f"{out}: boxes are written as .jsonl (a line a picture) or .json (COCO's results)")
    task, domain = fitted.task, fitted.domain
    assert isinstance(task, DetectTask) and isinstance(domain, ImageDomain)
    found = fitted.predict(domain.read(source))
    frames = domain.frames(source)
    lines = [_line(task, domain, place, frame, found[place]) for place, frame in enumerate(frames)]
    text = "".join(json.dumps(line) + "\n" for line in lines) if out.suffix == ".jsonl" else json.dumps(_coco(lines))
    with room_for(out):
        write_text(out, text)
    return len(lines)


def _line(
    task: DetectTask, domain: ImageDomain, place: int, frame: tuple[str, int, int], rows: np.ndarray
) -> dict[str, Any]:
    name, height, width = frame
    rows = rows[~np.isnan(rows[:, 0])].astype(np.float64)
    boxes = unfit_boxes(rows[:, :4], (height, width), task.size, domain.spec.stretch)
    objects = [
        {
            "box": [round(float(v), 2) for v in box],
            "class": task.classes[int(row[5])],
            "class_number": int(row[5]),
            "score": round(float(row[4]), 5),
        }
        for box, row in zip(boxes, rows, strict=True)
    ]
    return {"index": place, "picture": name, "height": height, "width": width, "objects": objects}


def _coco(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        for one in line["objects"]:
            x1, y1, x2, y2 = one["box"]
            box = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
            number = one["class_number"] + 1
            found.append({"image_id": line["index"], "category_id": number, "bbox": box, "score": one["score"]})
    return found
