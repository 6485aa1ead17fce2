"""The calculator for ASE: derivatives, skin, cells, and that it is the fitted model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ase")

from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.nptberendsen import NPTBerendsen
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.units import fs

from exapt.adaptation import FinetuneSpec, Start, fit
from exapt.backbones.equivariant import EquivariantSpec
from exapt.domains.atoms import AtomsSpec
from exapt.domains.base import Arrays
from exapt.errors import InputError
from exapt.integrations.ase import ExaptCalculator
from exapt.studies.single import predict_file
from exapt.tasks import PotentialTaskSpec


def crystal(seed: int) -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential of copper that has seen a few steps."""
    crystals = [crystal(seed) for seed in range(8)]
    labels: dict[str, list[Any]] = {"energy": [], "forces": [], "stress": []}
    for atoms in crystals:
        atoms.calc = EMT()
        labels["energy"].append(atoms.get_potential_energy())
        labels["forces"].append(atoms.get_forces())
        labels["stress"].append(atoms.get_stress())
        atoms.calc = None
    domain = AtomsSpec(cutoff=4.0).build()
    data = domain.read(Arrays(crystals, labels))
    task = PotentialTaskSpec().build(data)
    data = task.attach(data)
    backbone = EquivariantSpec(width=8, depth=2, radial=6, cutoff=4.0).build(domain.inputs, 0)
    spec = FinetuneSpec(probe_first=False, rates=[0.01], min_steps=20, max_steps=20, batch=4, evaluations=2)
    fitted = fit(spec, Start(domain, backbone), task, data.subset(range(6)), data.subset([6, 7]), 0)
    return fitted.save(tmp_path_factory.mktemp("potential"))


def test_forces_and_stress_are_finite_differences_of_the_energy(folder: Path) -> None:
    atoms = crystal(20)
    atoms.calc = ExaptCalculator(folder)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces).max() > 1e-3
    assert forces == pytest.approx(calculate_numerical_forces(atoms, eps=1e-4), abs=1e-6)
    assert stress == pytest.approx(calculate_numerical_stress(atoms, eps=1e-5), abs=1e-6)


def test_it_is_the_fitted_model_and_a_molecule_has_no_stress(folder: Path, tmp_path: Path) -> None:
    atoms = crystal(21)
    atoms.calc = ExaptCalculator(folder)
    out = tmp_path / "said.jsonl"
    assert predict_file(folder, Arrays([crystal(21)]), out) == 1
    import json

    said = json.loads(out.read_text())
    assert atoms.get_potential_energy() == pytest.approx(said["energy"], abs=1e-4)
    assert atoms.get_forces() == pytest.approx(np.array(said["forces"]), abs=1e-4)
    pair = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]], calculator=ExaptCalculator(folder))
    pair.get_potential_energy()
    assert "stress" not in pair.calc.results


def test_predictions_are_read_back_as_extended_xyz(folder: Path, tmp_path: Path) -> None:
    from ase.io import read

    out = tmp_path / "said.extxyz"
    assert predict_file(folder, Arrays([crystal(1), crystal(2)]), out) == 2
    one = read(out, 0)
    atoms = crystal(1)
    atoms.calc = ExaptCalculator(folder)
    assert one.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    assert one.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-4)
    assert one.get_stress() == pytest.approx(atoms.get_stress(), abs=1e-5)
    assert one.pbc.all()
    with pytest.raises(InputError, match="energies and forces are written as"):
        predict_file(folder, Arrays([crystal(1)]), tmp_path / "said.csv")


def test_elements_that_the_model_never_saw_are_warned_of(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="learnt from no energy of a structure with Os;"):
        predict_file(folder, Arrays([Atoms("Os2", [[0, 0, 0], [0, 0, 2.4]])]), tmp_path / "said.jsonl")


def test_elements_without_an_energy_are_refused_or_warned_of(folder: Path) -> None:
    silver = bulk("Ag", cubic=True)
    silver.calc = ExaptCalculator(folder)
    with pytest.raises(InputError, match=r"no energy of a structure with Ag; it knows Cu\. .*unseen="):
        silver.get_potential_energy()
    silver.calc = ExaptCalculator(folder, unseen="warn")
    with pytest.warns(UserWarning, match="mean nothing"):
        assert np.isfinite(silver.get_potential_energy())
    with pytest.raises(InputError, match="skin: -1; valid: 0 Å or more"):
        ExaptCalculator(folder, skin=-1)


def test_it_keeps_ases_rules(folder: Path) -> None:
    atoms = crystal(5)
    calculator = atoms.calc = ExaptCalculator(folder)
    assert calculator.get_property("energy", atoms, allow_calculation=False) is None
    energy = atoms.get_potential_energy()
    assert atoms.get_potential_energies().sum() == pytest.approx(energy)
    assert atoms.get_potential_energy(force_consistent=True) == energy
    assert set(calculator.results) == set(calculator.implemented_properties)
    assert calculator.check_state(atoms) == []
    assert not calculator.calculation_required(atoms, ["forces", "stress"])
    atoms.rattle(0.01, seed=1)
    assert calculator.check_state(atoms) == ["positions"]
    assert calculator.get_property("energy", atoms, allow_calculation=False) is None
    assert atoms.get_potential_energy() != energy
    atoms.info["charge"] = 1
    assert calculator.check_state(atoms) == ["info"]
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


@pytest.mark.parametrize("change", ["positions", "cell", "stretch", "shear", "pbc", "numbers", "atoms"])
def test_a_used_calculator_says_what_a_new_one_does(folder: Path, change: str) -> None:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=4)
    used = atoms.calc = ExaptCalculator(folder, skin=1.0)
    atoms.get_potential_energy()
    if change == "positions":
        atoms.positions[0] += 0.2
    elif change == "pbc":
        atoms.pbc = False
    elif change == "atoms":
        del atoms[0]
    elif change == "numbers":
        atoms.numbers = atoms.numbers[::-1]
    elif change == "cell":
        atoms.set_cell(atoms.cell[:] * 1.2, scale_atoms=False)
    else:
        bend = np.diag([1.01, 0.98, 1.0]) if change == "stretch" else np.eye(3) + 0.02 * np.eye(3, k=1)
        atoms.set_cell(atoms.cell[:] @ bend, scale_atoms=True)
    again = atoms.copy()
    again.calc = ExaptCalculator(folder, skin=0.0)
    assert atoms.get_potential_energy() == pytest.approx(again.get_potential_energy(), abs=1e-9)
    assert atoms.get_forces() == pytest.approx(again.get_forces(), abs=1e-9)
    if change != "pbc":
        assert atoms.get_stress() == pytest.approx(again.get_stress(), abs=1e-9)
    assert used.skin.searches == (1 if change in ("positions", "stretch", "shear", "numbers") else 2)


def test_copies_answer_for_themselves(folder: Path) -> None:
    one, other = crystal(6), crystal(7)
    one.calc = ExaptCalculator(folder)
    first = one.get_potential_energy()
    other.calc = copy.deepcopy(one.calc)
    second = other.get_potential_energy()
    assert one.get_potential_energy() == first != second
    other.calc = one.calc  # shared: computed anew for whichever asks
    assert other.get_potential_energy() == pytest.approx(second)
    assert one.get_potential_energy() == pytest.approx(first)


def test_half_a_crystal_has_no_stress(folder: Path) -> None:
    slab = crystal(8)
    slab.pbc = (True, True, False)
    slab.calc = ExaptCalculator(folder)
    assert np.isfinite(slab.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        slab.get_stress()


def test_relaxation_ends_where_there_is_no_force(folder: Path) -> None:
    atoms = crystal(9)
    atoms.calc = ExaptCalculator(folder)
    before = atoms.get_potential_energy()
    assert BFGS(atoms, logfile=None).run(fmax=0.005, steps=200)
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.005
    assert atoms.get_potential_energy() <= before


def test_a_barostat_seldom_searches_neighbours(folder: Path) -> None:
    atoms = crystal(10)
    atoms.calc = ExaptCalculator(folder, skin=1.0)
    atoms.set_momenta(np.random.default_rng(0).normal(0, 1.0, (4, 3)))
    volume = atoms.get_volume()
    keys = {"temperature_K": 300, "pressure_au": 0.0, "compressibility_au": 1.0}
    NPTBerendsen(atoms, 1 * fs, taut=100 * fs, taup=1000 * fs, **keys).run(10)
    assert atoms.get_volume() != volume
    assert atoms.calc.skin.searches < 5
    fresh = atoms.copy()
    fresh.calc = ExaptCalculator(folder, skin=0.0)
    assert atoms.get_forces() == pytest.approx(fresh.get_forces(), abs=1e-9)


def test_dynamics_conserves_energy_and_searches_neighbours_rarely(folder: Path) -> None:
    atoms = crystal(3)
    atoms.calc = ExaptCalculator(folder, skin=1.0)
    atoms.set_momenta(np.random.default_rng(0).normal(0, 1.0, (4, 3)))
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * fs).run(20)
    assert abs(atoms.get_total_energy() - before) < 1e-3 * len(atoms)
    assert atoms.calc.skin.searches < 5
    assert not torch.is_grad_enabled() or all(not p.requires_grad for p in atoms.calc.tuning.parameters())
