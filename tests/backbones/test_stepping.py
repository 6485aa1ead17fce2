"""One element at a time equals the whole at once."""

from __future__ import annotations

import pytest
import torch

from exapt.backbones.stepping import Steps
from exapt.backbones.transformer import TransformerSpec
from exapt.batch import Batch, offsets_of
from exapt.domains.base import Inputs

SPECS = [
    TransformerSpec(size="nano", causal=True),
    TransformerSpec(size="nano", causal=True, local=6, global_every=2),
    TransformerSpec(width=32, depth=2, heads=2, head_width=8, causal=True),
]


@pytest.mark.parametrize("spec", SPECS, ids=["global", "local", "narrow-heads"])
def test_steps_equal_the_forward_pass(spec: TransformerSpec) -> None:
    backbone = spec.build(Inputs("tokens", vocabulary=20, length=12), seed=0).double().eval()
    ids = torch.randint(20, (3, 12), generator=torch.Generator().manual_seed(0))
    whole = backbone(Batch(ids.flatten(), offsets_of(torch.full((3,), 12)))).elements.view(3, 12, -1)
    steps = Steps(backbone, 3, 12)
    for place in range(12):
        rows = [0, 1, 2] if place < 5 else [0, 2]
        if place == 5:
            steps.keep(torch.tensor(rows))
        found = steps.step(ids[rows, place])
        torch.testing.assert_close(found, whole[rows, place], atol=1e-5, rtol=1e-5)
