"""Mutants as the field writes them: A24G, several joined by ':' as in A24G:K30R, checked against their wild type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from exapt.errors import InputError

CODE = re.compile(r"([A-Za-z*])(-?\d+)([A-Za-z*=])")
THREE = re.compile(r"p?\.?\(?([A-Z][a-z]{2})(-?\d+)([A-Z][a-z]{2}|\*|=)\)?")
"""HGVS, such as p.Ala24Gly, p.Trp24Ter, p.Ala24=."""
SAME = ("", "wt", "_wt", "wildtype", "wild type", "wild-type", "=", "p.=")
"""What stands for the wild type itself."""
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
SEPARATORS = re.compile(r"[:;,/+\s]+")
NAMES = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G", "His": "H",
    "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Ser": "S", "Thr": "T", "Trp": "W",
    "Tyr": "Y", "Val": "V", "Ter": "*",
}  # fmt: skip


Parsed = tuple[str, int, str]
"""The old letter, the number in the code, the new letter."""


@dataclass(frozen=True)
class Change:
    """One residue replaced."""

    old: str
    place: int
    """From 0, in the wild type."""
    new: str


@dataclass(frozen=True)
class Mutant:
    """All changes of one mutant, none of them silent."""

    code: str
    changes: tuple[Change, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """The places that change, in order."""
        return tuple(sorted(change.place for change in self.changes))

    @property
    def stop(self) -> bool:
        """Whether the chain ends early."""
        return any(change.new == "*" for change in self.changes)

    def applied(self, wild: str) -> str:
        """The mutant's sequence."""
        letters = list(wild)
        for change in self.changes:
            letters[change.place] = change.new
        return "".join(letters)


def read_mutants(codes: Sequence[str], wild: str, offset: int, where: str) -> list[Mutant]:
    """The mutants of some codes; a code's number minus `offset` is the place in the wild type from 1.

    Raises `InputError` naming the row, and, where the wild type has another letter at a place, the offset that would
    fit all codes, if there is one.
    """
    parsed = [_parse(code, f"{where}: row {row}") for row, code in enumerate(codes, 1)]
    for row, changes in enumerate(parsed, 1):
        for old, number, _ in changes:
            found = _letter(wild, number - offset)
            if found != old:
                _refuse(parsed, wild, offset, f"{where}: row {row}: '{codes[row - 1]}'", old, number, found)
    return [_mutant(code, changes, offset) for code, changes in zip(codes, parsed, strict=True)]


def fitting_offsets(changes: Sequence[tuple[str, int]], wild: str) -> list[int]:
    """Every offset at which the wild type has all the letters (letter, number) that codes say."""
    letters = dict.fromkeys(changes)
    if not letters:
        return []
    low, high = min(n for _, n in letters), max(n for _, n in letters)
    tried = range(high - len(wild), low)
    return [o for o in tried if all(wild[number - o - 1] == old for old, number in letters)]


def _parse(code: str, where: str) -> list[Parsed]:
    """(old, number, new) of every change that is not silent."""
    text = str(code).strip()
    found: list[Parsed] = []
    for part in [] if text.lower() in SAME else SEPARATORS.split(text):
        long, short = THREE.fullmatch(part), CODE.fullmatch(part)
        if long and {long[1], long[3]} <= NAMES.keys() | {"=", "*"}:
            old, number, new = NAMES[long[1]], long[2], NAMES.get(long[3], long[3])
        elif short:
            old, number, new = short[1].upper(), short[2], short[3].upper()
        else:
            raise InputError(f"{where}: '{part}' is no mutation; expected such as A24G, or A24G:K30R for several")
        new = old if new == "=" else new
        if old not in RESIDUES or new not in RESIDUES + "*":
            wrong = old if old not in RESIDUES else new
            raise InputError(f"{where}: '{part}': '{wrong}' is no amino acid; valid: {RESIDUES} (and * for a stop)")
        found.append((old, int(number), new))
    numbers = [number for _, number, _ in found]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{where}: '{text}' changes one place twice")
    return found


def _letter(wild: str, place: int) -> str:
    return wild[place - 1] if 1 <= place <= len(wild) else ""


def _refuse(
    parsed: Sequence[Sequence[Parsed]], wild: str, offset: int, where: str, old: str, number: int, found: str
) -> None:
    said = f"has {found} there" if found else f"has {len(wild)} residues"
    fits = fitting_offsets([(o, n) for changes in parsed for o, n, _ in changes], wild)
    hint = f"offset {fits[0]} fits all rows" if fits else "no offset fits all rows: is this the wild type they are of?"
    used = f" (offset {offset})" if offset else ""
    raise InputError(f"{where}: expects {old} at {number - offset}{used}, but the wild type {said}; {hint}")


def _mutant(code: str, changes: Sequence[Parsed], offset: int) -> Mutant:
    real = tuple(Change(old, number - offset - 1, new) for old, number, new in changes if old != new)
    return Mutant(str(code), real)
