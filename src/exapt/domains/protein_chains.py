"""Chains of amino acids from PDB and mmCIF files: their letters, and where the side chain of each residue begins.

Shapes: L residues.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, NamedTuple

import numpy as np

from exapt.domains.atom_pdb import LETTERS
from exapt.domains.opening import File
from exapt.domains.pieces import Piece, Wanted, from_file, require
from exapt.errors import InputError

STRUCTURES = frozenset({".pdb", ".ent", ".cif", ".mmcif"})
COORDINATES = "coordinates"
"""The column of an example's places in space: a list of [x, y, z] in Å, or None where a residue is not seen."""
BOND = 2.5
"""Å: a peptide bond's C and N lie 1.33 apart; further than this they are no neighbours."""
LONGEST_GAP = 100
"""Residues that are put in, as X, where numbers say that more are missing."""
CIF_WORD = re.compile(r"'[^']*'(?=\s|$)|\"[^\"]*\"(?=\s|$)|\S+")


class Atom(NamedTuple):
    """What is needed of an atom."""

    chain: str
    residue: str
    """Three letters."""
    number: int
    insertion: str
    name: str
    place: tuple[float, float, float]


@dataclass
class Residue:
    """An amino acid and the atoms of its backbone."""

    letter: str
    number: int
    atoms: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def place(self) -> np.ndarray:
        """(3,) Cβ; of glycine Cα; where Cβ is not given, where it must be by N, Cα and C, or else Cα."""
        known = self.atoms
        if self.letter == "G" or ("CB" not in known and not {"N", "CA", "C"} <= known.keys()):
            return known.get("CA", np.full(3, np.nan))
        return known["CB"] if "CB" in known else virtual_beta(known["N"], known["CA"], known["C"])


class Chain(NamedTuple):
    """A chain with its gaps filled by X."""

    name: str
    sequence: str
    places: list[list[float] | None]


def virtual_beta(n: np.ndarray, alpha: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(3,) the ideal Cβ over a backbone, in Å (as in trRosetta, Yang et al. 2020)."""
    b, a = alpha - n, c - alpha
    return np.asarray(-0.58273431 * np.cross(b, a) + 0.56802827 * b - 0.54067466 * a + alpha)


def read_chains(file: File, wanted: Wanted) -> Iterator[Piece]:
    """One record a chain of a structure file's first model, with `coordinates`, and `chain`, `file` where asked for.

    Raises `InputError` where a file holds no chain of amino acids, or a line cannot be read.
    """
    with file.text() as lines:
        atoms = cif_atoms(lines, file.name) if file.suffix in (".cif", ".mmcif") else pdb_atoms(lines, file.name)
        chains = list(chains_of(atoms))
    if not chains:
        raise InputError(f"{file.name}: no amino acid with a Cα atom in it")
    given = from_file(file)
    columns: dict[str, list[object]] = {COORDINATES: [chain.places for chain in chains]}
    for name in wanted.others:
        if name != COORDINATES:
            require(name, [*given, "chain", COORDINATES], file.name)
            columns[name] = [chain.name if name == "chain" else given[name] for chain in chains]
    names = [f"{file.name}: chain '{chain.name}'" for chain in chains]
    yield Piece(file.name, [chain.sequence for chain in chains], 1, "chain", columns, names=names)


def chains_of(atoms: Iterable[Atom]) -> Iterator[Chain]:
    """The chains, in the order in which they begin; residues without Cα are left out."""
    found: dict[str, dict[tuple[int, str], Residue]] = {}
    for atom in atoms:
        chain = found.setdefault(atom.chain, {})
        letter = LETTERS.get(atom.residue, "X")
        residue = chain.setdefault((atom.number, atom.insertion), Residue(letter, atom.number))
        residue.atoms.setdefault(atom.name, np.array(atom.place))
    for name, residues in found.items():
        whole = [residue for residue in residues.values() if "CA" in residue.atoms]
        if whole:
            yield _filled(name, whole)


def _filled(name: str, residues: list[Residue]) -> Chain:
    """A chain with an X for every residue that numbers say is missing where the chain is broken."""
    letters: list[str] = []
    places: list[list[float] | None] = []
    for before, residue in zip([None, *residues[:-1]], residues, strict=True):
        gap = 0 if before is None or bonded(before, residue) else residue.number - before.number - 1
        for _ in range(min(max(gap, 0), LONGEST_GAP)):
            letters.append("X")
            places.append(None)
        letters.append(residue.letter)
        places.append([round(float(x), 3) for x in residue.place])
    return Chain(name, "".join(letters), places)


def bonded(before: Residue, after: Residue) -> bool:
    """Whether a peptide bond joins two residues, whatever their numbers: some schemes of numbering leap."""
    if "C" not in before.atoms or "N" not in after.atoms:
        return False
    return bool(np.linalg.norm(before.atoms["C"] - after.atoms["N"]) < BOND)


def pdb_atoms(lines: IO[str], name: str) -> Iterator[Atom]:
    """The amino acids' atoms of a PDB file's first model, first alternatives only."""
    for number, text in enumerate(lines, 1):
        if text.startswith("ENDMDL"):
            return
        residue = text[17:20].strip()
        if not (text.startswith("ATOM  ") or (text.startswith("HETATM") and residue in LETTERS)):
            continue
        if text[16] in " A1":
            try:
                place = (float(text[30:38]), float(text[38:46]), float(text[46:54]))
                yield Atom(text[21].strip(), residue, int(text[22:26]), text[26].strip(), text[12:16].strip(), place)
            except (ValueError, IndexError):
                raise InputError(
                    f"{name}: line {number}: no residue number in columns 23 to 26 or no coordinates in 31 to 54: "
                    f"'{text.rstrip()[:54]}'"
                ) from None


def cif_atoms(lines: IO[str], name: str) -> Iterator[Atom]:
    """As `pdb_atoms`, from the loop of `_atom_site` in an mmCIF file, chains and numbers as its authors say."""
    keys: list[str] = []
    first_model = None
    for number, text in enumerate(lines, 1):
        if text.startswith("_atom_site."):
            keys.append(text.split()[0].removeprefix("_atom_site."))
        elif keys and text.startswith(("#", "loop_", "_")):
            return
        elif keys:
            row = dict(zip(keys, CIF_WORD.findall(text), strict=False))
            first_model = first_model or row.get("pdbx_PDB_model_num")
            if row.get("pdbx_PDB_model_num") == first_model and _counts(row):
                yield _cif_atom(row, f"{name}: line {number}")


def _counts(row: Mapping[str, str]) -> bool:
    standard = row.get("group_PDB", "ATOM") == "ATOM" or row.get("label_comp_id") in LETTERS
    return standard and row.get("label_alt_id", ".") in (".", "?", "A", "1")


def _cif_atom(row: Mapping[str, str], where: str) -> Atom:
    def either(*names: str) -> str:
        return next((row[n].strip("'\"") for n in names if row.get(n, "?") not in ("?", ".")), "")

    try:
        place = (float(row["Cartn_x"]), float(row["Cartn_y"]), float(row["Cartn_z"]))
        number = int(either("auth_seq_id", "label_seq_id"))
    except (KeyError, ValueError):
        raise InputError(f"{where}: an _atom_site row without Cartn_x, Cartn_y, Cartn_z or auth_seq_id") from None
    return Atom(
        either("auth_asym_id", "label_asym_id"),
        either("label_comp_id", "auth_comp_id"),
        number,
        either("pdbx_PDB_ins_code"),
        either("label_atom_id", "auth_atom_id"),
        place,
    )
