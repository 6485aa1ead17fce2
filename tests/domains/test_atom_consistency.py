"""Energies against forces: exact where a potential is harmonic, however a structure is turned; wrong units named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exapt.domains.atom_consistency import consistency_warning, work_ratio
from exapt.domains.atom_units import BOHR, HARTREE, factor
from exapt.domains.atoms import AtomsSpec
from exapt.domains.base import Arrays, Dataset
from exapt.domains.structure import Structure

BASE = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 1.1, 0], [0, 0, 1.5]])


def harmonic(
    count: int = 30, noise: float = 0.05, turned: bool = True
) -> tuple[list[Structure], list[float], list[Any]]:
    """Shaken structures in random orientations, with energies and forces of springs between all atoms."""
    rng = np.random.default_rng(0)
    rest = np.linalg.norm(BASE[:, None] - BASE[None], axis=-1)
    rows, energies, forces = [], [], []
    for _ in range(count):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] if turned else np.eye(3)
        places = (BASE + rng.normal(0, 0.05, BASE.shape)) @ (turn * np.sign(np.linalg.det(turn))) + rng.normal(size=3)
        away = places[:, None] - places[None]
        length = np.linalg.norm(away, axis=-1)
        off = length - rest
        rows.append(Structure(np.array([8, 1, 1, 6]), places[None]))
        energies.append(float((off**2).sum() / 4 * 30 - 2000.0))
        forces.append(-30 * ((off / (length + np.eye(4)))[..., None] * away).sum(1))
    return rows, energies, forces


def data(energy: float = 1.0, force: float = 1.0, **keys: Any) -> Dataset:
    rows, energies, forces = harmonic(**keys)
    columns = {"energy": [energy * e for e in energies], "forces": [force * f for f in forces]}
    return AtomsSpec(cutoff=4.0).build().read(Arrays(rows, columns))


def ratio(found: Dataset) -> float | None:
    return work_ratio(found.store, found.columns["energy"], found.columns["forces"])


def test_the_ratio_is_one_for_like_structures_however_they_are_turned() -> None:
    assert ratio(data(count=60)) == pytest.approx(1.0, abs=0.03)
    assert ratio(data(count=60, turned=False)) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ((1 / HARTREE, 1.0), "energies in Ha"),
        ((1 / factor("kcal/mol"), 1.0), "energies in kcal/mol"),
        ((1 / factor("kJ/mol"), 1.0), "energies in kJ/mol"),
        ((1.0, 1 / factor("kcal/mol")), "forces in kcal/mol/Å"),
        ((1.0, BOHR / HARTREE), "forces in Ha/bohr"),
        ((1.0, -1.0), "gradients in the place of forces"),
    ],
)
def test_other_units_are_named_and_warned_of(scales: tuple[float, float], said: str) -> None:
    with pytest.warns(UserWarning, match=f"are units mixed up \\({said}\\)"):
        data(*scales, count=60)


def test_units_that_are_given_are_turned_before_the_look() -> None:
    rows, energies, forces = harmonic(60)
    domain = AtomsSpec(cutoff=4.0, units={"energy": "Ha"}).build()
    read = domain.read(Arrays(rows, {"energy": [e / HARTREE for e in energies], "forces": forces}))
    assert ratio(read) == pytest.approx(1.0, abs=0.03)


def test_too_few_or_unlike_structures_and_missing_labels_show_nothing() -> None:
    assert ratio(data(count=6)) is None
    found = data(count=60)
    rng = np.random.default_rng(1)
    assert work_ratio(found.store, rng.normal(size=60), found.columns["forces"]) is None
    assert work_ratio(found.store, np.full(60, np.nan), found.columns["forces"]) is None
    assert consistency_warning(found.store, {"energy": found.columns["energy"]}, "energy") == ""
    some = found.columns["energy"].copy()
    some[::6] = np.nan
    assert work_ratio(found.store, some, found.columns["forces"]) == pytest.approx(1.0, abs=0.05)
