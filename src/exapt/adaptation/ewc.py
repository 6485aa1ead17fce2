"""Elastic weight consolidation: weights that mattered to the source are held harder (Kirkpatrick et al. 2017,
arXiv 1612.00796).

loss + (λ / 2) Σ_i F_i (w_i − w*_i)², F the Fisher diagonal per source item at w*, the loss a mean over items: λ does
not depend on the batch size or on how many source examples F was taken from. λ = N would be the Laplace posterior of N
source items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from exapt.adaptation.anchor import Anchor, AnchorBase, Hold, Strength, Term, own_weights
from exapt.adaptation.fisher import Fisher, How, fisher
from exapt.adaptation.origin import Origin
from exapt.backbones.base import Backbone


class EwcSpec(AnchorBase):
    """Hold each backbone weight by how much the source's loss depends on it. Needs the source."""

    kind: Literal["ewc"] = "ewc"
    strength: float = Field(default=100.0, ge=0)
    """λ."""
    strengths: list[Strength] | None = Field(default=None, min_length=1)
    """A grid of λ in the place of `strength`, chosen on validation: all rates at the first, the others at the best
    rate."""
    slack: float = Field(default=0.0, ge=0)
    """Of the grid, take the strongest λ whose loss on validation is at most this share above the best one: new labels
    alone would mostly let go, for they do not show what is forgotten. 0 takes the best."""
    fisher: How = "sampled"
    """`exact` sums over every class (one label an example, up to 256 classes); `sampled` draws targets from the
    model's own predictions; `empirical` takes the data's."""
    examples: PositiveInt = 512
    """How many source examples the Fisher diagonal is a mean over."""

    def anchor(self, backbone: Backbone, origin: Origin | None) -> EwcAnchor:
        """The anchor at a network's present weights."""
        source = self.source(origin)
        found = source.once(("fisher", self.fisher, self.examples), lambda: self.measure(backbone, source))
        start = {name: p.detach().float().clone() for name, p in own_weights(backbone).items()}
        return EwcAnchor(start, found, self.grid[0])

    @property
    def grid(self) -> list[float]:
        """Every λ to try."""
        return [self.strength] if self.strengths is None else list(self.strengths)

    def measure(self, backbone: Backbone, origin: Origin) -> Fisher:
        """The Fisher diagonal of every weight of a network under the source's loss."""

        def guess(batch: Any, rng: torch.Generator) -> Any:
            return origin.objective.guess(backbone, batch, rng)

        every, networks = dict(backbone.named_parameters()), [backbone, origin.objective]
        return fisher(guess, networks, every, origin.batches(self.examples), self.fisher)


@dataclass(frozen=True)
class EwcAnchor(Anchor):
    """Float32 copies of the weights by name, the Fisher diagonal taken there, and λ."""

    start: Mapping[str, Tensor]
    fisher: Fisher
    strength: float

    def hold(self, backbone: Backbone) -> Hold:
        return Hold(terms={"ewc": quadratic(own_weights(backbone), self.start, self.fisher.diagonal, self.strength)})

    def facts(self) -> dict[str, Any]:
        how = {"fisher": self.fisher.how, "examples": self.fisher.examples, "items": self.fisher.items}
        return {"strength": self.strength, "trace": self.fisher.trace, **how}


def quadratic(
    parameters: Mapping[str, nn.Parameter], start: Mapping[str, Tensor], weight: Mapping[str, Tensor], strength: float
) -> Term:
    """(λ / 2) Σ weight (w − start)² over parameters by name, as a term of a loss; other parameters are free."""
    held = [(p, start[name], weight[name]) for name, p in parameters.items() if name in start and name in weight]

    def term(*_: Any) -> Tensor:
        parts = [(f.to(p.device) * (p - w.to(p.device)).square()).sum() for p, w, f in held]
        return strength / 2 * torch.stack(parts).sum()

    return term


def accumulate(before: Mapping[str, Tensor], now: Mapping[str, Tensor], keep: float = 1.0) -> dict[str, Tensor]:
    """Online EWC (Schwarz et al. 2018, arXiv 1805.06370): F ← keep · F + F_t; the anchor is then the last task's w."""
    return {name: keep * before[name] + part for name, part in now.items()}
