"""A test picture with its boxes, and with what was found in it, as plain data that a report can draw."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch

from exapt.errors import InputError
from exapt.tasks.boxes import nms

SURE = 0.25
"""Detections of a lower score are not drawn …"""
MOST = 20
"""… nor more than so many of them …"""
OVER = 0.4
"""… nor one that overlaps a better one, of any class, by more than this IoU."""


def drawn(picture: np.ndarray, truth: np.ndarray, prediction: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """A picture (H, W, C), its truth (K, 6) and what was found (M, 6): the report draws it from this alone."""
    objects = [[*_ends(row), classes[int(row[4])], int(row[5])] for row in truth if not np.isnan(row[0])]
    sure = _apart(np.array([row for row in prediction if not np.isnan(row[0]) and row[4] >= SURE]).reshape(-1, 6))[
        :MOST
    ]
    found = [[*_ends(row), classes[int(row[5])], round(float(row[4]), 3)] for row in sure]
    height, width = picture.shape[:2]
    return {"picture": data_uri(picture), "height": height, "width": width, "truth": objects, "found": found}


def data_uri(picture: np.ndarray) -> str:
    """A picture (H, W, C) as a JPEG in a URI; floats are spread over the grey levels."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("task.kind=detect: pictures in the report need `pip install exapt[vision]`") from None
    pixels = picture if picture.dtype == np.uint8 else _levels(picture)
    shown = pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, :3]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _levels(picture: np.ndarray) -> np.ndarray:
    low, high = float(picture.min()), float(picture.max())
    return np.asarray((picture - low) * (255 / max(high - low, 1e-9))).round().astype(np.uint8)


def _apart(rows: np.ndarray) -> np.ndarray:
    """Of boxes that lie over each other, whatever their classes, the best: a reader sees one word a place."""
    boxes = torch.as_tensor(rows[None, :, :4].astype(np.float32))
    return rows[nms(boxes, torch.zeros(boxes.shape[:2]), OVER)[0].numpy()]


def _ends(row: np.ndarray) -> list[float]:
    return [round(float(v), 1) for v in row[:4]]
