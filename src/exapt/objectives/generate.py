"""Generation with an autoregressive backbone: greedy, or sampled with a temperature and top-p, perhaps by a grammar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from exapt.backbones.base import Backbone
from exapt.backbones.stepping import Steps
from exapt.backbones.transformer import Transformer
from exapt.batch import Batch, pack
from exapt.errors import InputError
from exapt.objectives.autoregressive import Autoregressive

NEVER = ("pad", "unknown", "start", "mask")
"""Special tokens that are never written, under the names a domain gives them."""


class Guide(Protocol):
    """A grammar that follows several texts and says what each may write next. V token ids, b texts asked about."""

    def allowed(self, rows: Tensor) -> Tensor:
        """(b, V) whether each text of `rows` (b,) may take each id; at least one it may."""
        ...

    def take(self, rows: Tensor, ids: Tensor) -> None:
        """Let each text of `rows` (b,) take its id of `ids` (b,)."""
        ...


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
    guide: Guide | None = None,
) -> list[Tensor]:
    """Continue several prompts (n_b,), n_b ≥ 1, side by side, each by at most `length` ids: one forward call a step.

    Temperature 0 takes the likeliest token. Top-p keeps the fewest tokens whose probabilities reach `top_p` (Holtzman
    et al. 2020). A prompt stops after the id `stop` (None: the end token, where there is one; −1: never). A `guide`,
    which stands where the prompts end, bars ids before anything is drawn.
    Context beyond the length the domain knows is dropped from the left; where nothing need be dropped and the prompts
    are equally long, a transformer keeps keys and values, so that a step costs one element an example.
    Raises `InputError` for values out of range.
    """
    _check(prompts, length, temperature, top_p)
    end = objective.special.get("end", -1) if stop is None else stop
    texts = [p.detach().to("cpu", torch.long) for p in prompts]
    going, was_training = torch.arange(len(texts)), backbone.training
    backbone.eval()
    reader = _reader(backbone, objective, texts, length)
    for _ in range(length):
        if not len(going):
            break
        logits = _barred(objective, objective.logits(backbone, reader.last([texts[b] for b in going.tolist()])))
        if guide is not None:
            logits.masked_fill_(~guide.allowed(going), -torch.inf)
        chosen = choose(logits, temperature, top_p, rng)
        if guide is not None:
            guide.take(going, chosen)
        for b, token in zip(going.tolist(), chosen, strict=True):
            texts[b] = torch.cat([texts[b], token.reshape(1)])
        on = chosen != end
        reader.keep(on)
        going = going[on]
    backbone.train(was_training)
    return texts


class _Whole:
    """Reads every text anew at each step: any backbone, any lengths."""

    def __init__(self, backbone: Backbone, objective: Autoregressive) -> None:
        self.backbone, self.length, self.device = backbone, objective.length, objective.bias.device

    def last(self, texts: Sequence[Tensor]) -> Tensor:
        """(B, D) features of the last element of each text."""
        inputs, offsets = pack([t[-self.length :] if self.length else t for t in texts])
        return self.backbone(Batch(inputs.to(self.device), offsets.to(self.device))).pooled("last")

    def keep(self, on: Tensor) -> None:
        """Go on with the texts marked (B,)."""


class _Stepwise:
    """Reads only what is new of each text."""

    def __init__(self, backbone: Transformer, device: torch.device, count: int, longest: int) -> None:
        self.steps, self.device = Steps(backbone, count, longest), device

    def last(self, texts: Sequence[Tensor]) -> Tensor:
        """As `_Whole`."""
        new = torch.stack([t[self.steps.place :] for t in texts]).to(self.device)
        for ids in new.unbind(1):
            features = self.steps.step(ids)
        return features

    def keep(self, on: Tensor) -> None:
        """As `_Whole`."""
        if not on.all():
            self.steps.keep(on.nonzero().squeeze(1))


def _reader(backbone: Backbone, objective: Autoregressive, texts: Sequence[Tensor], length: int) -> _Whole | _Stepwise:
    lengths = {len(t) for t in texts}
    longest = max(lengths, default=0) + length
    fits = len(lengths) == 1 and (not objective.length or longest <= objective.length + 1)
    if fits and isinstance(backbone, Transformer) and backbone.causal:
        return _Stepwise(backbone, objective.bias.device, len(texts), longest)
    return _Whole(backbone, objective)


def _barred(objective: Autoregressive, logits: Tensor) -> Tensor:
    """(B, V) float32 scores on the CPU without the tokens that are never written."""
    logits = logits.float().cpu()
    logits[:, [objective.special[name] for name in NEVER if name in objective.special]] = -torch.inf
    return logits


def choose(logits: Tensor, temperature: float, top_p: float, rng: torch.Generator | None) -> Tensor:
    """(B,) ids drawn from logits (B, V); temperature 0 takes the highest."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = (logits.double() / temperature).softmax(-1)
    if top_p < 1:
        probabilities = nucleus(probabilities, top_p)
    return torch.multinomial(probabilities, 1, generator=rng).squeeze(-1)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """(B, V) with all but the fewest likeliest tokens that reach `top_p` set to 0, and the rest scaled to sum to 1."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    above = ordered.cumsum(-1) - ordered
    kept = torch.where(above < top_p, ordered, 0.0)
    return torch.zeros_like(probabilities).scatter(-1, order, kept / kept.sum(-1, keepdim=True))


def _check(prompts: Sequence[Tensor], length: int, temperature: float, top_p: float) -> None:
    if any(p.ndim != 1 or not len(p) for p in prompts):
        raise InputError("prompt: needs at least one token; begin with the start token where there is no text")
    if length < 0:
        raise InputError(f"length: {length}; valid: 0 or more tokens to add")
    check_drawing(temperature, top_p)


def check_drawing(temperature: float, top_p: float) -> None:
    """Raise `InputError` for values out of range."""
    if temperature < 0:
        raise InputError(f"temperature: {temperature}; valid: 0 (the likeliest token) or more")
    if not 0 < top_p <= 1:
        raise InputError(f"top_p: {top_p}; valid: above 0, at most 1")
