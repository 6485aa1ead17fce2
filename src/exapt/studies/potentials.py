"""Energies and forces of new structures, written as extended XYZ or as JSON lines."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exapt.adaptation import Fitted
from exapt.domains.atom_frames import SYMBOLS
from exapt.domains.base import Arrays, Dataset, Source
from exapt.domains.structure import Structure, unpacked
from exapt.errors import InputError
from exapt.files import write_text
from exapt.objectives.energies import FORCES
from exapt.objectives.potential_labels import composition
from exapt.training.weights import room_for

ENDINGS = (".extxyz", ".xyz", ".jsonl")


def predict_energies(fitted: Fitted, source: Source | Arrays, out: Path) -> int:
    """Write energies (eV), forces (eV/Å) and, in whole cells, stresses (eV/Å³) of every structure; how many."""
    if out.suffix not in ENDINGS:
        raise InputError(f"{out}: energies and forces are written as .extxyz (or .xyz), or as .jsonl")
    dataset = fitted.domain.read(source)
    structures = [unpacked(dataset.store[int(row)]) for row in dataset.rows]
    warn_of_strangers(fitted, dataset)
    rows = fitted.predict(dataset)
    said = list(_said(structures, rows))
    frames = zip(structures, said, strict=True)
    text = [_frame(s, one) if out.suffix != ".jsonl" else json.dumps(one) + "\n" for s, one in frames]
    with room_for(out):
        write_text(out, "".join(text))
    return len(text)


def warn_of_strangers(fitted: Fitted, dataset: Dataset) -> None:
    """Warn of elements that no structure with an energy held when the model learnt."""
    known = fitted.tensors()["references"].numpy() != 0
    strange = composition(dataset).any(0) & ~known
    if known.any() and strange.any():
        names = ", ".join(SYMBOLS[number] for number in np.flatnonzero(strange))
        warnings.warn(
            f"{dataset.source}: the model learnt from no energy of a structure with {names}; "
            "what it says of such structures means nothing",
            stacklevel=1,
        )


def _said(structures: list[Structure], rows: np.ndarray) -> Iterator[dict[str, Any]]:
    for place, (structure, row) in enumerate(zip(structures, rows, strict=True)):
        forces = row[FORCES : FORCES + 3 * len(structure)].reshape(-1, 3)
        said = {"index": place, "energy": float(row[1] + row[2]), "forces": forces.tolist()}
        yield said | ({"stress": row[3:FORCES].tolist()} if np.isfinite(row[3:FORCES]).all() else {})


def _frame(structure: Structure, said: dict[str, Any]) -> str:
    """One frame of extended XYZ."""
    comment = f"Properties=species:S:1:pos:R:3:forces:R:3 energy={said['energy']!r}"
    if structure.cell.any():
        periodic = " ".join("FT"[int(p)] for p in structure.periodic)
        comment += f' Lattice="{" ".join(map(repr, structure.cell.reshape(-1).tolist()))}" pbc="{periodic}"'
    if "stress" in said:
        xx, yy, zz, yz, xz, xy = said["stress"]
        comment += f' stress="{" ".join(map(repr, (xx, xy, xz, xy, yy, yz, xz, yz, zz)))}"'
    lines = [str(len(structure)), comment]
    for number, place, force in zip(structure.numbers, structure.positions[0], said["forces"], strict=True):
        lines.append(f"{SYMBOLS[number]:<3}" + "".join(f"{value:18.8f}" for value in (*place.tolist(), *force)))
    return "\n".join(lines) + "\n"
