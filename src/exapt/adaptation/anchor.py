"""What holds a fit to where it started: terms added to its loss, and watchers that pull its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from exapt.adaptation.origin import Origin
from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.errors import InputError
from exapt.objectives.base import Loss
from exapt.spec import Spec
from exapt.training.trainable import Trainable
from exapt.training.watcher import Watcher

Strength = Annotated[float, Field(ge=0)]
"""How hard an anchor holds, in a unit of its own."""
Term = Callable[[Batch, torch.Generator], Tensor]
"""From a training batch to a scalar that is added to its mean loss, so that it does not depend on the batch's size."""


@dataclass(frozen=True)
class Hold:
    """What anchors do to one network in training."""

    terms: Mapping[str, Term] = field(default_factory=dict)
    watchers: Sequence[Watcher] = ()


class Anchor(ABC):
    """Made once for a start, from its weights as they were; then bound to every network that is tuned from it."""

    @abstractmethod
    def hold(self, backbone: Backbone) -> Hold:
        """How this network, a tuned copy of the start's, is held."""

    def facts(self) -> dict[str, Any]:
        """What is worth recording."""
        return {}


class AnchorBase(Spec):
    """What every description of an anchor holds; each has a `kind`."""

    needs_source: ClassVar[bool] = True
    """Whether it asks for what the weights were trained for."""

    @abstractmethod
    def anchor(self, backbone: Backbone, origin: Origin | None) -> Anchor:
        """The anchor at a network's present weights; raises `InputError` where it needs a source and there is none."""

    def source(self, origin: Origin | None) -> Origin:
        """The source; raises `InputError` where there is none."""
        if origin is None:
            raise InputError(
                f"adapt.anchor.kind={self.plain()['kind']}: needs what the start was trained for; valid: an arm with "
                "start: pretrained in a study with a corpus, Start(…, source=…) in Python, or anchor: l2sp"
            )
        return origin


class Anchored(Trainable):
    """A trainable with further terms in its training loss; what they need is no part of its weights."""

    def __init__(self, inner: Trainable, terms: Mapping[str, Term]) -> None:
        super().__init__()
        self.inner, self.more = inner, dict(terms)

    def forward(self, batch: Batch, rng: torch.Generator) -> Loss:
        loss: Loss = self.inner(batch, rng)
        if not self.training:
            return loss
        found = {name: term(batch, rng) for name, term in self.more.items()}
        value = loss.value + torch.stack(list(found.values())).sum()
        return Loss(value, loss.count, {**loss.terms, **{name: part.detach() for name, part in found.items()}})

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return self.inner.blocks

    @property
    def width(self) -> int:
        return self.inner.width


def own_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter that is trained, a tied one once."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def running_statistics(network: nn.Module) -> list[str]:
    """Floating-point buffers (such as BatchNorm's): they move with the data, and no anchor holds them."""
    return [name for name, buffer in network.named_buffers() if buffer.is_floating_point()]


def frozen(network: nn.Module) -> nn.Module:
    """The network in evaluation mode without gradients of its own, in place."""
    return network.eval().requires_grad_(False)
