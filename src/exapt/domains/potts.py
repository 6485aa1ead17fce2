"""Families of made-up proteins with known contacts: a compact chain, a Potts model over its contacts, Gibbs sampling.

What a real family's alignment shows is caused by its contacts; here they are known, so that a method which claims to
find them can be proved to. Shapes: L residues, n sequences, 20 letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exapt.domains.pieces import Piece, Wanted, require
from exapt.domains.protein_chains import COORDINATES
from exapt.errors import InputError

POTTS = "potts:"
PATH = re.compile(r"potts:(\d+)x(\d+)x(\d+)(?:@(\d+))?")
"""Families × sequences of each × residues; after an @ which draw of sequences."""
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
STEP, CLOSEST, TOUCH = 3.8, 4.5, 8.0
"""Å between neighbours along a chain, the least between others, and what a contact is."""
APART = 6
"""The least separation of a pair that is coupled."""
FIELD, COUPLING = 1.2, 3.0
"""How strongly a place prefers letters (deviation of its fields), and a contact pairs of letters."""
SWEEPS = 60
"""Rounds of Gibbs sampling before a sequence counts; every sequence is a chain of its own."""


@dataclass(frozen=True)
class Family:
    """A Potts model: p(s) ∝ exp(Σ h_i(s_i) + Σ J_ij(s_i, s_j)) over the contacts (i, j)."""

    places: np.ndarray
    """(L, 3) Å."""
    fields: np.ndarray
    """(L, 20)."""
    pairs: np.ndarray
    """(k, 2) the contacts, i < j."""
    couplings: np.ndarray
    """(k, 20, 20) indexed by the letters at i and j."""

    @classmethod
    def drawn(cls, length: int, seed: int) -> Family:
        """The family of a seed."""
        rng = np.random.default_rng([seed, length])
        places = compact_chain(length, rng)
        apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
        first, second = np.nonzero(np.triu(apart < TOUCH, APART))
        fields = rng.normal(0, FIELD, (length, len(LETTERS)))
        couplings = np.stack([_matched(rng) for _ in first]) if len(first) else np.zeros((0, 20, 20))
        return cls(places, fields, np.stack([first, second], 1), couplings)

    def sample(self, count: int, rng: np.random.Generator, sweeps: int = SWEEPS) -> np.ndarray:
        """(n, L) letters' numbers, each from a Gibbs chain of its own."""
        length = len(self.fields)
        found = rng.integers(len(LETTERS), size=(count, length))
        partners: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(length)]
        for (i, j), table in zip(self.pairs.tolist(), self.couplings, strict=True):
            partners[i].append((j, table.T))  # rows by the partner's letter
            partners[j].append((i, table))
        for _ in range(sweeps):
            for i in range(length):
                energy = self.fields[i] + sum((table[found[:, j]] for j, table in partners[i]), np.zeros((count, 1)))
                found[:, i] = (energy + rng.gumbel(size=energy.shape)).argmax(1)
        return found


def _matched(rng: np.random.Generator) -> np.ndarray:
    """(20, 20) every letter at one end favours one at the other."""
    return np.asarray(COUPLING * np.eye(20)[rng.permutation(20)])


def compact_chain(length: int, rng: np.random.Generator) -> np.ndarray:
    """(L, 3) a chain of steps of 3.8 Å that keeps 4.5 Å from itself, within a ball about as dense as a protein."""
    radius = 2.6 * length**0.4
    while True:
        places = [np.zeros(3)]
        while len(places) < length:
            step = _step(np.array(places), radius, rng)
            if step is None:
                break
            places.append(step)
        if len(places) == length:
            return np.array(places)


def _step(places: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray | None:
    """The next place, or None where a chain has run into a dead end."""
    ways = rng.normal(size=(64, 3))
    tried = places[-1] + STEP * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    free = np.linalg.norm(tried[:, None] - places[None, :-1], axis=-1).min(1, initial=np.inf) > CLOSEST
    inside = np.linalg.norm(tried, axis=1) < radius
    good = np.flatnonzero(free & inside)
    return tried[good[0]] if len(good) else None


def read_potts(path: str, wanted: Wanted) -> Iterator[Piece]:
    """One piece a family, with `coordinates`, and `family` where asked for."""
    found = PATH.fullmatch(path)
    if not found:
        raise InputError(f"{path}: expected potts:FAMILIESxSEQUENCESxRESIDUES, such as potts:8x500x40, or …@1 for more")
    families, count, length, draw = (int(part or 0) for part in found.groups())
    if not families or not count or length < 2 * APART:
        raise InputError(f"{path}: expected 1 or more families and sequences, and {2 * APART} or more residues")
    for name in wanted.others:
        require(name, ["family", COORDINATES], path)
    for seed in range(families):
        family = Family.drawn(length, seed)
        letters = np.array(list(LETTERS))[family.sample(count, np.random.default_rng([seed, length, draw]))]
        places = family.places.round(3).tolist()
        columns = {COORDINATES: [places] * count, "family": [str(seed)] * count}
        yield Piece(path, ["".join(row) for row in letters], seed * count + 1, "sequence", columns)
