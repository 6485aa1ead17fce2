"""Boxes (…, 4) as x1, y1, x2, y2: overlaps, and which of several are the same object.

Shapes: n pictures, k boxes of each.
"""

from __future__ import annotations

import torch
from torch import Tensor


def area(boxes: Tensor) -> Tensor:
    """(…,) width times height; 0 where inverted."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """(…,) intersection over union of pairs of boxes (…, 4); 0 where both are empty."""
    both = _common(a, b)
    return both / (area(a) + area(b) - both).clamp(min=1e-9)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """(…, k, m) intersection over union of every box of a (…, k, 4) with every one of b (…, m, 4)."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(…,) generalised IoU from −1 to 1 (Rezatofighi et al. 2019, eq. 3): IoU less the share of the smallest box around
    both that neither fills, so that boxes that do not touch still have a gradient."""
    both = _common(a, b)
    union = area(a) + area(b) - both
    around = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    hull = area(around).clamp(min=1e-9)
    return both / union.clamp(min=1e-9) - (hull - union) / hull


def nms(boxes: Tensor, classes: Tensor, threshold: float) -> Tensor:
    """(n, k) which boxes (n, k, 4) stay, each row sorted by score, highest first, with its classes (n, k).

    Greedy non-maximum suppression: a box goes where one of its class that stays, before it, overlaps it by more than
    the threshold. All pictures at once: from "all stay" the rule is applied until nothing changes, which ends at the
    greedy answer, for the first j boxes are right after j rounds (Zheng et al. 2020, arXiv 2005.03572).
    """
    alike = classes[..., :, None] == classes[..., None, :]
    over = ((pairwise_iou(boxes, boxes) > threshold) & alike).triu(1)  # over[i, j]: i comes before j and covers it
    stay = torch.ones(classes.shape, dtype=torch.bool, device=boxes.device)
    while True:
        changed = ~(over & stay[..., :, None]).any(-2)
        if bool((changed == stay).all()):
            return stay
        stay = changed


def _common(a: Tensor, b: Tensor) -> Tensor:
    """(…,) the area that two boxes share."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0).prod(-1)
