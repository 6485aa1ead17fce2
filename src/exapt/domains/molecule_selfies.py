"""Molecules as SELFIES (Krenn et al. 2020, 10.1088/2632-2153/aba947): strings that always read as some graph.

The package `selfies` translates, by its own default constraints of valence. Every text is written from the kekulised
graph without stereo, so that no symbol needs explicit hydrogens; the symbols are fixed, not learnt from a corpus.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from exapt.domains import molecule_graph as graphs
from exapt.domains.atom_molecules import rdkit
from exapt.domains.molecule_graph import Graph
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.domains.valence import KINDS
from exapt.errors import InputError

BONDS = ("", "=", "#")
ATOMS = tuple(
    f"[{bond}{kind.symbol}{ {0: '', 1: '+1', -1: '-1'}[kind.charge] }]"
    for order, bond in enumerate(BONDS, 1)
    for kind in KINDS
    if kind.valences[-1] >= order and kind.symbol != "Si"
)
"""Symbols of atoms. SELFIES put no limit on silicon's bonds but eight, so that it would not always be valid."""
SHAPES = tuple(
    f"[{bond}{what}{n}]"
    for what, bonds in (("Branch", BONDS), ("Ring", BONDS[:2]))
    for bond in bonds
    for n in (1, 2, 3)
)
"""Symbols of branches and rings; the symbols after one say how long it is."""
SYMBOLS = (*ATOMS, *SHAPES)
IDS = {symbol: PLAIN + at for at, symbol in enumerate(SYMBOLS)}


def selfies() -> Any:
    """The package; raises `InputError` where it is not installed."""
    try:
        import selfies
    except ImportError:
        raise InputError("domain.writing=selfies needs the package selfies: pip install 'exapt[chem]'") from None
    return selfies


class SelfiesWriting:
    """One token a SELFIES symbol; implements `Writing`."""

    vocabulary = PLAIN + len(SYMBOLS)
    element = "SELFIES symbol"
    atoms = len(ATOMS)

    def __init__(self) -> None:
        self.selfies = selfies()

    def ids(self, graph: Graph) -> list[int]:
        molecule = graphs.molecule_of(graph)
        if molecule is None:
            raise graphs.LeftOutError(graphs.VALENCE)
        rdkit().Kekulize(molecule, clearAromaticFlags=True)
        return self._spelled(graphs.smiles_of(molecule))

    def _spelled(self, kekulised: str) -> list[int]:
        try:
            symbols = list(self.selfies.split_selfies(self.selfies.encoder(kekulised)))
        except self.selfies.EncoderError:
            raise graphs.LeftOutError(graphs.VALENCE) from None
        if any(symbol not in IDS for symbol in symbols):
            raise graphs.LeftOutError(graphs.SYMBOL)
        return [IDS[symbol] for symbol in symbols]

    def shuffled(self, ids: Sequence[int], draws: random.Random) -> list[int] | None:
        molecule = self.molecule(ids)
        if molecule is None:
            return None
        chem = rdkit()
        chem.Kekulize(molecule, clearAromaticFlags=True)
        order = draws.sample(range(molecule.GetNumAtoms()), molecule.GetNumAtoms())
        turned = chem.RenumberAtoms(molecule, order)
        try:
            return self._spelled(str(chem.MolToSmiles(turned, isomericSmiles=False, canonical=False)))
        except graphs.LeftOutError:
            return None

    def molecule(self, ids: Sequence[int]) -> Any | None:
        if any(token in (SPECIAL["unknown"], SPECIAL["mask"]) for token in ids):
            return None
        from rdkit import rdBase

        smiles = self.selfies.decoder("".join(SYMBOLS[token - PLAIN] for token in ids if token >= PLAIN))
        with rdBase.BlockLogs():
            return rdkit().MolFromSmiles(smiles) if smiles else None

    def guide(self, count: int, length: int, atoms: int) -> Bounds:
        return Bounds(count, length, atoms)


class Bounds:
    """Begins every text with an atom and ends it in time: all that SELFIES leave to ask for.

    A symbol of an atom adds one at most (after a branch or ring it is read as a number), so their count bounds the
    molecule's atoms.
    """

    def __init__(self, count: int, length: int, atoms: int) -> None:
        if atoms < 1 or length < 2:
            raise InputError(f"molecules of {atoms} atoms in {length} tokens; valid: 1 atom or more, 2 tokens or more")
        self.written, self.tokens = torch.zeros(count, dtype=torch.long), torch.full((count,), length)
        self.atoms = torch.full((count,), atoms)

    def allowed(self, rows: Tensor) -> Tensor:
        """(b, V) whether each of `rows` (b,) may take each id."""
        out = torch.zeros(len(rows), SelfiesWriting.vocabulary, dtype=torch.bool)
        begun, more = self.written[rows] > 0, (self.tokens[rows] > 1)[:, None]
        last = PLAIN + len(ATOMS)
        out[:, PLAIN:last] = more & (self.atoms[rows] > 0)[:, None]
        out[:, last:] = more & begun[:, None]
        out[:, SPECIAL["end"]] = begun
        return out

    def take(self, rows: Tensor, ids: Tensor) -> None:
        """Let each of `rows` (b,) take its id of `ids` (b,)."""
        self.written[rows] += 1
        self.tokens[rows] -= 1
        self.atoms[rows] -= ((ids >= PLAIN) & (ids < PLAIN + len(ATOMS))).long()
