"""Many molecules built side by side: which actions each may take next, so that every one ends as a molecule.

An action is allowed where the atoms it bonds have room for it and where what it leaves unfinished can still be finished
with the atoms and tokens that are left. Shapes: b walks asked about, V token ids, P = `REACH` places on a path.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from exapt.domains.molecule_actions import ATOM_KIND, ATOM_ORDER, ATOMS, BACKS, ORDERS, REACH, RING_SIZES, VOCABULARY
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.domains.valence import MOST, OPEN
from exapt.errors import InputError

FIRST_RING, FIRST_BACK = PLAIN + len(ATOMS), VOCABULARY - len(BACKS)
PLACES = np.arange(REACH)


class Walks:
    """`count` molecules of at most `atoms` atoms and `tokens` actions, the end among them."""

    def __init__(self, count: int, atoms: int, tokens: int) -> None:
        if atoms < 1 or tokens < 2:
            raise InputError(f"molecules of {atoms} atoms in {tokens} tokens; valid: 1 atom or more, 2 tokens or more")
        self.kind = np.zeros((count, REACH), dtype=np.int64)
        self.bonds = np.zeros((count, REACH), dtype=np.int64)
        self.depth = np.zeros(count, dtype=np.int64)
        self.smallest = np.full(count, REACH + 1)
        """The least size of the next ring at the present atom: rings stand right after it, from the smallest on."""
        self.atoms = np.full(count, atoms)
        self.tokens = np.full(count, tokens)

    def allowed(self, rows: Tensor) -> Tensor:
        """(b, V) whether each walk of `rows` (b,) may take each id next."""
        at = _Present(self, rows.numpy())
        out = np.zeros((len(rows), VOCABULARY), dtype=bool)
        out[:, SPECIAL["end"]] = (at.depth > 0) & (at.unfinished == 0)
        out[:, PLAIN:FIRST_RING] = at.atoms_allowed()
        out[:, FIRST_RING:FIRST_BACK] = at.rings_allowed()
        out[:, FIRST_BACK:] = at.backs_allowed()
        return torch.from_numpy(out)

    def take(self, rows: Tensor, ids: Tensor) -> None:
        """Let each walk of `rows` (b,) take its id of `ids` (b,)."""
        walks, chosen = rows.numpy(), ids.numpy()
        self.tokens[walks] -= 1
        atom = (chosen >= PLAIN) & (chosen < FIRST_RING)
        self._bond_atoms(walks[atom], chosen[atom] - PLAIN)
        ring = (chosen >= FIRST_RING) & (chosen < FIRST_BACK)
        self._close_rings(walks[ring], chosen[ring] - FIRST_RING)
        back = chosen >= FIRST_BACK
        self.depth[walks[back]] -= chosen[back] - FIRST_BACK + 1
        self.smallest[walks[back]] = REACH + 1

    def _bond_atoms(self, walks: np.ndarray, which: np.ndarray) -> None:
        depth = self.depth[walks]
        order = ATOM_ORDER[which] * (depth > 0)
        self.bonds[walks, depth - 1] += order
        self.kind[walks, depth], self.bonds[walks, depth] = ATOM_KIND[which], order
        self.depth[walks] += 1
        self.atoms[walks] -= 1
        self.smallest[walks] = 3

    def _close_rings(self, walks: np.ndarray, which: np.ndarray) -> None:
        order, size = which // len(RING_SIZES) + 1, which % len(RING_SIZES) + 3
        depth = self.depth[walks]
        self.bonds[walks, depth - 1] += order
        self.bonds[walks, depth - size] += order
        self.smallest[walks] = size + 1


class _Present:
    """Where some walks stand.

    What still needs a bond (sulfur with three or five) can always be given an atom by a single bond. From a state with
    u such atoms on the path that takes u atoms and 1 + 2 u tokens, the end among them, or one less where the present
    atom is one of them: a step back and an atom for each. An action is allowed only if so much is left after it.
    """

    def __init__(self, walks: Walks, rows: np.ndarray) -> None:
        self.depth = walks.depth[rows]
        self.kind, self.bonds = walks.kind[rows], walks.bonds[rows]
        self.smallest = walks.smallest[rows]
        self.atoms, self.tokens = walks.atoms[rows], walks.tokens[rows]
        self.needs = OPEN[self.kind, self.bonds] & (self.depth[:, None] > PLACES)
        """(b, P) which atoms of the path still need a bond."""
        self.unfinished = self.needs.sum(1)
        own = np.arange(len(rows))
        self.top = np.maximum(self.depth - 1, 0)
        self.top_kind, self.top_bonds = self.kind[own, self.top], self.bonds[own, self.top]
        self.top_needs = self.needs[own, self.top]
        self.top_room = MOST[self.top_kind] - self.top_bonds

    def atoms_allowed(self) -> np.ndarray:
        """(b, A) for each atom action; a first atom takes those of order 1."""
        begun = self.depth[:, None] > 0
        order = ATOM_ORDER * begun
        fits = np.where(begun, self.top_room[:, None] >= ATOM_ORDER, ATOM_ORDER == 1)
        parent = OPEN[self.top_kind[:, None], self.top_bonds[:, None] + order] & begun
        child = OPEN[ATOM_KIND, order]
        unfinished = (self.unfinished - self.top_needs)[:, None] + parent + child
        deep = self.depth[:, None] + 1
        room = (deep < REACH) | ((deep == REACH) & ~child)
        return fits & room & self._can_end(unfinished, child, atoms=1)

    def rings_allowed(self) -> np.ndarray:
        """(b, R) for each ring action, order by order."""
        place = self.depth[:, None] - RING_SIZES
        fits = (place >= 0) & (self.smallest[:, None] <= RING_SIZES)
        there = np.maximum(place, 0)
        kind = np.take_along_axis(self.kind, there, 1)
        bonds = np.take_along_axis(self.bonds, there, 1)
        needed = np.take_along_axis(self.needs, there, 1)
        return np.concatenate([self._rings(fits, kind, bonds, needed, order) for order in ORDERS], axis=1)

    def _rings(
        self, fits: np.ndarray, kind: np.ndarray, bonds: np.ndarray, needed: np.ndarray, order: int
    ) -> np.ndarray:
        """(b, R / 3) for rings of one order to atoms (b, R / 3) of a kind, with bonds, that perhaps need one."""
        fits = fits & (self.top_room[:, None] >= order) & (MOST[kind] - bonds >= order)
        top = OPEN[self.top_kind, np.minimum(self.top_bonds + order, OPEN.shape[1] - 1)][:, None]
        other = OPEN[kind, np.minimum(bonds + order, OPEN.shape[1] - 1)]
        unfinished = (self.unfinished - self.top_needs)[:, None] - needed + top + other
        room = ~top | (self.depth[:, None] < REACH)
        return fits & room & self._can_end(unfinished, top)

    def backs_allowed(self) -> np.ndarray:
        """(b, K) for each step back: never past an atom that needs a bond, only to one with room for another."""
        place = self.top[:, None] - np.arange(1, REACH)
        there = np.maximum(place, 0)
        passed = self.unfinished[:, None] - np.take_along_axis(self.needs.cumsum(1), there, 1)
        room = np.take_along_axis(MOST[self.kind] > self.bonds, there, 1)
        needs = np.take_along_axis(self.needs, there, 1)
        more = self.atoms[:, None] > 0
        return (place >= 0) & (passed == 0) & room & more & self._can_end(self.unfinished[:, None], needs)

    def _can_end(self, unfinished: np.ndarray, top_needs: np.ndarray, atoms: int = 0) -> np.ndarray:
        """Whether what is left after an action suffices."""
        tokens = self.tokens[:, None] - 1 >= 1 + 2 * unfinished - top_needs
        return tokens & (self.atoms[:, None] - atoms >= unfinished)
