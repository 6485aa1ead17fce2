"""What a protein network says of mutants: how much likelier they are than the wild type (Meier et al. 2021).

Shapes: L residues, m mutants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from exapt.domains.mutations import Mutant
from exapt.errors import InputError

How = Literal["masked-marginals", "wild-type-marginals", "pseudo-likelihood"]
HOWS: tuple[How, ...] = ("masked-marginals", "wild-type-marginals", "pseudo-likelihood")
AT_ONCE = 16384
"""Tokens in a batch."""


class Filler(Protocol):
    """A network that says which letters may stand where one is hidden."""

    @property
    def letters(self) -> str:
        """The residues of the columns of its answers."""
        ...

    @property
    def longest(self) -> int:
        """The most residues it takes."""
        ...

    def ask(self, sequences: Sequence[str], hidden: Sequence[Sequence[int]]) -> list[Tensor]:
        """For each sequence (L, K) log-probabilities of letters, with the residues at `hidden` masked."""
        ...


@dataclass(frozen=True)
class Scorer:
    """Scores mutants of one wild type, higher for what the network finds likelier."""

    filler: Filler
    wild: str

    def scores(self, mutants: Sequence[Mutant], how: How = "masked-marginals") -> np.ndarray:
        """(m,) log-odds in nats; the wild type itself, and synonymous mutants, score 0; NaN for stops.

        `masked-marginals`: Σ log p(new) − log p(old) over the mutated places, all of them hidden (Meier et al. 2021,
        eq. 1); `wild-type-marginals`: the same with nothing hidden, one pass for all; `pseudo-likelihood`: the summed
        log-probability of every residue, each hidden in turn, mutant minus wild type (L passes a mutant).
        """
        if how not in HOWS:
            raise InputError(f"scoring '{how}'; valid: {', '.join(HOWS)}")
        if how == "pseudo-likelihood":
            return self._pseudo(mutants)
        return self._marginals(mutants, hide=how == "masked-marginals")

    def _marginals(self, mutants: Sequence[Mutant], hide: bool) -> np.ndarray:
        """Mutants that ask the same share a pass: those with the same places, or, unhidden, in the same window."""
        keys = [self._key(mutant, hide) for mutant in mutants]
        kinds = sorted({key for key in keys if key is not None})
        hidden, begins = [places for _, places in kinds], [begin for begin, _ in kinds]
        answers = dict(zip(kinds, self._ask([self.wild] * len(kinds), hidden, begins), strict=True))
        found = np.zeros(len(mutants))
        for at, (mutant, key) in enumerate(zip(mutants, keys, strict=True)):
            if key is not None:
                found[at] = self._odds(answers[key], mutant)
            elif mutant.stop:
                found[at] = np.nan
        return found

    def _key(self, mutant: Mutant, hide: bool) -> tuple[int, tuple[int, ...]] | None:
        """Where the window begins, and what is hidden; None where there is nothing to ask."""
        if mutant.stop or not mutant.places:
            return None
        begin = window_start(len(self.wild), mutant.places, self.filler.longest)
        return begin, mutant.places if hide else ()

    def _odds(self, table: Tensor, mutant: Mutant) -> float:
        column = {letter: k for k, letter in enumerate(self.filler.letters)}
        return float(sum(table[c.place, column[c.new]] - table[c.place, column[c.old]] for c in mutant.changes))

    def _pseudo(self, mutants: Sequence[Mutant]) -> np.ndarray:
        sequences = [self.wild, *(mutant.applied(self.wild) for mutant in mutants)]
        known = {one: self._likelihood(one) for one in dict.fromkeys(sequences) if "*" not in one}
        return np.array([known.get(one, np.nan) for one in sequences[1:]]) - known[self.wild]

    def _likelihood(self, sequence: str) -> float:
        column = {letter: k for k, letter in enumerate(self.filler.letters)}
        places = [i for i, letter in enumerate(sequence) if letter in column]
        hidden = [(i,) for i in places]
        begins = [window_start(len(sequence), one, self.filler.longest) for one in hidden]
        answers = self._ask([sequence] * len(places), hidden, begins)
        return float(sum(float(table[i, column[sequence[i]]]) for i, table in zip(places, answers, strict=True)))

    def _ask(self, sequences: Sequence[str], hidden: Sequence[Sequence[int]], begins: Sequence[int]) -> list[Tensor]:
        """(L, K) answers, NaN outside of the window of each that begins at `begins`; batch by batch."""
        longest = self.filler.longest
        size = max(1, AT_ONCE // (min(len(self.wild), longest) + 2))
        cut = [s[b : b + longest] for s, b in zip(sequences, begins, strict=True)]
        inside = [[i - b for i in h] for h, b in zip(hidden, begins, strict=True)]
        found: list[Tensor] = []
        for start in range(0, len(cut), size):
            found += self.filler.ask(cut[start : start + size], inside[start : start + size])
        return [
            torch.nn.functional.pad(table.double(), (0, 0, b, len(s) - b - len(table)), value=float("nan"))
            for table, s, b in zip(found, sequences, begins, strict=True)
        ]


def window_start(length: int, hidden: Sequence[int], longest: int) -> int:
    """Where a window of `longest` residues begins that has the hidden ones about its middle."""
    if length <= longest:
        return 0
    if hidden and max(hidden) - min(hidden) >= longest:
        raise InputError(
            f"a mutant's places lie {max(hidden) - min(hidden)} apart; the network sees {longest} residues"
        )
    middle = (min(hidden) + max(hidden)) // 2 if hidden else longest // 2
    return int(np.clip(middle - longest // 2, 0, length - longest))
