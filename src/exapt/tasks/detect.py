"""Detection: boxes around objects, each with its class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.batch import Batch
from exapt.domains.base import Dataset, Domain
from exapt.domains.boxes import BOXES
from exapt.domains.labels import in_order, listed, one_column, row
from exapt.errors import InputError
from exapt.objectives.base import Loss
from exapt.spec import Spec
from exapt.tasks.base import Task
from exapt.tasks.box_views import BoxViewSpec, flip_and_zoom
from exapt.tasks.boxes import giou, nms
from exapt.tasks.cells import Assigned, Grid, assign
from exapt.tasks.detection_examples import drawn
from exapt.tasks.detection_head import DetectHead, DetectHeadSpec
from exapt.tasks.detection_scores import average_precision, picture_scores

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al. 2017, arXiv 1708.02002, eq. 5)."""
LEAST = 0.02
"""Detections of a lower score are left out."""
CANDIDATES = 300
"""Boxes a picture that non-maximum suppression is given, the best first."""
MOST = 100
"""Detections of a picture that are kept, as COCO counts."""
SHOWN = 4
"""Test pictures that the report shows."""
REACH = 4.0
"""The largest logarithm of a distance in typical sides."""


class DetectSpec(Spec):
    """Boxes and classes of objects in pictures: an anchor-free head that asks every cell which object is around it."""

    kind: Literal["detect"] = "detect"
    metric: Literal["AP", "AP50"] = "AP"
    """COCO's average precision over IoU 0.50 … 0.95, or at 0.50."""
    classes: list[str] | None = Field(default=None, min_length=1)
    """The classes in order; None: those found, as numbers or by the alphabet."""
    head: DetectHeadSpec = DetectHeadSpec()
    """What stands between features and outputs."""
    radius: float = Field(default=1.5, gt=0)
    """Cells down and across from an object's centre that are to find it."""
    overlap: float = Field(default=0.6, gt=0, le=1)
    """IoU from which two detections of a class are one object, and the better one stays."""
    views: BoxViewSpec = BoxViewSpec()
    """How fine-tuning mirrors, zooms and moves pictures with their boxes, unless `adapt.augment` is false."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.classes and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes repeat a name")
        return self

    def build(self, dataset: Dataset) -> DetectTask:
        """The task: classes and the pictures' size are the data set's. Raises `InputError` where it has no boxes."""
        rows = [one for boxes in _boxes(dataset) for one in boxes]
        if not rows:
            raise InputError(f"{dataset.source}: no box in {len(dataset)} pictures; detection needs some to learn from")
        names = self.classes or in_order(str(one[4]) for one in rows)
        return DetectTask(self, list(names), *_frame(dataset))


class DetectTask(Task):
    """FCOS with one level; targets (n, K, 6) are rows x1, y1, x2, y2, class, ignored, and NaN where there are fewer."""

    spec: DetectSpec
    probed = False
    resamples = 200

    def __init__(
        self, spec: DetectSpec, classes: list[str], size: tuple[int, int], shape: tuple[int, int], side: float = 32.0
    ) -> None:
        self.spec, self.classes, self.size, self.shape, self.side = spec, classes, size, shape, side
        self.outputs = len(classes) + 5
        self.metric_name = spec.metric

    @property
    def grid(self) -> Grid:
        """The head's cells."""
        times = self.spec.head.upsample
        return Grid(self.shape[0] * times, self.shape[1] * times, *map(float, self.size))

    def attach(self, dataset: Dataset) -> Dataset:
        number = {name: place for place, name in enumerate(self.classes)}
        rows = _boxes(dataset)
        label = np.full((len(rows), max(map(len, rows), default=0), 6), np.nan, dtype=np.float32)
        for place, boxes in enumerate(rows):
            for at, (*ends, name, ignored) in enumerate(boxes):
                if name not in number:
                    raise InputError(f"{row(dataset, place)}: a box of '{name}'; known classes: {listed(self.classes)}")
                label[place, at] = [*ends, number[name], ignored]
        return replace(dataset, targets={**dataset.targets, "label": label})

    def head(self, width: int, seed: int | None = None) -> nn.Module:
        return DetectHead(self.spec.head, width, len(self.classes), self.shape, seed)

    def augmentation(self, domain: Domain) -> Callable[[Batch, torch.Generator], Batch] | None:
        """The domain's own changes would leave the boxes where they were."""
        return partial(flip_and_zoom, spec=self.spec.views)

    def loss(self, output: Tensor, batch: Batch) -> Loss:
        """Focal loss of the classes, 1 − GIoU of the boxes weighted by centre-ness, and centre-ness (FCOS, eq. 2)."""
        labels = batch.targets["label"].to(output.device, torch.float32)
        wanted = assign(labels, self.grid, self.spec.radius)
        logits, sides, centre = output.float().split([len(self.classes), 4, 1], -1)
        found = wanted.classes >= 0
        count = found.sum().clamp(min=1)
        weight = wanted.centreness[found].clamp(min=1e-3)
        terms = {
            "classes": focal(logits, wanted).sum() / count,
            "boxes": ((1 - giou(self.placed(sides)[found], wanted.boxes[found])) * weight).sum()
            / weight.sum().clamp(min=1e-6),
            "centre": F.binary_cross_entropy_with_logits(
                centre.squeeze(-1)[found], wanted.centreness[found], reduction="sum"
            )
            / count,
        }
        return Loss(
            torch.stack(list(terms.values())).sum(), int(count), {name: term.detach() for name, term in terms.items()}
        )

    def placed(self, sides: Tensor) -> Tensor:
        """(…, G, 4) boxes from log-distances to left, top, right, bottom in typical sides, seen from each cell."""
        away = sides.clamp(-REACH, REACH).exp() * (self.side / 2)
        centres = self.grid.centres(away)
        return torch.cat([centres - away[..., :2], centres + away[..., 2:]], -1)

    @torch.no_grad()
    def decode(self, output: Tensor) -> np.ndarray:
        """(n, M, 6) x1, y1, x2, y2, score, class, best first and at most 100; NaN where there are fewer."""
        if not len(output):
            return np.zeros((0, 0, 6), dtype=np.float32)
        found = [self._detections(part) for part in output.float().split(32)]
        most = max(1, *((~part[..., 0].isnan()).sum(1).max().item() for part in found))
        return torch.cat([part[:, : int(most)] for part in found]).cpu().numpy()

    def _detections(self, output: Tensor) -> Tensor:
        """(n, 100, 6) from raw outputs."""
        logits, sides, centre = output.split([len(self.classes), 4, 1], -1)
        scores = (logits.sigmoid() * centre.sigmoid()).sqrt().nan_to_num().flatten(1)
        best, at = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)
        cell, classes = at // len(self.classes), at % len(self.classes)
        height, width = self.size
        boxes = self.placed(sides).nan_to_num().gather(1, cell[..., None].expand(-1, -1, 4))
        boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
        stays = nms(boxes, classes, self.spec.overlap) & (best >= LEAST)
        rows = torch.cat([boxes, best[..., None], classes[..., None].to(boxes)], -1)
        rows = torch.where(stays[..., None], rows, torch.nan)
        order = (~stays).to(torch.int8).argsort(dim=1, stable=True)[:, :MOST]
        return rows.gather(1, order[..., None].expand(-1, -1, 6))

    def metric(self, prediction: np.ndarray, truth: np.ndarray) -> float:
        return average_precision(prediction, truth, len(self.classes), self.size, self.spec.metric)

    def item_scores(self, prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(n,) R-precision of each picture: see `picture_scores`."""
        return picture_scores(prediction, truth)

    def plain(self) -> dict[str, Any]:
        learned = {"classes": self.classes, "size": list(self.size), "shape": list(self.shape), "side": self.side}
        return {"spec": self.spec.plain(), **learned}

    @classmethod
    def restored(cls, spec: DetectSpec, data: Mapping[str, Any]) -> Self:
        """The task again from `plain`."""
        return cls(spec, list(data["classes"]), tuple(data["size"]), tuple(data["shape"]), float(data["side"]))

    def calibrated(self, train: Dataset) -> Self:
        """With the typical (median) side of these boxes, in pixels, as the size that the head starts from."""
        rows = self.truth(train).reshape(-1, 6)
        rows = rows[~np.isnan(rows[:, 0])]
        if not len(rows):
            return self
        other = copy(self)
        other.side = float(np.median(np.sqrt((rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1]))))
        return other

    def strata(self, dataset: Dataset) -> np.ndarray:
        """(n,) the class of a picture that fewest boxes of the data set have; the number of classes without any."""
        truth = self.truth(dataset)
        counts = np.array([(truth[..., 4] == c).sum() for c in range(len(self.classes))])
        there = np.stack([(truth[..., 4] == c).any(1) for c in range(len(self.classes))], 1)
        rarest = np.where(there, counts, np.iinfo(np.int64).max).argmin(1)
        return np.where(there.any(1), rarest, len(self.classes)).astype(np.int64)

    def counts(self, dataset: Dataset) -> dict[str, int]:
        truth = self.truth(dataset)
        return {name: int((truth[..., 4] == place).sum()) for place, name in enumerate(self.classes)}

    def described(self, dataset: Dataset) -> dict[str, Any]:
        truth = self.truth(dataset)
        there = ~np.isnan(truth[..., 0])
        facts = {"boxes": int(there.sum()), "pictures without boxes": int((~there.any(1)).sum())}
        return facts | {"ignored boxes": int((truth[..., 5] > 0).sum()), **dataset.skipped}

    def shown(self, dataset: Dataset, prediction: np.ndarray) -> list[dict[str, Any]]:
        """Four pictures, evenly spaced, with their boxes and what was found."""
        places = np.unique(np.linspace(0, len(dataset) - 1, SHOWN).astype(int)) if len(dataset) else np.zeros(0, int)
        truth, scores = self.truth(dataset), self.item_scores(prediction, self.truth(dataset))
        return [
            drawn(dataset.store[int(dataset.rows[i])], truth[i], prediction[i], self.classes)
            | {"row": int(dataset.rows[i]) + 1, "score": float(scores[i])}
            for i in places
        ]

    def chance(self, truth: np.ndarray) -> float:
        return 0.0


def focal(logits: Tensor, wanted: Assigned) -> Tensor:
    """(B, G, C) −α_t (1 − p_t)^γ log p_t, each class against the rest; nothing for cells in ignored objects."""
    target = F.one_hot(wanted.classes.clamp(min=0), logits.shape[-1]).to(logits) * (wanted.classes >= 0)[..., None]
    cost = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    sure = torch.exp(-cost)
    weight = ALPHA * target + (1 - ALPHA) * (1 - target)
    return weight * (1 - sure) ** GAMMA * cost * (wanted.classes != -2)[..., None]


def _boxes(dataset: Dataset) -> list[list[list[Any]]]:
    """The rows of every picture; raises `InputError` where the label is no column of boxes."""
    if BOXES not in dataset.columns:
        raise InputError(
            f"{dataset.source}: task.kind=detect needs the column of boxes; set labelled.label (--label) to {BOXES}"
        )
    if dataset.roles.get("label"):
        name = one_column(dataset, "detect")
        if name != BOXES:
            raise InputError(f"{dataset.source}: task.kind=detect reads boxes from '{BOXES}', not '{name}'")
    return list(dataset.columns[BOXES])


def _frame(dataset: Dataset) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pictures' size (H, W), and their elements down and across."""
    if not len(dataset) or dataset.store[int(dataset.rows[0])].ndim != 3:
        raise InputError(f"{dataset.source}: task.kind=detect needs pictures; valid: domain.kind=image")
    height, width = dataset.store[int(dataset.rows[0])].shape[:2]
    side = math.sqrt(height * width / int(dataset.lengths[0]))
    return (height, width), (round(height / side), round(width / side))
