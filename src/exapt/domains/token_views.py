"""Changes of token sequences: tokens hidden, tokens in another order."""

from __future__ import annotations

from dataclasses import replace

import torch

from exapt.batch import Batch
from exapt.domains.views import Changed, Transformation


def token_views(mask: int, plain: int) -> list[Transformation]:
    """What every field of tokens has; ids below `plain` stand for nothing of the field and are left alone."""

    def hidden(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        draw = torch.rand(len(batch.inputs), generator=rng, device=rng.device).to(batch.inputs.device)
        gone = (draw < strength) & (batch.inputs >= plain)
        return Changed(replace(batch, inputs=batch.inputs.masked_fill(gone, mask)))

    def shuffled(batch: Batch, strength: float, rng: torch.Generator) -> Changed:
        """Within runs of `strength` tokens, end to end, the order is drawn anew."""
        places = (batch.inputs >= plain).nonzero().squeeze(1)
        owner = batch.segments.to(places.device)[places]
        within = places - batch.offsets.to(places.device)[owner]
        run = torch.stack([owner, within // int(strength)], 1).unique(dim=0, return_inverse=True)[1]
        draw = torch.rand(len(places), generator=rng, device=rng.device, dtype=torch.float64).to(places.device)
        inputs = batch.inputs.clone()
        inputs[places] = batch.inputs[places[(run + draw).argsort()]]
        return Changed(replace(batch, inputs=inputs))

    return [
        Transformation("token dropout", hidden, (0.1, 0.3, 0.5), "share of tokens hidden"),
        Transformation("order", shuffled, (2.0, 8.0, 64.0), "tokens of a run that is shuffled"),
    ]
