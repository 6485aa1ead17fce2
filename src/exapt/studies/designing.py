"""New sequences by a checkpoint that was pre-trained to predict tokens: drawn within constraints, scored, filtered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exapt.domains.alignment import identity
from exapt.domains.base import Source
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.errors import InputError
from exapt.objectives.autoregressive import Autoregressive
from exapt.objectives.generate import generate_many
from exapt.objectives.gibbs import gibbs
from exapt.objectives.likelihood import likelihoods
from exapt.objectives.masked import MaskedTokens
from exapt.studies.constraints import Bound, Letters
from exapt.studies.filters import Diversity, Drawn, Filters, complexity, refusal
from exapt.studies.nearest import LARGEST, Corpus
from exapt.training.pretrained import Pretrained
from exapt.training.seeds import derive

SIDE_BY_SIDE = 128
"""Texts drawn at once."""
TRIES = 20
"""So many times the texts asked for are drawn at most."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Drawing:
    """How texts are drawn; see `generate_many` and `gibbs`."""

    count: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    sweeps: int = 10
    block: float = 0.1
    score: bool = True


@dataclass
class Designs:
    """What came of it."""

    kept: list[Drawn] = field(default_factory=list)
    drawn: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def design(
    pretrained: Pretrained, bound: Bound, drawing: Drawing, filters: Filters, corpus: Corpus | None, say: Say
) -> Designs:
    """Draw until enough texts are kept, or `TRIES` times as many were drawn, which is then said."""
    filters.check(bool(bound.templates))
    if filters.max_known is not None and corpus is None:
        raise InputError("--max-known: the corpus is not there to compare with; give it with --against")
    domain = bound.domain
    diversity = Diversity(filters, [domain.decode(ids) for ids in bound.templates])
    rng = torch.Generator().manual_seed(derive(drawing.seed, "generate"))
    found = Designs()
    while len(found.kept) < drawing.count and found.drawn < TRIES * drawing.count:
        count = min(SIDE_BY_SIDE, drawing.count - len(found.kept))
        for number, ids in enumerate(_draw(pretrained, bound, drawing, found.drawn, count, rng)):
            one = _known(pretrained, bound, drawing, filters, corpus, ids, found.drawn + number)
            why = refusal(one, filters) or diversity.refusal(one)
            found.refused.update([why] if why else [])
            found.kept += [] if why else [one]
        found.drawn += count
    if len(found.kept) < drawing.count:
        reasons = ", ".join(f"{n} {why}" for why, n in found.refused.most_common(3))
        say(f"only {len(found.kept)} of {drawing.count} asked for: of {found.drawn} drawn, {reasons}")
    return found


def _draw(
    pretrained: Pretrained, bound: Bound, drawing: Drawing, first: int, count: int, rng: torch.Generator
) -> list[np.ndarray]:
    """`count` texts (n,) without ends, from the text number `first` on."""
    if isinstance(pretrained.objective, MaskedTokens):
        rows = _masked(pretrained, pretrained.objective, bound, drawing, first, count, rng)
    else:
        assert isinstance(pretrained.objective, Autoregressive)
        rows = _forward(pretrained, pretrained.objective, bound, drawing, first, count, rng)
    return [row[row >= PLAIN].numpy() for row in rows]


def _masked(
    pretrained: Pretrained, objective: MaskedTokens, bound: Bound, drawing: Drawing, first: int, count: int,
    rng: torch.Generator,
) -> list[Tensor]:  # fmt: skip
    """Templates, or hidden places of the lengths asked for, drawn anew by Gibbs sampling."""
    texts, free, shift = [], [], int(bound.domain.ends)
    for number in range(first, first + count):
        ids = bound.template(number)
        if ids is None:
            length = int(torch.randint(bound.shortest, bound.longest + 1, (1,), generator=rng))
            ids = np.full(length, SPECIAL["mask"])
            ids[: len(bound.start)] = bound.start
        texts.append(with_ends(bound.domain, ids))
        free.append(torch.from_numpy(bound.free(len(ids))) + shift)
    return gibbs(
        pretrained.backbone,
        objective,
        texts,
        free,
        sweeps=drawing.sweeps,
        block=drawing.block,
        temperature=drawing.temperature,
        top_p=drawing.top_p,
        barred=bound.barred.tolist(),
        rng=rng,
    )


def _forward(
    pretrained: Pretrained, objective: Autoregressive, bound: Bound, drawing: Drawing, first: int, count: int,
    rng: torch.Generator,
) -> list[Tensor]:  # fmt: skip
    """Texts from left to right; where the field has no start token, the first one is drawn evenly."""
    guide = Letters(bound, first, count)
    prompts = [torch.tensor([SPECIAL["start"]] if bound.domain.ends else [], dtype=torch.long)] * count
    prompts = [torch.cat([prompt, torch.from_numpy(bound.start)]) for prompt in prompts]
    if not len(prompts[0]):
        rows = torch.arange(count)
        ids = torch.multinomial(guide.allowed(rows).double(), 1, generator=rng).squeeze(1)
        guide.take(rows, ids)
        prompts = [token.reshape(1) for token in ids]
    return generate_many(
        pretrained.backbone,
        objective,
        prompts,
        bound.longest - len(prompts[0]) + 2 * bound.domain.ends,
        temperature=drawing.temperature,
        top_p=drawing.top_p,
        rng=rng,
        guide=guide,
    )


def with_ends(domain: TokenDomain, ids: np.ndarray) -> Tensor:
    """Ids (n,) as `collate` packs them."""
    middle = torch.from_numpy(np.asarray(ids, dtype=np.int64))
    ends = [torch.tensor([SPECIAL[name]]) for name in ("start", "end")]
    return torch.cat([ends[0], middle, ends[1]]) if domain.ends else middle


def _known(
    pretrained: Pretrained, bound: Bound, drawing: Drawing, filters: Filters, corpus: Corpus | None, ids: np.ndarray,
    number: int,
) -> Drawn:  # fmt: skip
    """A text with what is known of it; what is dear is left out where a cheaper filter refuses it."""
    text = bound.domain.decode(ids)
    one = Drawn(text, ids, complexity=complexity(text), forbidden=bound.holds(text))
    template = bound.template(number)
    if template is not None:
        one.to_template = identity(ids, template)
        one.changes = int((ids != template).sum()) if len(ids) == len(template) else None
    if refusal(one, filters):
        return one
    if drawing.score or filters.min_score is not None:
        (likelihood,) = likelihoods(pretrained.backbone, _tokens(pretrained), [with_ends(bound.domain, ids)])
        one.score = likelihood.mean
    if corpus is not None:
        one.nearest = corpus.nearest(ids).identity
    return one


def _tokens(pretrained: Pretrained) -> Autoregressive | MaskedTokens:
    assert isinstance(pretrained.objective, Autoregressive | MaskedTokens)
    return pretrained.objective


def read_corpus(domain: TokenDomain, record: dict[str, Any], against: str | None) -> tuple[Corpus | None, str]:
    """The corpus that novelty is measured against, or a word why there is none."""
    try:
        dataset = domain.read(Source.parse({"path": against} if against else record["corpus"], "corpus"))
    except (InputError, KeyError) as mistake:
        if against:
            raise
        return None, f"the nearest of the corpus is left out: {mistake}"
    size = int(dataset.lengths.sum())
    if size > LARGEST:
        return None, f"the nearest of the corpus is left out: it has {size:,} tokens, more than {LARGEST:,}"
    return Corpus(dataset), ""


def mean_of(values: list[float | None]) -> float | None:
    """The mean of those that are known."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None
