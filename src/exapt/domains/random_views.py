"""Random views of standardised pictures, whole batches at once, by the fused path or through kornia."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from exapt.domains.drawing import Drawn, draw
from exapt.domains.fused_views import Maps, blur, maps_of, recolour, solarise
from exapt.domains.kornia_views import Chain
from exapt.domains.scale import Scale
from exapt.domains.viewing import PictureViewSpec, Plan
from exapt.domains.warping import moved

RUN = 200_000
"""Numbers that a CPU changes in one go: they stay in its cache, and their memory is used again without being asked of
the system anew, which took longer than the sums."""


def random_views(
    pictures: Tensor, spec: PictureViewSpec, plan: Plan, scale: Scale, rng: torch.Generator, count: int
) -> list[Tensor]:
    """`count` independent views of standardised pictures (B, C, H, W)."""
    if spec.path == "kornia":
        chain, unit = Chain(spec, plan), scale.unit(pictures)
        return [scale.standard_(chain(unit, rng)) for _ in range(count)]
    drawn = draw(spec, plan, count * len(pictures), rng).to(pictures.device)
    maps = maps_of(drawn, pictures, scale)
    views = pictures.new_empty(count, *pictures.shape)
    for seen, rows in _runs(pictures, count):
        views.flatten(0, 1)[rows] = fused(pictures[seen], drawn.part(rows), maps.part(rows), plan, scale)
    return list(views)


def fused(pictures: Tensor, drawn: Drawn, maps: Maps, plan: Plan, scale: Scale) -> Tensor:
    """What was drawn, done: one resampling, one map of the channels, and what a few pictures may get on top."""
    seen = moved(pictures, maps.places) if plan.moves else pictures
    if not plan.colours:
        return seen
    unit = recolour(seen, maps)
    if plan.blur:
        unit = blur(unit, drawn.sigma)
    if plan.solarise:
        unit = solarise(unit, drawn.solarise)
    return scale.standard_(unit)


def _runs(pictures: Tensor, count: int) -> Iterator[tuple[slice, slice]]:
    """Runs of pictures and of their views, `count` times; each time in one run on an accelerator."""
    total = len(pictures)
    size = total if pictures.device.type != "cpu" else max(1, RUN // max(1, pictures[:1].numel()))
    for first in range(0, count * total, max(1, total)):
        for start in range(0, total, size):
            end = min(start + size, total)
            yield slice(start, end), slice(first + start, first + end)
