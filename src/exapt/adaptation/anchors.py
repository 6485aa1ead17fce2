"""Every anchor by its kind, and what several together do to one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from exapt.adaptation.anchor import Anchor, AnchorBase, Hold
from exapt.adaptation.ewc import EwcSpec
from exapt.adaptation.l2sp import L2spSpec
from exapt.adaptation.lwf import LwfSpec
from exapt.adaptation.replay import ReplaySpec
from exapt.backbones.base import Backbone

AnchorSpec = Annotated[L2spSpec | EwcSpec | LwfSpec | ReplaySpec, Field(discriminator="kind")]
"""Any anchor, told apart by `kind`."""


def as_list(given: Any) -> Any:
    """One anchor for a list of one; a bare word for a description with that kind; nothing for an empty list."""
    several = [] if given is None else given if isinstance(given, list | tuple) else [given]
    return [{"kind": one} if isinstance(one, str) else one for one in several]


Anchors = Annotated[list[AnchorSpec], BeforeValidator(as_list)]
"""Anchors together, of different kinds."""


def together(anchors: Sequence[Anchor], backbone: Backbone) -> Hold:
    """All that several anchors do to one network."""
    holds = [anchor.hold(backbone) for anchor in anchors]
    terms = {name: term for hold in holds for name, term in hold.terms.items()}
    return Hold(terms, [watcher for hold in holds for watcher in hold.watchers])


def needing_source(specs: Sequence[AnchorBase]) -> list[str]:
    """The kinds among some anchors that ask for the source."""
    return [one.plain()["kind"] for one in specs if one.needs_source]
