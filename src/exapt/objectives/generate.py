"""Generation with an autoregressive backbone: greedy, or sampled with a temperature and top-p."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.batch import Batch, pack
from exapt.errors import InputError
from exapt.objectives.autoregressive import Autoregressive

NEVER = ("pad", "unknown", "start", "mask")
"""Special tokens that are never written, under the names a domain gives them."""


def generate(
    backbone: Backbone,
    objective: Autoregressive,
    prompt: Tensor,
    length: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    rng: torch.Generator | None = None,
    stop: int | None = None,
) -> Tensor:
    """Continue one prompt (n,) by at most `length` ids; see `generate_many`."""
    return generate_many(
        backbone, objective, [prompt], length, temperature=temperature, top_p=top_p, rng=rng, stop=stop
    )[0]


@torch.no_grad()
def generate_many(
    backbone: Backbone,
    objective: Autoregressive,
    prompts: Sequence[Tensor],
    length: int,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    rng: torch.Generator | None = None,
    stop: int | None = None,
) -> list[Tensor]:
    """Continue several prompts (n_b,), n_b ≥ 1, side by side, each by at most `length` ids: one forward call a step.

    Temperature 0 takes the likeliest token. Top-p keeps the fewest tokens whose probabilities reach `top_p` (Holtzman
    et al. 2020). A prompt stops after the id `stop` (None: the end token, where there is one; −1: never).
    Context beyond the length the domain knows is dropped from the left. Raises `InputError` for values out of range.
    """
    _check(prompts, length, temperature, top_p)
    end = objective.special.get("end", -1) if stop is None else stop
    texts = [p.detach().to("cpu", torch.long) for p in prompts]
    going, was_training = list(range(len(texts))), backbone.training
    backbone.eval()
    for _ in range(length):
        if not going:
            break
        chosen = choose(_next_logits(backbone, objective, [texts[b] for b in going]), temperature, top_p, rng)
        for b, token in zip(going, chosen, strict=True):
            texts[b] = torch.cat([texts[b], token.reshape(1)])
        going = [b for b in going if int(texts[b][-1]) != end]
    backbone.train(was_training)
    return texts


def choose(logits: Tensor, temperature: float, top_p: float, rng: torch.Generator | None) -> Tensor:
    """(B,) ids drawn from logits (B, V); temperature 0 takes the highest."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = nucleus((logits.double() / temperature).softmax(-1), top_p)
    return torch.multinomial(probabilities, 1, generator=rng).squeeze(-1)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """(B, V) with all but the fewest likeliest tokens that reach `top_p` set to 0, and the rest scaled to sum to 1."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    above = ordered.cumsum(-1) - ordered
    kept = torch.where(above < top_p, ordered, 0.0)
    return torch.zeros_like(probabilities).scatter(-1, order, kept / kept.sum(-1, keepdim=True))


def _next_logits(backbone: Backbone, objective: Autoregressive, texts: Sequence[Tensor]) -> Tensor:
    """(B, V) float32 scores on the CPU of what follows each text."""
    device = objective.bias.device
    inputs, offsets = pack([t[-objective.length :] if objective.length else t for t in texts])
    features = backbone(Batch(inputs.to(device), offsets.to(device)))
    logits = objective.logits(backbone, features.pooled("last")).float().cpu()
    forbidden = [objective.special[name] for name in NEVER if name in objective.special]
    logits[:, forbidden] = -torch.inf
    return logits


def _check(prompts: Sequence[Tensor], length: int, temperature: float, top_p: float) -> None:
    if any(p.ndim != 1 or not len(p) for p in prompts):
        raise InputError("prompt: needs at least one token; begin with the start token where there is no text")
    if length < 0:
        raise InputError(f"length: {length}; valid: 0 or more tokens to add")
    if temperature < 0:
        raise InputError(f"temperature: {temperature}; valid: 0 (the likeliest token) or more")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p: {top_p}; valid: above 0, at most 1")
