"""Energies that look as if they counted something else than the rest: outliers an atom, elements allowed for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from exapt.domains.atom_consistency import consistency_warning
from exapt.domains.structure import ELEMENTS, AtomStore

ENERGIES = ("energy", "energies")
"""How the names of energy columns end."""
LEAST = 8
"""Fewer structures show nothing."""
FAR, AT_LEAST = 50.0, 5.0
"""An outlier is so many robust deviations, and so many eV an atom, off what its elements explain."""
ROUNDS = 20
"""Of least squares weighted by one over the error, which end in least absolute errors."""


def energy_warning(store: AtomStore, columns: Mapping[str, np.ndarray]) -> str:
    """A line that names an energy column and how many of its values lie far out, or that forces contradict; or ''."""
    for name, column in columns.items():
        if not name.lower().endswith(ENERGIES) or not np.issubdtype(column.dtype, np.floating):
            continue
        far = outliers(store, column)
        if len(far):
            return (
                f"'{name}' of {len(far)} of {len(column)} structures (first: number {far[0] + 1}) is far from what "
                "their elements explain; are energies in different units, or is one wrong? See domain.units"
            )
        against = consistency_warning(store, columns, name)
        if against:
            return against
    return ""


def outliers(store: AtomStore, energies: np.ndarray) -> np.ndarray:
    """Places of energies (n,) whose value an atom is far off a robust linear fit of the elements' counts."""
    known = np.flatnonzero(np.isfinite(energies))
    if len(known) < LEAST:
        return known[:0]
    counts = composition(store)[known]
    counts = counts[:, counts.any(0)] / store.lengths[known, None]
    values = energies[known] / store.lengths[known]
    off = np.ones(len(known))
    for _ in range(ROUNDS):
        weight = 1 / np.sqrt(np.maximum(off, 1e-3))[:, None]
        fitted = np.linalg.lstsq(counts * weight, values * weight[:, 0], rcond=None)[0]
        off = np.abs(values - counts @ fitted)
    return np.asarray(known[off > max(FAR * 1.4826 * float(np.median(off)), AT_LEAST)])


def composition(store: AtomStore) -> np.ndarray:
    """(n, 119) how many atoms of each element every structure has."""
    owner = np.repeat(np.arange(len(store)), store.lengths)
    flat = np.bincount(owner * (ELEMENTS + 1) + store.numbers, minlength=len(store) * (ELEMENTS + 1))
    return flat.reshape(len(store), ELEMENTS + 1).astype(np.float64)
