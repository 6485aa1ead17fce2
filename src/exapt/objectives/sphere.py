"""How views lie on the sphere (Wang & Isola 2020, arXiv 2005.10242): figures for the log of every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MOST = 512
"""Examples that uniformity is taken over."""


@torch.no_grad()
def on_sphere(views: Tensor) -> dict[str, Tensor]:
    """Alignment and uniformity of views (V, n, D) of n examples.

    `alignment`: the mean squared distance of two views of one example, 0 the same, 2 unrelated. `uniformity`: log of
    the mean of exp(−2 d²) over unlike examples of the first view, 0 where all are one vector; 0 for one example.
    """
    x = F.normalize(views.detach().to(torch.promote_types(views.dtype, torch.float32)), dim=-1)
    count = len(x)
    alike = (x.sum(0).square().sum(-1) - x.square().sum((0, -1))).mean() / max(1, count * (count - 1))
    some = x[0, :MOST]
    n = len(some)
    squared = (2 - 2 * some @ some.T).clamp(min=0).fill_diagonal_(torch.inf)
    spread = (-2 * squared).flatten().logsumexp(0) - math.log(n * (n - 1)) if n > 1 else x.new_zeros(())
    return {"alignment": 2 - 2 * alike, "uniformity": spread}
