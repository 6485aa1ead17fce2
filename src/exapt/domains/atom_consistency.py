"""Whether energies and forces of like structures say the same: their units, or the forces' sign, may be mixed up.

Between two structures of the same atoms a potential changes by −½ (F₁ + F₂) · (x₁ − x₂), exactly where it is harmonic.
Over the most alike pairs of a file the ratio of the two sides is 1 then, and falls to about 0.3 where pairs are further
apart (DFT trajectories at 300 and 600 K), whatever the level of theory. Structures that have too little in common show
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from exapt.domains.atom_units import BOHR, HARTREE, factor
from exapt.domains.structure import AtomStore

GROUPS, MEMBERS = 4, 100
"""So many sets of the same atoms are looked at, and so many structures of each."""
ALIKE, LEAST = 0.02, 20
"""The share of pairs that are closest, and the fewest pairs that show anything."""
SURE = 0.5
"""The least correlation of the two sides: pairs beyond the harmonic range show nothing."""
LOW, HIGH = 0.1, 3.0
"""Ratios in between pass."""
KNOWN = {
    1 / HARTREE: "energies in Ha",
    1 / factor("kcal/mol"): "energies in kcal/mol",
    1 / factor("kJ/mol"): "energies in kJ/mol",
    factor("kcal/mol"): "forces in kcal/mol/Å",
    HARTREE / BOHR: "forces in Ha/bohr",
}
"""What a ratio may point to."""
FORCES = ("forces", "REF_forces", "dft_forces", "force")


def consistency_warning(store: AtomStore, columns: Mapping[str, np.ndarray], energy: str) -> str:
    """A line about energies that do not change as the forces say, or ''."""
    name = next((n for n in FORCES if n in columns and columns[n].dtype == object), None)
    if name is None:
        return ""
    found = work_ratio(store, columns[energy], columns[name])
    if found is None or LOW <= found <= HIGH:
        return ""
    return (
        f"between like structures '{energy}' changes by {found:.2g} times what '{name}' say; are units mixed up "
        f"({_guess(found)})? See domain.units"
    )


def _guess(ratio: float) -> str:
    """What a ratio looks like most."""
    if ratio < 0:
        return "gradients in the place of forces"
    return KNOWN[min(KNOWN, key=lambda known: abs(np.log(ratio / known)))]


def work_ratio(store: AtomStore, energies: np.ndarray, forces: np.ndarray) -> float | None:
    """How much energies (n,) change over what forces (n, atoms, 3) say; None where the pairs do not show it."""
    sides = [_sides(store, places, energies, forces) for places in _alike(store, energies, forces)]
    change, work = (np.concatenate([np.zeros(0), *(side[k] for side in sides)]) for k in (0, 1))
    if len(work) < LEAST or not (change @ change > 0 and work @ work > 0):
        return None
    if abs(change @ work) < SURE * np.sqrt((change @ change) * (work @ work)):
        return None
    return float(change @ work / (work @ work))


def _alike(store: AtomStore, energies: np.ndarray, forces: np.ndarray) -> list[np.ndarray]:
    """Places of structures of the same atoms in the same order, without a cell, in one conformer, with both labels."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    known = np.isfinite(energies) & ~store.cells.any(axis=(1, 2)) & (store.lengths > 1)
    for place in np.flatnonzero(known) if store.positions.shape[1] == 3 else ():
        size, start = int(store.lengths[place]), int(store.starts[place])
        if forces[place].shape == (size, 3) and np.isfinite(forces[place]).all():
            groups[store.numbers[start : start + size].tobytes()].append(int(place))
    largest = sorted(groups.values(), key=len, reverse=True)[:GROUPS]
    return [np.array(g)[np.linspace(0, len(g) - 1, min(len(g), MEMBERS)).astype(int)] for g in largest if len(g) > 1]


def _sides(
    store: AtomStore, places: np.ndarray, energies: np.ndarray, forces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(k,) changes of energy, and of what the forces say, of the closest pairs."""
    where = np.stack([store.structure(int(p)).positions[0] for p in places])
    where = where - where.mean(1, keepdims=True)
    force = np.stack([forces[int(p)] for p in places]).astype(np.float64)
    first, second = np.triu_indices(len(places), 1)
    turns = _turns(where[second], where[first])
    gap = where[first] - where[second] @ turns
    closest = np.argsort((gap**2).sum((1, 2)), kind="stable")[: max(1, int(ALIKE * len(gap)))]
    mean = (force[first] + force[second] @ turns) / 2
    work = -(mean * gap).sum((1, 2))
    change = energies[places[first]] - energies[places[second]]
    return change[closest].astype(np.float64), work[closest]


def _turns(moved: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """(k, 3, 3) rotations R for which moved @ R lies closest to onto (Kabsch 1976)."""
    left, _, right = np.linalg.svd(moved.transpose(0, 2, 1) @ onto)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return np.asarray(left @ right)
