"""The calculator for ASE: derivatives, skin, cells, and that it is the fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("ase")

from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet
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


def test_dynamics_conserves_energy_and_searches_neighbours_rarely(folder: Path) -> None:
    atoms = crystal(3)
    atoms.calc = ExaptCalculator(folder, skin=1.0)
    atoms.set_momenta(np.random.default_rng(0).normal(0, 1.0, (4, 3)))
    before = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.5 * fs).run(20)
    assert abs(atoms.get_total_energy() - before) < 1e-3 * len(atoms)
    assert atoms.calc.skin.searches < 5
    assert not torch.is_grad_enabled() or all(not p.requires_grad for p in atoms.calc.tuning.parameters())
