"""Energies, forces and stresses of a data set of structures, as a potential learns them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from exapt.domains.base import Dataset
from exapt.domains.labels import row
from exapt.domains.structure import AtomStore
from exapt.errors import InputError, nearest
from exapt.objectives.energies import ELEMENTS, FORCES, row_of
from exapt.spec import Spec

USUAL = {
    "energy": ("energy", "REF_energy", "dft_energy", "total_energy"),
    "forces": ("forces", "REF_forces", "dft_forces", "force"),
    "stress": ("stress", "REF_stress", "dft_stress"),
}
"""Names that columns usually have."""


class PotentialBase(Spec):
    """Which columns hold the labels, in eV, eV/Å and eV/Å³ (`domain.units` turns others), and how errors weigh."""

    energy: str | None = None
    """The column of energies; None: what the source names as label (of several, one of the usual names), else energy,
    REF_energy, dft_energy."""
    forces: str | None = None
    """The column of forces; None: forces, REF_forces, dft_forces, where there is one."""
    stress: str | None = None
    """The column of stresses (xx yy zz yz xz xy); None: stress, REF_stress, dft_stress, where there is one."""
    energy_weight: float = Field(default=10.0, ge=0)
    """Weight of the mean squared error of the energy per atom."""
    force_weight: float = Field(default=1.0, ge=0)
    """Weight of the mean squared error of a force's components."""
    stress_weight: float = Field(default=100.0, ge=0)
    """Weight of the mean squared error of the stress, whose numbers are small."""
    huber: float | None = Field(default=None, gt=0)
    """Errors above so many typical forces count linearly (Huber); None: all are squared."""
    hidden: PositiveInt | None = None
    """Width of the head's hidden layer; None: the backbone's."""

    def weights(self, scale: float) -> dict[str, Any]:
        """How `potential_loss` weighs."""
        named = {name: getattr(self, f"{weight}_weight") for name, weight in NAMES.items()}
        return named | {"huber": self.huber, "scale": scale}

    def rows(self, dataset: Dataset) -> np.ndarray:
        """(n, 9 + 3 A) labels, see `energies`; raises `InputError` where there are none, or they are no numbers."""
        columns = {name: self._column(dataset, name) for name in USUAL}
        if columns["energy"] is None and columns["forces"] is None:
            there = ", ".join(sorted(dataset.columns)) or "none"
            raise InputError(f"{dataset.source}: no column of energies or forces; there are: {there}")
        lengths = np.asarray(dataset.lengths)
        most = int(lengths.max()) if len(lengths) else 0
        rows = np.empty((len(dataset), FORCES + 3 * most))
        for i, atoms in enumerate(lengths.tolist()):
            shapes = {"energy": (1,), "forces": (atoms, 3), "stress": (6,)}
            got = {n: _values(dataset, columns[n], i, shape) for n, shape in shapes.items()}
            rows[i] = row_of(float(got["energy"][0]), got["stress"], got["forces"], most)
        return rows

    def _column(self, dataset: Dataset, name: str) -> str | None:
        asked = getattr(self, name)
        if asked is None and name == "energy":
            named = [n for n in dataset.roles.get("label", ()) if n not in USUAL["forces"] + USUAL["stress"]]
            usual = [n for n in named if n in USUAL["energy"]]  # a corpus of several sources may have other labels too
            asked = next(iter([*usual, *named]), None)
        if asked is not None:
            if asked not in dataset.columns:
                raise InputError(f"{dataset.source}: no column '{asked}' of {name}; {nearest(asked, dataset.columns)}")
            return str(asked)
        return next((usual for usual in USUAL[name] if usual in dataset.columns), None)


NAMES = {"energy": "energy", "forces": "force", "stress": "stress"}


def _values(dataset: Dataset, column: str | None, place: int, shape: tuple[int, ...]) -> np.ndarray:
    """One example's label, NaN where it has none."""
    value = None if column is None else dataset.columns[column][place]
    if value is None or (isinstance(value, str) and not value.strip()):
        return np.full(shape, np.nan)
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{row(dataset, place)}: '{column}' is '{str(value)[:40]}'; valid: numbers") from None
    if np.isnan(found).all():
        return np.full(shape, np.nan)
    if found.size != int(np.prod(shape)):
        raise InputError(
            f"{row(dataset, place)}: '{column}' holds {found.size} numbers; valid: {' × '.join(map(str, shape))}"
        )
    if np.isinf(found).any():
        raise InputError(f"{row(dataset, place)}: '{column}' is not finite; correct it, or leave it empty")
    return found.reshape(shape)


def composition(dataset: Dataset) -> np.ndarray:
    """(n, 119) how many atoms of each element; raises `InputError` where examples are no structures."""
    if len(dataset) and dataset.store[int(dataset.rows[0])].ndim != 2:
        raise InputError(f"{dataset.source}: a potential needs structures of atoms; valid: domain.kind=atoms")
    store = dataset.store
    if isinstance(store, AtomStore):
        numbers = [store.numbers[store.starts[r] : store.starts[r + 1]] for r in dataset.rows.tolist()]
    else:
        numbers = [store[int(r)][4:, 0].astype(np.int64) for r in dataset.rows]
    return np.array([np.bincount(one, minlength=ELEMENTS) for one in numbers]).reshape(-1, ELEMENTS)


def typical_force(rows: np.ndarray) -> float:
    """The root mean square of the forces' components, the unit of errors; without forces the deviation of energies per
    atom, or 1 where all are the same."""
    forces = rows[:, FORCES:]
    if np.isfinite(forces).any():
        found = float(np.sqrt(np.nanmean(forces**2)))
    else:
        energies = rows[:, 1:3].sum(1) / rows[:, 0]
        found = float(np.nanstd(energies)) if np.isfinite(energies).any() else 1.0
    return found if found > 1e-6 else 1.0
