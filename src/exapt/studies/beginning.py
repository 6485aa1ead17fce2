"""Further pre-trainings of a study's network: what each is, and in which order they are made."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from exapt.domains.base import Source
from exapt.errors import InputError, nearest
from exapt.objectives import ObjectiveSpec
from exapt.spec import Spec
from exapt.training.spec import TrainingSpec

OWN = "pretrained"
"""The name of the study's own pre-training."""
RESERVED = (OWN, "scratch", "none")
"""What `start` means without any `starts`."""
NAME = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


class Beginning(Spec):
    """Another pre-training of the same network in the same study, for arms to start from. What is left out is the
    study's own."""

    objective: ObjectiveSpec | None = None
    """The loss, such as `{kind: supervised}`; None: the study's."""
    corpus: Source | None = None
    """What it is trained on; None: the study's corpus."""
    pretrain: TrainingSpec | None = None
    """How long and how fast; None: as the study's."""
    begin: str | None = None
    """Whose weights it goes on from: `pretrained`, another of `starts`, or the folder of a checkpoint; None: random
    weights."""


def in_order(starts: Mapping[str, Beginning]) -> list[str]:
    """The names so that each comes after the one it goes on from; raises `ValueError` for a circle."""
    found: list[str] = []
    for name in starts:
        chain = [name]
        while (before := starts[chain[-1]].begin) in starts and before not in found:
            if before in chain:
                raise ValueError(f"starts go round in a circle: {' → '.join([*chain, str(before)])}")
            chain.append(str(before))
        found += [one for one in reversed(chain) if one not in found]
    return found


def check_names(starts: Mapping[str, Beginning]) -> None:
    """Raise `ValueError` for names that mean something else already, or that no folder can have."""
    for name in starts:
        if name in RESERVED:
            raise ValueError(f"starts.{name}: the name is taken ({', '.join(RESERVED)}); choose another")
        if not NAME.match(name):
            raise ValueError(f"starts.{name}: a name holds small letters, digits, '.', '_' and '-' only")


def check_used(starts: Mapping[str, Beginning], wanted: Collection[str]) -> None:
    """Raise `ValueError` for a start that neither an arm nor another start goes on from."""
    needed = set(wanted) | {str(start.begin) for start in starts.values()}
    idle = next((name for name in starts if name not in needed), None)
    if idle is not None:
        raise ValueError(
            f"starts.{idle}: no arm starts from it, so it would be trained for nothing; "
            f"add more_arms: {{{idle}: {{start: {idle}, adapt: …}}}}, or leave it out"
        )


def check_corpora(starts: Mapping[str, Beginning], own: Source | None, objective: ObjectiveSpec) -> None:
    """Raise `ValueError` for a start without a corpus, or whose objective reads labels that its corpus lacks."""
    for key, corpus, loss in _each(starts, own, objective):
        if corpus is None:
            raise ValueError(f"{key}corpus is missing: the study has none of its own to train on")
        if loss.reads_labels and not any(one.label for one in corpus.each()):
            raise ValueError(
                f"{key}corpus.label is missing: objective {loss.kind} learns from labels; name their column"
            )


def check_networks(
    starts: Mapping[str, Beginning], own: Source | None, objective: ObjectiveSpec, network: Spec
) -> None:
    """Raise `ValueError` for an objective that the network does not serve, as its description says."""
    for key, _, loss in _each(starts, own, objective):
        try:
            loss.check_network(network)
        except InputError as error:
            raise ValueError(f"{key}{error}") from None


def _each(
    starts: Mapping[str, Beginning], own: Source | None, objective: ObjectiveSpec
) -> Iterable[tuple[str, Source | None, ObjectiveSpec]]:
    if own is not None:
        yield "", own, objective
    for name, start in starts.items():
        yield f"starts.{name}.", start.corpus or own, start.objective or objective


def check_pairs(pairs: Sequence[tuple[str, str]], arms: Collection[str]) -> None:
    """Raise `ValueError` for a pair that cannot be compared."""
    for place, pair in enumerate(pairs):
        unknown = next((name for name in pair if name not in arms), None)
        if unknown is not None:
            raise ValueError(f"compare: '{unknown}' is no arm of this study; {nearest(unknown, arms)}")
        if pair[0] == pair[1]:
            raise ValueError(f"compare: '{pair[0]}' is compared with itself")
        if pair in pairs[:place] or pair[::-1] in pairs[:place]:
            raise ValueError(f"compare: {list(pair)} is there twice")
