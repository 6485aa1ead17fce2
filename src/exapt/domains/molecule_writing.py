"""The ways in which a molecule is written as token ids: what such a language must offer, and the actions' own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from exapt.domains import molecule_graph as graphs
from exapt.domains.molecule_actions import ATOMS, VOCABULARY
from exapt.domains.molecule_graph import Graph
from exapt.domains.molecule_walks import Walks


class Guide(Protocol):
    """What several molecules may write next. b of them asked about, V token ids."""

    def allowed(self, rows: Tensor) -> Tensor:
        """(b, V) whether each of `rows` (b,) may take each id."""
        ...

    def take(self, rows: Tensor, ids: Tensor) -> None:
        """Let each of `rows` (b,) take its id of `ids` (b,)."""
        ...


class Writing(Protocol):
    """A language of molecules."""

    vocabulary: int
    """Number of token ids, the special ones included."""
    element: str
    """What one token is, for the report."""
    atoms: int
    """How many tokens write an atom."""

    def ids(self, graph: Graph) -> list[int]:
        """A graph's tokens, without ends; raises `LeftOutError` for one that the language does not write."""
        ...

    def shuffled(self, ids: Sequence[int], draws: random.Random) -> list[int] | None:
        """The same molecule in another order of its atoms; None where the ids are no molecule, or it is left out."""
        ...

    def molecule(self, ids: Sequence[int]) -> Any | None:
        """RDKit's molecule of some ids, sanitised; None where they build none."""
        ...

    def guide(self, count: int, length: int, atoms: int) -> Guide:
        """What `count` molecules of at most so many atoms may write in at most `length` ids."""
        ...


class ActionWriting:
    """Atom by atom and ring by ring; see `molecule_actions`."""

    vocabulary = VOCABULARY
    element = "action that builds a molecule"
    atoms = len(ATOMS)

    def ids(self, graph: Graph) -> list[int]:
        return graphs.actions_of(graph)

    def shuffled(self, ids: Sequence[int], draws: random.Random) -> list[int] | None:
        graph = graphs.graph_from(ids)
        if graph is None:
            return None
        try:
            return graphs.actions_of(graph, lambda places: draws.sample(places, len(places)))
        except graphs.LeftOutError:
            return None

    def molecule(self, ids: Sequence[int]) -> Any | None:
        graph = graphs.graph_from(ids)
        return None if graph is None else graphs.molecule_of(graph)

    def guide(self, count: int, length: int, atoms: int) -> Walks:
        return Walks(count, atoms, length)
