"""Pictures mirrored, and seen a little nearer or further, with the boxes in them."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from exapt.batch import Batch
from exapt.spec import Spec


class BoxViewSpec(Spec):
    """How fine-tuning changes pictures and the boxes in them; 0 switches a change off."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of mirroring left to right; 0 where left and right differ, as in digits."""
    zoom: float = Field(default=0.2, ge=0, le=1)
    """A picture is seen at exp(± so much) times its size …"""
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """… and moved by up to so many times its sides."""


def flip_and_zoom(batch: Batch, rng: torch.Generator, spec: BoxViewSpec) -> Batch:
    """Some pictures mirrored left to right, all at another scale and place; boxes move with them.

    A box whose centre leaves the picture is no longer an object of it; one that is cut is cut. What comes into view
    repeats the border.
    """
    count, device = len(batch), batch.inputs.device
    drawn = torch.rand(count, 4, generator=rng, device=rng.device).to(device, torch.float32)
    scale = torch.exp((2 * drawn[:, 0] - 1) * spec.zoom)
    scale_x = torch.where(drawn[:, 1] < spec.flip, -scale, scale)
    move = (2 * drawn[:, 2:] - 1) * 2 * spec.shift
    zero = torch.zeros_like(scale)
    # affine_grid maps places of the new picture, from −1 to 1, to places of the old one
    rows = torch.stack([1 / scale_x, zero, move[:, 0], zero, 1 / scale, move[:, 1]], 1).reshape(-1, 2, 3)
    grid = affine_grid(rows.to(batch.inputs), list(batch.inputs.shape), align_corners=False)
    inputs = grid_sample(batch.inputs, grid, padding_mode="border", align_corners=False)
    height, width = batch.inputs.shape[2:]
    labels = move_boxes(batch.targets["label"], scale_x, scale, move, (height, width))
    return replace(batch, inputs=inputs, targets={**batch.targets, "label": labels})


def move_boxes(labels: Tensor, scale_x: Tensor, scale_y: Tensor, move: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, K, 6) boxes after a place p (−1 … 1) of the new picture shows p / scale + move of the old one."""
    height, width = size
    sides = labels.new_tensor([width, height])
    corners = labels[..., :4].unflatten(-1, (2, 2)) * (2 / sides) - 1
    scales = torch.stack([scale_x, scale_y], 1).to(labels)[:, None, None]
    moved = ((corners - move.to(labels)[:, None, None]) * scales + 1) * (sides / 2)
    low, high = moved.amin(2), moved.amax(2)
    middle = (low + high) / 2
    gone = ((middle < 0) | (middle > sides)).any(-1, keepdim=True)
    cut = torch.cat([low.clamp(min=0).minimum(sides), high.clamp(min=0).minimum(sides)], -1)
    return torch.where(gone, torch.nan, torch.cat([cut, labels[..., 4:]], -1))
