"""The actions that build a molecule, and the token id of each.

A molecule is walked depth first, as SMILES does it: the atoms from the first to the present one are a path. An action
bonds a new atom to the present one, closes a ring to an atom of the path, or steps back along it. In such a walk every
ring closes to the path itself (Tarjan 1972), so a ring's size says which atom is meant.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from exapt.domains.tokens import PLAIN
from exapt.domains.valence import KINDS

ORDERS = (1, 2, 3)
REACH = 64
"""The longest path in atoms, hence the largest ring and the farthest step back."""


class Action(NamedTuple):
    """`atom`: bond an atom of kind `what` by a bond of this order (the first atom has none, and order 1).
    `ring`: close a ring of `what` atoms. `back`: go `what` atoms back along the path."""

    does: Literal["atom", "ring", "back"]
    what: int
    order: int = 0

    @property
    def name(self) -> str:
        """Short, for people: '=O', '-ring6', 'back2'."""
        if self.does == "back":
            return f"back{self.what}"
        return "?-=#"[self.order] + (f"ring{self.what}" if self.does == "ring" else KINDS[self.what].name)


ATOMS = [Action("atom", k, o) for o in ORDERS for k, kind in enumerate(KINDS) if kind.valences[-1] >= o]
RINGS = [Action("ring", size, o) for o in ORDERS for size in range(3, REACH + 1)]
BACKS = [Action("back", steps) for steps in range(1, REACH)]
ACTIONS = (*ATOMS, *RINGS, *BACKS)
"""Every action; its token id is its place here + `PLAIN`."""
IDS = {action: PLAIN + at for at, action in enumerate(ACTIONS)}
VOCABULARY = PLAIN + len(ACTIONS)
ATOM_KIND = np.array([a.what for a in ATOMS])
ATOM_ORDER = np.array([a.order for a in ATOMS])
RING_SIZES = np.arange(3, REACH + 1)
