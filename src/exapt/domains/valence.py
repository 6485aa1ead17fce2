"""What an atom may hold: one table of elements, charges and valences, and what hydrogen fills.

Bonds are kekulised, so orders are 1, 2 and 3 and sums are whole; an aromatic bond never counts as 1 or 1.5. (Casting it
to 1 lets carbons of valence 3 through, a mistake that several published generators inherited; see docs/molecules.md.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Kind(NamedTuple):
    """An element with a charge, and the sums of bond orders (hydrogens included) it may end with."""

    symbol: str
    number: int
    charge: int
    valences: tuple[int, ...]

    @property
    def name(self) -> str:
        """As SMILES writes it: C, N+, O-."""
        return self.symbol + {0: "", 1: "+", -1: "-"}[self.charge]

    def hydrogens(self, bonds: int) -> int | None:
        """How many hydrogens fill up an atom whose bonds sum to so much; None where it may not be left like that.

        They fill to the next valence. Sulfur's higher ones are filled by bonds alone: SH₄ and R₃SH are no molecules
        that anyone keeps. Phosphorus keeps one hydrogen, as in phosphonates, HP(=O)(OR)₂.
        """
        above = [v for v in self.valences if v >= bonds]
        if not above:
            return None
        missing = above[0] - bonds
        allowed = missing if above[0] == self.valences[0] else int(self.symbol == "P")
        return missing if missing <= allowed else None


KINDS = (
    Kind("C", 6, 0, (4,)),
    Kind("N", 7, 0, (3,)),
    Kind("O", 8, 0, (2,)),
    Kind("F", 9, 0, (1,)),
    Kind("S", 16, 0, (2, 4, 6)),
    Kind("Cl", 17, 0, (1,)),
    Kind("Br", 35, 0, (1,)),
    Kind("I", 53, 0, (1,)),
    Kind("P", 15, 0, (3, 5)),
    Kind("B", 5, 0, (3,)),
    Kind("Si", 14, 0, (4,)),
    Kind("N", 7, 1, (4,)),
    Kind("O", 8, -1, (1,)),
    Kind("S", 16, -1, (1,)),
    Kind("S", 16, 1, (3,)),
    Kind("P", 15, 1, (4,)),
    Kind("N", 7, -1, (2,)),
    Kind("O", 8, 1, (3,)),
    Kind("B", 5, -1, (4,)),
    Kind("C", 6, -1, (3,)),
    Kind("C", 6, 1, (3,)),
)
"""Every atom that is written; hydrogen is never written, it fills. Their order fixes token ids."""
BY_ATOM = {(kind.number, kind.charge): at for at, kind in enumerate(KINDS)}
"""Which kind an atomic number with a charge is."""
MOST = np.array([kind.valences[-1] for kind in KINDS])
"""(K,) the largest sum of bond orders."""
SUMS = 10
"""Sums of bond orders in tables: 0 … 9."""
OPEN = np.array([[kind.hydrogens(s) is None for s in range(SUMS)] for kind in KINDS])
"""(K, SUMS) whether an atom with so many bonds still needs another before it may be left."""
