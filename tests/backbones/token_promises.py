"""What every network over tokens promises, whatever it is made of."""

from __future__ import annotations

import torch

from exapt.backbones import Backbone
from exapt.batch import Batch, offsets_of


def tokens(lengths: list[int], seed: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(torch.randint(0, 23, (sum(lengths),), generator=rng), offsets_of(torch.tensor(lengths)))


def takes_next_to_nothing(backbone: Backbone, lengths: list[int], width: int) -> None:
    batch = Batch(torch.zeros(sum(lengths), dtype=torch.long), offsets_of(torch.tensor(lengths, dtype=torch.long)))
    features = backbone(batch)
    assert features.elements.shape == (sum(lengths), width)
    features.elements.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in backbone.parameters())


def has_finite_gradients_everywhere(backbone: Backbone, half: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        elements = backbone(tokens([3, 0, 30, 1])).elements
    assert elements.dtype == (torch.bfloat16 if half else torch.float32)
    elements.float().square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name
