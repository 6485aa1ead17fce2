"""Sets that GFN2-xTB labels: units, forces, sampling, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("tblite")
pytest.importorskip("rdkit")

from exapt.domains import atom_xtb
from exapt.domains.atom_builtin import built_in
from exapt.domains.atom_xtb import by_xtb, families, label
from exapt.errors import InputError

WATER = np.array([8, 1, 1])
PLACES = np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.7, -0.5]])


def test_forces_are_the_negative_slope_of_the_energy_in_ev_and_angstrom() -> None:
    energy, forces = label(WATER, PLACES)
    assert energy == pytest.approx(-137.9, abs=0.5)  # GFN2's water is −5.07 hartree
    step = np.zeros((3, 3))
    step[1, 1] = 1e-3
    slope = (label(WATER, PLACES + step)[0] - label(WATER, PLACES - step)[0]) / 2e-3
    assert forces[1, 1] == pytest.approx(-slope, abs=1e-3)


def test_a_set_is_the_same_every_time_and_hot_structures_lie_above_their_minimum() -> None:
    some, again = (list(itertools.islice(by_xtb("xtb:amides"), 6)) for _ in range(2))
    for (atoms, said), (twin, also) in zip(some, again, strict=True):
        assert np.allclose(atoms.positions, twin.positions, atol=1e-6)
        assert said["energy"] == pytest.approx(also["energy"], abs=1e-5)
        assert atom_xtb.COLDEST <= said["kelvin"] <= atom_xtb.HOTTEST
    relaxed = atom_xtb._relaxed("NC=O")
    lowest, forces = label(relaxed.numbers, relaxed.positions)
    assert np.abs(forces).max() < 0.05
    assert all(said["energy"] > lowest for _, said in some)


def test_the_energy_of_modes_is_about_kt_half_a_mode() -> None:
    atoms = atom_xtb._relaxed("NC=O")
    lowest = label(atoms.numbers, atoms.positions)[0]
    rng = np.random.default_rng(0)
    modes = atom_xtb._modes(atoms)
    rises = []
    for _ in range(60):
        moved = atoms.positions + atom_xtb._displacement(modes, 300.0, rng)
        rises.append(label(atoms.numbers, moved)[0] - lowest)
    wanted = 12 * atom_xtb.BOLTZMANN * 300 / 2
    assert np.mean(rises) == pytest.approx(wanted, rel=0.4)


def test_an_unknown_set_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no such built-in set"):
        next(built_in("xtb:amide"))
    with pytest.raises(InputError, match="no such built-in set"):
        next(by_xtb("xtb:amides/GFN3"))
    assert "xtb:amides/GFN1" in families()
